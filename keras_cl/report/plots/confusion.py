"""Confusion matrix.

After the last task: rows are the true classes, columns what was predicted, in percent of the test images of
the true class; the images of all tasks and seeds together. An empty row has no images.
"""

import numpy as np

from keras_cl.report.plots import cells
from keras_cl.report.plots.lines import label_ticks
from keras_cl.report.plots.seeds import counted

WIDE, PANELS, SINGLE = False, 1, True
SAID = 10_000  # cells, the fullest, of which hovering says something


def applies(groups):
    """Whether a finished run has recorded it."""
    return any(_found(group) for group in groups)


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    labels, _ = _found(groups[0])[0]
    return cells.size(len(labels), len(labels))


def draw(axes, groups):
    """Draws the matrix of the first group."""
    group, found = groups[0], _found(groups[0])
    labels = found[0][0]
    counts = np.sum([counts for _, counts in found], axis=0)
    rows = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        percent = np.where(rows > 0, 100 * counts / rows, np.nan)
    of = counted(len(found), "seed")

    def text(i, j):
        share = f"{counts[i, j]:,} of {rows[i, 0]:,} images ({percent[i, j]:.1f} %)"
        return f"{group.label}, class {labels[i]} taken for {labels[j]}: {share}, {of}"

    bar, formats = "share of the class (%)", ("{:.1f}", "{:.0f}")
    mark = cells.draw(axes, percent, text, group.label, bar, numbers=formats, said=_fullest(counts))
    for axis in (axes.xaxis, axes.yaxis):
        label_ticks(axis, labels)
    axes.set(xlabel="predicted class", ylabel="true class")
    return [mark]


def _fullest(counts):
    """Which cells are not empty, and among the `SAID` fullest."""
    found = np.zeros(counts.size, bool)
    found[np.argsort(-counts, axis=None, kind="stable")[:SAID]] = True
    return found.reshape(counts.shape) & (counts > 0)


def _found(group):
    """Labels and counts of every finished run that has them."""
    found = [run.results.confusion for run in group.finished]
    found = [(list(one[0]), np.asarray(one[1])) for one in found if one]
    return [one for one in found if one[0] == found[0][0]]
