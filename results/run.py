"""Runs the rows of a table and keeps their numbers.

    python -m results.run digits                        every row of results/digits
    python -m results.run digits/ewc                    one row
    python -m results.run digits --jobs=2 --cores=1     two rows at a time, each on a core of its own

A row is a flagfile, results/<table>/<row>.flags; its numbers go to the .json file beside it.
"""

import dataclasses
import json
import pathlib
import sys

import numpy as np
from absl import app

from keras_cl.compare.jobs import Job
from keras_cl.compare.local import Pool
from keras_cl.compare.progress import Overview, console, postponed
from keras_cl.errors import require
from keras_cl.metrics import GENERATOR
from keras_cl.runs.directory import read_matrix
from keras_cl.settings import command, flags
from keras_cl.settings.options import option_of

HERE = pathlib.Path(__file__).parent
NUMBERS = (
    "average_accuracy",
    "forgetting",
    "learning_accuracy",
    "forward_transfer",
    "triangle_backward_transfer",
    "triangle_forward_transfer",
)
SIZES = ("model_size_efficiency", "model_size_efficiency_on_use")
SHARES = ("oracle_on_fake", "fake_to_real")
OWN = (
    option_of("jobs", int, 1, "rows that are trained at a time"),
    option_of("cores", int, 0, "cores that each row has for itself; 0 to let all share all cores"),
)


def parse(argv):
    """The flag values and the rows of a command line; prints help and exits if it has a help flag."""
    values, names = flags.read_own(argv, __doc__ or "", OWN)
    require(values.jobs >= 1, f"--jobs is {values.jobs}; it must be at least 1.")
    require(values.cores >= 0, f"--cores is {values.cores}; it must not be negative.")
    tables = ", ".join(sorted({file.parent.name for file in HERE.glob("*/*.flags")}))
    require(names, f"Which rows? Give tables, or rows as table/row; tables are {tables}.")
    for name in names:
        require(rows(name), f"There is no table or row {name}; tables are {tables}.")
    return values, list(dict.fromkeys(row for name in names for row in rows(name)))


def main(given):
    values, found = given
    with Pool(values.jobs, values.cores) as pool:
        failed = measure(found, pool.run)
    for outcome in failed:
        print(f"Error: {outcome.job.name}: {outcome.error}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def rows(name):
    """Rows of a table, or the one of "table/row", as "table/row"; none if there is no such name."""
    parts = pathlib.PurePath(name).parts
    if len(parts) not in (1, 2) or ".." in parts or not name.isprintable():
        return []
    found = sorted(file for file in HERE.glob("*/*.flags") if file.parent.name == parts[0])
    return [f"{parts[0]}/{file.stem}" for file in found if parts[1:] in ((), (file.stem,))]


def measure(found, run):
    """Trains rows as their flagfiles say, goes on where one was stopped, and writes their .json files.

    Args:
      found: the rows, as "table/row".
      run: function of jobs and a `Watch` that yields `Outcome`s.

    Returns:
      list of the `Outcome`s of the rows that failed, or that another process trains.
    """
    left = []
    with Overview(len(found), console()) as overview:
        for outcome in run([job(row) for row in found], overview):
            if postponed(outcome):
                said = f"Another process is training it in {outcome.value['run']}."
                left.append(dataclasses.replace(outcome, state="failed", error=said))
            elif outcome.state == "done":
                collect(outcome.job.name, pathlib.Path(outcome.value["run"]))
    return [*overview.failed, *left]


def job(row):
    """The `Job` that trains a row."""
    run_dir = pathlib.Path("runs", "results", row.replace("/", "-"))
    stopped = (run_dir / "config.json").exists() and not (run_dir / "DONE").exists()
    given = [f"--flagfile={HERE / f'{row}.flags'}", f"--run_dir={run_dir}"]
    given += [] if stopped else ["--overwrite"]
    return Job(row, "keras_cl.compare.cells:train", {"flags": given})


def collect(row, run_dir):
    """Writes the row's .json from the directory of its run."""
    flagfile = HERE / f"{row}.flags"
    config = json.loads((run_dir / "config.json").read_text())
    summary = json.loads((run_dir / "summary.json").read_text())
    offline = config["settings"].get("method.offline")  # the rows of the tasks before the last are empty
    seeds = config["settings"]["seeds"]
    parts = [run_dir / f"seed_{seed}" for seed in seeds] if len(seeds) > 1 else [run_dir]
    matrices = np.array([read_matrix(part / "matrix.csv")[1:] for part in parts])  # of the trained network
    seen = np.array([[row[: t + 1].mean() for t, row in enumerate(R)] for R in matrices])
    content = {
        "command": f"python -m keras_cl.main --flagfile=results/{row}.flags",
        "seeds": seeds,
        "versions": config["versions"],
        **{name: _rounded(summary.get(name)) for name in (NUMBERS[:1] if offline else NUMBERS)},
        "accuracy_of_tasks_seen": None if offline else _curve(seen),
        "accuracy_of_first_task": None if offline else _curve(matrices[:, :, 0]),
        **{name: round(summary[name], 4) for name in SIZES if name in summary},
        "kept_bytes": summary["network_bytes"] + summary["method_bytes"][-1] + summary["memory_bytes"][-1],
        **({"sizes": summary["sizes"]} if "sizes" in summary else {}),
        **{name: round(summary[name][-1], 4) for name in GENERATOR if name in summary},
        **{f"{name}_of_tasks_seen": summary[name] for name in SHARES if name in summary},
    }
    flagfile.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")


def _curve(values):
    """Mean and spread over seeds of numbers `[seeds, tasks learned]`."""
    spread = np.round(values.std(axis=0, ddof=1), 4).tolist() if len(values) > 1 else None
    return {"mean": np.round(values.mean(axis=0), 4).tolist(), "std": spread}


def _rounded(value):
    """Mean and spread to six digits, also where there is one seed and no spread."""
    value = value if isinstance(value, dict) else {"mean": value, "std": None}
    return {key: None if value[key] is None else round(value[key], 6) for key in ("mean", "std")}


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
