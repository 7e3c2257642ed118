"""Accuracy matrix.

Rows are the numbers of tasks learned, columns the tasks: read a column downwards to see a task being learned
and forgotten. Percent of the test images, mean over seeds; an empty cell was not measured.
"""

import numpy as np

from keras_cl.report.plots import cells
from keras_cl.report.plots.lines import LABELLED, task_ticks
from keras_cl.report.plots.seeds import counted, matrices, mean_and_std, told

WIDE, PANELS, SINGLE = False, 1, True


def applies(groups):
    """Whether an accuracy was measured."""
    return any(np.isfinite(matrices(group)).any() for group in groups)


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    _, after, tasks = matrices(groups[0]).shape
    return cells.size(after, tasks)


def draw(axes, groups):
    """Draws the matrix of the first group."""
    return draw_matrices(axes, groups[0], 100 * matrices(groups[0]), "accuracy (%)")


def draw_matrices(axes, group, values, bar, unit="%", digits=1, **options):
    """Draws the mean of matrices `[S, T + 1, T]`; row 0, of the untrained network, only if it was measured.

    Args:
      axes: matplotlib's axes.
      group: whose they are.
      values: the matrices, one per seed.
      bar: label of the colour bar.
      unit: of the values, as hovering says it.
      digits: after the point, there.
      **options: of `cells.draw`.
    """
    mean, std = mean_and_std(values)
    first = 0 if np.isfinite(mean[0]).any() else 1
    tasks, of = mean.shape[1], counted(len(values), "seed")

    def text(i, j):
        after = f"after {counted(i + first, 'task')}" if i + first else "untrained"
        value = told(mean[i + first, j], None if std is None else std[i + first, j], unit, digits)
        return f"{group.label}, task {j + 1} {after}: {value}, {of}"

    mark = cells.draw(axes, mean[first:], text, group.label, bar, **options)
    task_ticks(axes.xaxis, tasks, offset=-1)
    task_ticks(axes.yaxis, tasks, first, offset=-first)
    if not first and tasks <= LABELLED:
        axes.yaxis.set_ticks(range(tasks + 1), ["none", *range(1, tasks + 1)])
    axes.set(xlabel="task", ylabel="tasks learned")
    return [mark]
