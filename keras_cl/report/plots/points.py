"""Runs as points: one per seed, one look per group."""

import numpy as np

from keras_cl.report.plots.looks import look
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import named


def draw(axes, groups, measured, told):
    """Draws a point per run; returns the `Mark`s.

    Args:
      axes: matplotlib's axes.
      groups: the `Group`s.
      measured: function of a run -> x and y; a point is left out if one is None.
      told: function (x, y) -> what hovering says of them.
    """
    marks = []
    for number, group in enumerate(groups):
        found = [(run.seed, *measured(run)) for run in group.finished]
        found = [(seed, x, y) for seed, x, y in found if x is not None and y is not None]
        if found:
            seeds, x, y = zip(*found, strict=True)
            style = {**look(number), "linestyle": "none", "markersize": 4.5, "alpha": 0.8}
            artist = axes.plot(x, y, label=named(group, groups), **style)[0]
            texts = [f"{group.label}, seed {seed}: {told(*place)}" for seed, *place in found]
            marks.append(Mark(artist, group.label, np.array(x), np.array(y), texts))
    return marks
