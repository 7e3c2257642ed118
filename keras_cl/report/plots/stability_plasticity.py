"""Stability against plasticity.

One point per run, and better to the upper right. Plasticity is the mean accuracy on each task just after
learning it (learning accuracy); stability is 100 % minus the forgetting after the last task.
"""

from keras_cl import metrics
from keras_cl.report.plots import points
from keras_cl.report.plots.lines import legend

WIDE, PANELS, SINGLE = False, 1, False


def applies(groups):
    """Whether a finished run has both."""
    return any(None not in _measured(run) for group in groups for run in group.finished)


def draw(axes, groups):
    """Draws a point per finished run."""
    marks = points.draw(axes, groups, _measured, "plasticity {:.1f} %, stability {:.1f} %".format)
    axes.set(xlabel="plasticity: learning accuracy (%)", ylabel="stability: 100 − forgetting (%)")
    axes.margins(0.1)
    legend(axes, groups)
    return marks


def _measured(run):
    plasticity, forgetting = metrics.learning_accuracy(run.matrix), metrics.forgetting(run.matrix)
    return plasticity and 100 * plasticity, forgetting if forgetting is None else 100 * (1 - forgetting)
