"""Figures of a run, drawn from its directory alone."""

import csv
import functools
import io
import json
import pathlib
import re

import numpy as np

from keras_cl.errors import require
from keras_cl.runs.directory import read_matrix
from keras_cl.runs.files import replace
from keras_cl.settings.config import data_name
from keras_cl.settings.external import short_name

FORGETTING = ("bound", "predicted", "forgetting")  # of task 1, columns of curvature.csv


def draw(path):
    """Draws the figures of a run to its directory `path`, from the files there.

    matrix.png is the accuracy matrix: one row per number of tasks learned, one column per task. accuracy.png
    is the accuracy on every task, and the mean over the tasks seen, against the number of tasks learned.
    training.png shows the accuracies after every epoch if they were measured; validation.png the loss and the
    accuracy of every epoch on the training and the validation rows, if there are any; curvature.png shows
    the curvature if it was measured.
    """
    from matplotlib.figure import Figure

    path = pathlib.Path(path)
    R = read_matrix(path / "matrix.csv")
    spread = read_matrix(path / "matrix_std.csv") if (path / "matrix_std.csv").exists() else None
    settings = json.loads((path / "config.json").read_text())["settings"]
    about = f"{settings['scenario']}-incremental, {_seeds(settings['seeds'])}"
    title = f"{short_name(settings['method'])} on {_stream(settings)}, {about}"
    plots = {
        "matrix.png": functools.partial(_matrix, R),
        "accuracy.png": functools.partial(_accuracy, R, spread),
    }
    epochs = _epochs(path) if settings["eval_every"] == "epoch" else None
    if epochs is not None:
        plots["training.png"] = functools.partial(_training, *epochs)
    if (losses := _losses(path)) is not None:
        plots["validation.png"] = functools.partial(_validation, losses)
    if (path / "curvature.csv").exists():
        plots["curvature.png"] = functools.partial(_curvature, _curvature_columns(path / "curvature.csv"))
    for name, plot in plots.items():
        wide = name in ("curvature.png", "validation.png")
        figure = Figure(figsize=(10.2 if wide else 6.4, 4.8), layout="constrained")
        plot(axes=figure.subplots(1, 2 if wide else 1))
        figure.suptitle(title, fontsize=11)
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=120, format="png")
        replace(path / name, drawn.getvalue())


def _stream(settings):
    return f"{short_name(settings['stream'])} {data_name(settings['dataset'])}".rstrip()


def _seeds(seeds):
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"


def _epochs(path):
    """Accuracies `[records, T]` on all tasks after each epoch, NaN before a task begins, the task of each
    record, its place on the axis, and the axis; None if nothing was recorded. The records of a task with
    --iterations are within its one epoch and have their step."""
    if not (path / "metrics.csv").exists():
        return None
    with open(path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return None
    names = [name for name in rows[0] if re.fullmatch(r"task_\d+", name)]
    measured = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    tasks = np.array([int(row["task"]) for row in rows])
    if not rows[0].get("step"):
        return measured, tasks, np.arange(1, len(rows) + 1), "epochs over all tasks"
    steps = np.array([int(row["step"]) for row in rows])
    ends = np.append(np.diff(tasks) > 0, True)
    before = np.cumsum(np.where(ends, steps, 0)) - np.where(ends, steps, 0)  # in earlier tasks
    return measured, tasks, steps + before, "steps over all tasks"


def _training(measured, tasks, places, unit, *, axes):
    for j, accuracy in enumerate(measured.T):
        axes.plot(places, 100 * accuracy, lw=1.2, label=f"task {j + 1}" if measured.shape[1] <= 10 else None)
    for last in np.flatnonzero(np.diff(tasks)):
        axes.axvline((places[last] + places[last + 1]) / 2, color="0.8", lw=0.8, zorder=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel=unit, ylabel="accuracy on test images, percent", ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")


def _losses(path):
    """Columns of metrics.csv if the epochs have validation losses, else None."""
    if not (path / "metrics.csv").exists():
        return None
    columns = _columns(path / "metrics.csv")
    return columns if "val_loss" in columns else None


def _validation(columns, *, axes):
    epochs = np.arange(1, len(columns["task"]) + 1)
    for panel, name, scale in zip(axes, ("loss", "accuracy"), (1, 100), strict=True):
        for rows, column in (("training", name), ("validation", f"val_{name}")):
            panel.plot(
                epochs, scale * columns[column], lw=1.2, marker="o", markersize=2, label=f"{rows} rows"
            )
        for first in np.flatnonzero(np.diff(columns["task"])) + 1.5:
            panel.axvline(first, color="0.8", lw=0.8, zorder=0)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set(xlabel="epochs over all tasks", ylabel=name + (", percent" if scale > 1 else ""))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)


def _matrix(R, *, axes):
    tasks = R.shape[1]
    image = axes.imshow(100 * R, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    axes.figure.colorbar(image, label="accuracy, percent")
    axes.set_xticks(range(tasks), range(1, tasks + 1))
    axes.set_yticks(range(tasks + 1), ["untrained", *range(1, tasks + 1)])
    axes.set(xlabel="measured on task", ylabel="after task")
    if tasks <= 10:
        for (i, j), value in np.ndenumerate(R):
            if not np.isnan(value):
                color = "black" if value > 0.6 else "white"
                axes.text(j, i, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=8)


def _accuracy(R, spread, *, axes):
    tasks = R.shape[1]
    after = np.arange(1, tasks + 1)
    labelled = tasks <= 10
    for j in range(tasks):
        seen = after[j:]
        label = f"task {j + 1}" if labelled else None
        shade = {"color": f"C{j}"} if labelled else {"color": "0.8"}
        line = axes.plot(seen, 100 * R[seen, j], marker="o", markersize=3, lw=1, label=label, **shade)[0]
        if spread is not None:
            low, high = (100 * (R[seen, j] + sign * spread[seen, j]) for sign in (-1, 1))
            axes.fill_between(seen, low, high, alpha=0.15, color=line.get_color(), lw=0)
    means = [100 * np.mean(R[t, :t]) for t in after]
    axes.plot(after, means, color="black", lw=2.5, label="mean of tasks seen")
    axes.set_xticks(after if labelled else after[:: -(-tasks // 10)])
    axes.set(xlabel="tasks learned", ylabel="accuracy on test images, percent", ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")


def _columns(file):
    """`{name: array}` of a CSV file of numbers, NaN for empty cells."""
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    names = rows[0] if rows else ()
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _curvature_columns(file):
    """As `_columns`; raises `InputError` if something of a measurement is missing."""
    needed = {"task", "eigenvalue_1", *(f"task_1_{name}" for name in FORGETTING)}
    try:
        columns = _columns(file)
    except (ValueError, TypeError, csv.Error):
        columns = {}
    require(
        needed <= columns.keys(), f"{file} is damaged; remove it, or give --curvature to measure it again."
    )
    return columns


def _curvature(columns, *, axes):
    """Eigenvalues after each task, and the measured and the predicted forgetting of the first task."""
    spectrum, forgetting = axes
    tasks = columns["task"]
    names = [name for name in columns if name.startswith("eigenvalue_")]
    for place, name in enumerate(names):
        shade, label = str(0.8 * place / len(names)), name.replace("_", " ") if place < 5 else None
        spectrum.plot(tasks, columns[name], marker="o", markersize=3, lw=1.2, color=shade, label=label)
    title = "Largest eigenvalues of each task's Hessian"
    spectrum.set(xlabel="task", ylabel="eigenvalue where it was learned", title=title)
    spectrum.set_ylim(bottom=min(0, spectrum.get_ylim()[0]))
    for name, label, style in (
        ("bound", r"bound, $\lambda_{max}\,||\Delta w||^2/2$", {"color": "0.6", "ls": "--"}),
        ("predicted", r"predicted, $\Delta w'H\Delta w/2$", {"color": "C0"}),
        ("forgetting", "measured", {"color": "C3", "lw": 2}),
    ):
        forgetting.plot(tasks, columns[f"task_1_{name}"], marker="o", markersize=3, label=label, **style)
    forgetting.set(xlabel="tasks learned", ylabel="rise of the loss", title="Forgetting of task 1")
    _scaled(forgetting, [columns[f"task_1_{name}"] for name in FORGETTING])
    for panel in axes:
        panel.legend(fontsize=8)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)


def _scaled(panel, curves):
    """Sets a logarithmic scale if there are values; it is linear near 0 if some values are not positive."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0:
        panel.set_yscale("log")
    elif values.any():
        panel.set_yscale("symlog", linthresh=np.abs(values).max() / 1000)
