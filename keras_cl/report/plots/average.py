"""Average accuracy.

Mean accuracy over the tasks learned so far, A_t, as tasks are added: one line per group of runs. Percent of
the test images; bands are one standard deviation over seeds.
"""

import numpy as np

from keras_cl import metrics
from keras_cl.report.plots.lines import by_task
from keras_cl.report.plots.seeds import matrices

WIDE, PANELS, SINGLE = False, 1, False


def measured(group, metric=metrics.average_accuracy):
    """A metric after 1 to T tasks, `[S, T]`, percent; NaN where it was not measured."""
    found = matrices(group)
    tasks = range(1, found.shape[2] + 1)
    return 100 * np.array([[metric(matrix, task) for task in tasks] for matrix in found], float)


def applies(groups, metric=metrics.average_accuracy):
    """Whether it was measured after some task in all seeds of a group."""
    return any(np.isfinite(measured(group, metric)).all(axis=0).any() for group in groups)


def draw(axes, groups):
    """Draws a line per group."""
    return by_task(axes, groups, measured, "average accuracy (%)")
