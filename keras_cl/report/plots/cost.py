"""Cost against accuracy.

One point per run, and better to the upper left: training time of all tasks, parameters of the network, and
bytes of the method's own variables and of the memory after the last task, each against the average accuracy
after the last task.
"""

import functools

import numpy as np

from keras_cl import metrics
from keras_cl.report.plots import points
from keras_cl.report.plots.lines import legend

WIDE, PANELS, SINGLE = True, 3, False
COSTS = (  # what a run's records sum up to, and how an axis and hovering name it
    ("seconds", "training time (s)", "{:.1f} s"),
    ("parameters", "parameters", "{:,.0f} parameters"),
    ("bytes", "method and memory (bytes)", "{:,.0f} bytes of method and memory"),
)
LARGE = 30  # ratio of costs from which their axis is logarithmic


def applies(groups):
    """Whether a finished run has an average accuracy."""
    runs = [run for group in groups for run in group.finished]
    return any(_measured(cost, run)[1] is not None for cost, *_ in COSTS for run in runs)


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    del groups
    return 7.2, 1.7


def draw(axes, groups):
    """Draws a point per finished run, on three axes."""
    marks = []
    for panel, (cost, label, told) in zip(axes, COSTS, strict=True):
        measured = functools.partial(_measured, cost)
        marks += points.draw(panel, groups, measured, (told + ", average accuracy {:.1f} %").format)
        _scaled(panel, np.concatenate([[], *(mark.x for mark in marks if mark.artist.axes is panel)]))
        panel.set_xlabel(label)
        panel.margins(y=0.1)
    axes[0].set_ylabel("average accuracy (%)")
    legend(axes[0], groups)
    return marks


def _measured(cost, run):
    """A cost of a run, and its average accuracy in percent; None for what is not known."""
    accuracy = metrics.average_accuracy(run.matrix)
    learned = run.results.records[1:]
    names = {"bytes": ("method_bytes", "memory_bytes")}.get(cost, (cost,))
    values = [[record.get(name) for name in names] for record in learned]
    if not values or any(None in one for one in values):
        return None, None
    total = sum(one[0] for one in values) if cost == "seconds" else sum(values[-1])
    return total, accuracy if accuracy is None else 100 * accuracy


def _scaled(panel, costs):
    """A logarithmic axis for costs of several orders of magnitude, otherwise one from 0."""
    from matplotlib import ticker

    least, most = min(costs[costs > 0], default=1), costs.max(initial=0)
    if most > LARGE * least and costs.min() > 0:
        panel.set_xscale("log")
        return
    if most > LARGE * least:
        panel.set_xscale("symlog", linthresh=least)
        return
    panel.set_xlim(-0.05 * (most or 1), 1.1 * most or 1)  # a point at 0 is whole
    panel.xaxis.set_major_locator(ticker.MaxNLocator(4) if most else ticker.FixedLocator([0]))
    panel.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
