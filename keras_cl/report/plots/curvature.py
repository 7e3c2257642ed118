"""Curvature.

Left, the largest eigenvalues of each task's Hessian where it was learned; right, how much the loss of the
first task rose as tasks were added, what a quadratic with that Hessian predicts, and its upper bound from the
largest eigenvalue. Means over seeds; losses in nats.
"""

import csv

import numpy as np

from keras_cl.errors import require
from keras_cl.report.plots.lines import legend, line, task_ticks
from keras_cl.report.plots.looks import look, shades
from keras_cl.report.plots.seeds import counted, shown

WIDE, PANELS, SINGLE = True, 2, True
FILE = "curvature.csv"
FORGETTING = {  # of task 1, columns of curvature.csv
    "bound": "bound, λ‖Δw‖²/2",
    "predicted": "predicted, Δw′HΔw/2",
    "forgetting": "measured",
}
NAMED = 5  # eigenvalues in the legend


def applies(groups):
    """Whether curvature was measured."""
    return any((run.path / FILE).exists() for group in groups for run in shown(group))


def draw(axes, groups):
    """Draws eigenvalues, and predicted and measured forgetting, of the first group.

    Raises:
      InputError: if a measurement is damaged.
    """
    runs = [run for run in shown(groups[0]) if (run.path / FILE).exists()]
    found = [_columns(run.path / FILE) for run in runs]
    found = [one for one in found if _alike(one, found[0])]
    columns = {name: np.array([one[name] for one in found]) for name in found[0]}
    spectrum, forgetting = axes
    tasks = columns["task"][0].astype(int)
    marks = _eigenvalues(spectrum, columns, tasks)
    where = [f"after {counted(task, 'task')}" for task in tasks]
    for number, (name, label) in enumerate(FORGETTING.items()):
        values, style = columns[f"task_1_{name}"], look(number, len(tasks))
        options = {"unit": "nats", "digits": 4, "band": False}
        marks += line(forgetting, label, tasks, values, label, style, where, **options)
    _scaled(forgetting, [columns[f"task_1_{name}"].mean(axis=0) for name in FORGETTING])
    for panel in axes:
        task_ticks(panel.xaxis, int(tasks.max(initial=1)))
        legend(panel)
    forgetting.set(xlabel="tasks learned", ylabel="rise of the loss of task 1 (nats)")
    return marks


def _eigenvalues(axes, columns, tasks):
    names = [name for name in columns if name.startswith("eigenvalue_")]
    marks, where = [], [f"task {task}" for task in tasks]
    for number, (name, color) in enumerate(zip(names, shades(len(names)), strict=True)):
        label = name.replace("_", " ")
        style = {**look(number, len(tasks)), "color": color}
        named = label if number < NAMED else None
        options = {"unit": "", "digits": 3, "band": False}
        marks += line(axes, label, tasks, columns[name], named, style, where, **options)
    axes.set(xlabel="task", ylabel="eigenvalue where it was learned")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    return marks


def _columns(file):
    """`{name: array}` of a curvature.csv, NaN for empty cells.

    Raises:
      InputError: if something of a measurement is missing.
    """
    needed = {"task", "eigenvalue_1", *(f"task_1_{name}" for name in FORGETTING)}
    try:
        with open(file, newline="") as lines:
            rows = list(csv.DictReader(lines))
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
    except (ValueError, TypeError, IndexError, csv.Error):
        columns = {}
    require(
        needed <= columns.keys(), f"{file} is damaged; remove it, or give --curvature to measure it again."
    )
    return columns


def _alike(one, other):
    return one.keys() == other.keys() and np.array_equal(one["task"], other["task"])


def _scaled(axes, curves):
    """Sets a logarithmic scale if there are values; it is linear near 0 if some values are not positive."""
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0:
        axes.set_yscale("log")
    elif values.any():
        axes.set_yscale("symlog", linthresh=np.abs(values).max() / 1000)
