"""Runs the rows of a table and keeps their numbers.

    python -m results.run digits            every row of results/digits
    python -m results.run digits/ewc        one row

A row is a flagfile, results/<table>/<row>.flags; its numbers go to the .json file beside it.
"""

import csv
import json
import pathlib
import subprocess
import sys

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


def main(names):
    for name in names:
        for row in rows(name):
            measure(row)


def rows(name):
    """Flagfiles of a table, or the one of a row, as "table/row"."""
    found = sorted(HERE.glob(f"{name}.flags") if "/" in name else HERE.glob(f"{name}/*.flags"))
    if not found:
        tables = ", ".join(sorted({file.parent.name for file in HERE.glob("*/*.flags")}))
        sys.exit(f"Error: there is no table or row {name}; tables are {tables}.")
    return [f"{file.parent.name}/{file.stem}" for file in found]


def measure(row):
    """Trains as the row's flagfile says, goes on where that was stopped, and writes the row's .json."""
    flagfile = HERE / f"{row}.flags"
    run_dir = pathlib.Path("runs", "results", row.replace("/", "-"))
    stopped = (run_dir / "config.json").exists() and not (run_dir / "DONE").exists()
    flags = [f"--flagfile={flagfile}", f"--run_dir={run_dir}", *([] if stopped else ["--overwrite"])]
    subprocess.run([sys.executable, "-m", "keras_cl.main", *flags], check=True)
    collect(row, run_dir)


def collect(row, run_dir):
    """Writes the row's .json from the directory of its run."""
    flagfile = HERE / f"{row}.flags"
    config = json.loads((run_dir / "config.json").read_text())
    summary = json.loads((run_dir / "summary.json").read_text())
    offline = config["settings"].get("method.offline")  # the rows before the last are of no training
    with open(run_dir / "matrix.csv", newline="") as file:
        learned = list(csv.reader(file))[2:]  # after a headline and the untrained network
    seen = [[float(value) for value in row[1 : 2 + t]] for t, row in enumerate(learned)]
    content = {
        "command": f"python -m keras_cl.main --flagfile=results/{row}.flags",
        "seeds": config["settings"]["seeds"],
        "versions": config["versions"],
        **{name: _rounded(summary.get(name)) for name in (NUMBERS[:1] if offline else NUMBERS)},
        "accuracy_of_tasks_seen": None if offline else [round(sum(row) / len(row), 4) for row in seen],
        **{name: round(summary[name], 4) for name in SIZES if name in summary},
        "kept_bytes": summary["network_bytes"] + summary["method_bytes"][-1] + summary["memory_bytes"][-1],
        **({"sizes": summary["sizes"]} if "sizes" in summary else {}),
    }
    flagfile.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")


def _rounded(value):
    """Mean and spread to six digits, also where there is one seed and no spread."""
    value = value if isinstance(value, dict) else {"mean": value, "std": None}
    return {key: None if value[key] is None else round(value[key], 6) for key in ("mean", "std")}


if __name__ == "__main__":
    main(sys.argv[1:])
