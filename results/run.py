"""Runs the rows of a table and keeps their numbers.

    python -m results.run digits            every row of results/digits
    python -m results.run digits/ewc        one row

A row is a flagfile, results/<table>/<row>.flags; its numbers go to the .json file beside it.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
from absl import app

from keras_cl.errors import require
from keras_cl.runs.directory import read_matrix
from keras_cl.settings import command, flags

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


def parse(argv):
    """The rows of a command line; prints help and exits if it has a help flag."""
    _, names = flags.read_own(argv, __doc__ or "")
    tables = ", ".join(sorted({file.parent.name for file in HERE.glob("*/*.flags")}))
    require(names, f"Which rows? Give tables, or rows as table/row; tables are {tables}.")
    for name in names:
        require(rows(name), f"There is no table or row {name}; tables are {tables}.")
    return [row for name in names for row in rows(name)]


def main(given):
    for row in given:
        measure(row)


def rows(name):
    """Rows of a table, or the one of "table/row", as "table/row"; none if there is no such name."""
    parts = pathlib.PurePath(name).parts
    if len(parts) not in (1, 2) or ".." in parts or not name.isprintable():
        return []
    found = sorted(file for file in HERE.glob("*/*.flags") if file.parent.name == parts[0])
    return [f"{parts[0]}/{file.stem}" for file in found if parts[1:] in ((), (file.stem,))]


def measure(row):
    """Trains as the row's flagfile says, goes on where that was stopped, and writes the row's .json."""
    flagfile = HERE / f"{row}.flags"
    run_dir = pathlib.Path("runs", "results", row.replace("/", "-"))
    stopped = (run_dir / "config.json").exists() and not (run_dir / "DONE").exists()
    given = [f"--flagfile={flagfile}", f"--run_dir={run_dir}", *([] if stopped else ["--overwrite"])]
    ended = subprocess.run([sys.executable, "-m", "keras_cl.main", *given]).returncode
    if ended:  # the run has said why
        sys.exit(ended)
    collect(row, run_dir)


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
