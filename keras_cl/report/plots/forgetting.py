"""Forgetting.

Mean drop of the earlier tasks from their peak accuracy, F_t, as tasks are added: one line per group of runs.
In percent points, 0 is best; bands are one standard deviation over seeds.
"""

import functools

from keras_cl import metrics
from keras_cl.report.plots import average
from keras_cl.report.plots.lines import by_task

WIDE, PANELS, SINGLE = False, 1, False

measured = functools.partial(average.measured, metric=metrics.forgetting)
applies = functools.partial(average.applies, metric=metrics.forgetting)


def draw(axes, groups):
    """Draws a line per group, on an axis that has 0."""
    marks = by_task(axes, groups, measured, "forgetting (percent points)")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.05 * high), max(high, 0))
    return marks
