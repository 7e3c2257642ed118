"""Accuracy on every task.

One line per task from when it is learned, and the mean of the tasks seen so far; after every epoch where that
was measured, with vertical lines between the tasks, otherwise after every task. Percent of the test images;
bands are one standard deviation over seeds.
"""

import numpy as np

from keras_cl.report.plots import epochs
from keras_cl.report.plots.lines import LABELLED, boundaries, legend, line, task_ticks
from keras_cl.report.plots.looks import ink, look, shades
from keras_cl.report.plots.seeds import counted, matrices

WIDE, PANELS, SINGLE = False, 1, True
COLORED = 7  # most tasks that have a look of their own


def applies(groups):
    """Whether an accuracy was measured after a task."""
    return any(np.isfinite(matrices(group)[:, 1:]).any() for group in groups)


def by_epoch(group):
    """Whether accuracies were measured after every epoch."""
    return group.settings.get("eval_every") == "epoch" and epochs.has(group, "accuracies")


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    return (7.2, 2.4) if matrices(groups[0]).shape[2] > LABELLED or by_epoch(groups[0]) else (3.5, 2.2)


def draw(axes, groups, by=""):
    """Draws the tasks of the first group, by "epoch" or by "task"; "" is by epoch where that was measured."""
    group = groups[0]
    if epochwise := by == "epoch" or not by and by_epoch(group):
        found = epochs.of(group)
        values, tasks, places, where = found.accuracies, found.tasks, found.places, found.where
        boundaries(axes, found.boundaries)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(found.label)
    else:
        values = matrices(group)[:, 1:]
        tasks = places = np.arange(1, values.shape[2] + 1)
        where = [f"after {counted(t, 'task')}" for t in tasks]
        axes.set_xlabel("tasks learned")
    marks = _lines(axes, 100 * values, tasks, places, where)
    if not epochwise:
        task_ticks(axes.xaxis, len(tasks))  # all, also if only the last was measured
    axes.set(ylabel="accuracy (%)", ylim=(-2, 102))
    legend(axes)
    return marks


def _lines(axes, values, tasks, places, where):
    """Draws values `[S, n, T]` measured while learning `tasks` `[n]`."""
    marks, count = [], values.shape[2]
    few = count <= COLORED
    colors = shades(count)
    for j in range(count):
        own = np.where(tasks > j, values[:, :, j], np.nan)
        style = look(j, len(places)) if few else {"color": colors[j], "lw": 0.8}
        label = f"task {j + 1}"
        marks += line(axes, label, places, own, label if few else None, style, where, band=few)
    seen = np.where(np.arange(count) < tasks[:, None], values, 0).sum(axis=2) / tasks
    label, style = "mean of tasks seen", {"color": ink(), "lw": 2}
    marks += line(axes, label, places, seen, label, style, where)
    if not few:
        _bar(axes, count)
    return marks


def _bar(axes, count):
    """A colour bar of the tasks."""
    from matplotlib import cm, colors

    colormap = colors.ListedColormap(shades(count))
    mappable = cm.ScalarMappable(colors.Normalize(0.5, count + 0.5), colormap)
    bar = axes.figure.colorbar(mappable, cax=axes.inset_axes([1.015, 0, 0.02, 1]), label="task")
    bar.solids.set_edgecolor("face")  # viewers of vector files show seams otherwise
    task_ticks(bar.ax.yaxis, count)
    bar.ax.minorticks_off()
