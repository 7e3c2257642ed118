"""Draws the figures of the documentation from the result files.

python -m results.figures
"""

import json
import pathlib

from keras_cl.flags import parse
from keras_cl.schedules import images_to_generate

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent / "docs"
SCHEDULES = ("constant", "log", "sublinear", "linear", "list")


def main():
    schedules().savefig(DOCS / "schedules.png", dpi=100)


def schedules():
    """How many images each schedule of `generative_replay` draws, and the accuracy as tasks are added."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    drawn, known = figure.subplots(1, 2)
    for name in SCHEDULES:
        row = HERE / "generative" / f"replay-{name}"
        measured = json.loads(row.with_suffix(".json").read_text())["accuracy_of_tasks_seen"]["mean"]
        tasks = range(1, len(measured) + 1)
        drawn.plot(tasks, images(row.with_suffix(".flags"), tasks), marker="o", markersize=3, label=name)
        known.plot(tasks, [100 * accuracy for accuracy in measured], marker="o", markersize=3, label=name)
    drawn.set(xlabel="task", ylabel="images drawn before it")
    known.set(xlabel="tasks learned", ylabel="mean accuracy on them, percent")
    for axes in (drawn, known):
        axes.set_xticks(tasks)
        axes.grid(alpha=0.3)
    known.legend(fontsize=8)
    return figure


def images(flagfile, tasks):
    """Images that a row draws before each task."""
    options = parse(["", f"--flagfile={flagfile}"]).options_of("method")
    law = [options[name] for name in ("images", "power", "listed")]
    return [images_to_generate(options["schedule"], task - 1, *law) for task in tasks]


if __name__ == "__main__":
    main()
