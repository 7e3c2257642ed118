"""Draws the figures of the documentation from the result files.

python -m results.figures
"""

import json
import pathlib

import numpy as np
from absl import app

from keras_cl.errors import require
from keras_cl.numerics.schedules import images_to_generate
from keras_cl.settings import command
from keras_cl.settings.flags import parse, read_own

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent / "docs"
SCHEDULES = ("constant", "log", "sublinear", "linear", "list")


STREAMS = {
    "stable_permuted": "permuted MNIST",
    "stable_rotated": "rotated MNIST",
    "stable_split": "split CIFAR-100",
}
METHODS = ("finetune", "ewc", "agem", "er", "stable")


def parse_nothing(argv):
    """Accepts a command line without arguments; prints help and exits if it has a help flag."""
    _, rest = read_own(argv, __doc__ or "")
    require(not rest, f"{' '.join(rest)!r} is not understood; results.figures takes no arguments.")


def main(argv):
    del argv
    for draw in (schedules, stable, rates, convergence):
        try:
            draw().savefig(DOCS / f"{draw.__name__}.png", dpi=100)
        except FileNotFoundError as error:
            print(f"{draw.__name__} is not drawn: there is no {error.filename}; see results.run.")


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


def stable():
    """Accuracy on the tasks seen and on the first task as twenty tasks are learned, by method."""
    from matplotlib.figure import Figure

    tables = {table: title for table, title in STREAMS.items() if (HERE / table).is_dir()}
    figure = Figure(figsize=(4 * len(tables), 6.4), layout="constrained")
    panels = figure.subplots(2, len(tables), sharex=True, sharey=True)
    for (table, title), column in zip(tables.items(), panels.T, strict=True):
        for place, name in enumerate(METHODS):
            row = HERE / table / f"{name}.json"
            if row.exists():
                measured, style = json.loads(row.read_text()), {"color": f"C{place}", "label": name}
                _band(column[0], measured["accuracy_of_tasks_seen"], style)
                _band(column[1], measured["accuracy_of_first_task"], style)
        column[0].set_title(title)
        column[1].set_xlabel("tasks learned")
    for axes, label in zip(
        panels[:, 0], ("accuracy on the tasks learned", "accuracy on the first task"), strict=True
    ):
        axes.set_ylabel(f"{label}, percent")
    panels[1, 0].legend(fontsize=8, loc="lower left")
    return figure


def _band(axes, curve, style):
    """One line with a band of a standard deviation where there are several seeds."""
    mean = 100 * np.array(curve["mean"])
    tasks = np.arange(1, len(mean) + 1)
    axes.plot(tasks, mean, lw=1.5, **style)
    if curve["std"]:
        spread = 100 * np.array(curve["std"])
        axes.fill_between(tasks, mean - spread, mean + spread, color=style["color"], alpha=0.2, lw=0)
    axes.grid(alpha=0.3)


def rates():
    """Forgetting and accuracy by the learning rate, constant and falling from task to task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for name, label in (("constant", "constant"), ("decay", "halved from task to task")):
        files = [HERE / "learning_rates" / f"{name}-{rate}.json" for rate in ("003", "01", "03", "1", "3")]
        rows = [json.loads(file.read_text()) for file in files]
        for axes, key, factor in zip(panels, ("forgetting", "average_accuracy"), (1, 100), strict=True):
            mean, std = (factor * np.array([row[key][part] for row in rows]) for part in ("mean", "std"))
            axes.errorbar(list(map(rate_of, files)), mean, std, marker="o", ms=4, capsize=3, label=label)
    for axes, label in zip(panels, ("forgetting", "average accuracy, percent"), strict=True):
        axes.set(xscale="log", xlabel="learning rate", ylabel=label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return figure


def rate_of(file):
    """The learning rate of a row."""
    return parse(["", f"--flagfile={file.with_suffix('.flags')}"]).learning_rate


def convergence():
    """Steps that each task takes to a given accuracy under each schedule, and what is left at the end."""
    from matplotlib.figure import Figure

    measured = json.loads((HERE / "convergence.json").read_text())
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    steps, final = figure.subplots(1, 2, width_ratios=(3, 2))
    for name, found in measured["schedules"].items():
        tasks = range(1, len(found["steps"]["mean"]) + 1)
        steps.plot(tasks, found["steps"]["mean"], marker="o", markersize=3, lw=1.2, label=name)
        final.plot(100 * found["learning_accuracy"], 100 * found["average_accuracy"], "o")
        place = (100 * found["learning_accuracy"], 100 * found["average_accuracy"])
        final.annotate(name, place, fontsize=8, xytext=(4, 3), textcoords="offset points")
    final.margins(x=0.2)
    steps.set(xlabel="task", ylabel=f"steps to {100 * measured['target']:.0f} percent", ylim=0)
    steps.set_xticks(tasks)
    final.set(xlabel="accuracy just after learning, percent", ylabel="average accuracy at the end, percent")
    for axes in (steps, final):
        axes.grid(alpha=0.3)
    steps.legend(fontsize=8)
    return figure


def images(flagfile, tasks):
    """Images that a row draws before each task."""
    options = parse(["", f"--flagfile={flagfile}"]).options_of("method")
    law = [options[name] for name in ("images", "power", "listed")]
    return [images_to_generate(options["schedule"], task - 1, *law) for task in tasks]


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse_nothing))
