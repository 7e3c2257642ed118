"""Accuracy of every class.

Rows are the numbers of tasks learned, columns the classes: the accuracy on the test images of a class, mean
over the tasks learned so far that have it, and over seeds. Percent; a cell is empty before the class was
learned.
"""

import numpy as np

from keras_cl.report.plots import cells
from keras_cl.report.plots.lines import label_ticks, task_ticks
from keras_cl.report.plots.seeds import counted, matrices, mean_and_std, shown, told

WIDE, PANELS, SINGLE = False, 1, True


def applies(groups):
    """Whether every run of a group has recorded it."""
    return any(_labels(group) and np.isfinite(mean_and_std(_values(group))[0]).any() for group in groups)


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    return cells.size(matrices(groups[0]).shape[2], len(_labels(groups[0])))


def draw(axes, groups):
    """Draws the classes of the first group."""
    group, labels, values = groups[0], _labels(groups[0]), _values(groups[0])
    mean, std = mean_and_std(values)
    of = counted(len(values), "seed")

    def text(i, j):
        value = told(mean[i, j], None if std is None else std[i, j])
        return f"{group.label}, class {labels[j]} after {counted(i + 1, 'task')}: {value}, {of}"

    mark = cells.draw(axes, mean, text, group.label, "accuracy (%)")
    label_ticks(axes.xaxis, labels)
    task_ticks(axes.yaxis, len(mean), offset=-1)
    axes.set(xlabel="class", ylabel="tasks learned")
    return [mark]


def _labels(group):
    """The classes of which something was recorded, sorted."""
    records = [record for run in shown(group) for record in run.results.class_accuracies]
    return sorted({label for record in records for classes in record.values() for label in classes})


def _values(group):
    """Percent `[S, T, classes]` after 1 to T tasks, NaN where a class is not learned or not measured."""
    labels, (_, _, tasks) = _labels(group), matrices(group).shape
    values = np.full((len(shown(group)), tasks, len(labels)), np.nan)
    for own, run in zip(values, shown(group), strict=True):
        for after, record in enumerate(run.results.class_accuracies[1:], start=1):
            for place, label in enumerate(labels):
                found = [classes.get(label) for task, classes in record.items() if task < after]
                found = [value for value in found if value is not None]
                own[after - 1, place] = 100 * np.mean(found) if found else np.nan
    return values
