"""Loss matrix.

The accuracy matrix's layout with the mean cross entropy of the test images of each task, in nats, mean over
seeds: bright is low. It shows forgetting that has not yet changed a prediction. An empty cell was not
measured.
"""

import numpy as np

from keras_cl.report.plots import matrix
from keras_cl.report.plots.seeds import shown

WIDE, PANELS, SINGLE = False, 1, True
size = matrix.size


def applies(groups):
    """Whether every run of a group has recorded losses."""
    return any(np.isfinite(_losses(group)).all(axis=0).any() for group in groups)


def draw(axes, groups):
    """Draws the matrix of the first group."""
    values = _losses(groups[0])
    high = float(np.nanmax(values.mean(axis=0))) or 1.0
    numbers = ("{:.2f}", "{:.1f}", *(["{:.0f}"] if high >= 10 else []))  # else most would be 0
    options = {"numbers": numbers, "high": high, "reverse": True}
    return matrix.draw_matrices(axes, groups[0], values, "cross entropy (nats)", "nats", digits=3, **options)


def _losses(group):
    """Losses `[S, T + 1, T]`, NaN where nothing was measured."""
    found = np.full(matrix.matrices(group).shape, np.nan)
    for own, run in zip(found, shown(group), strict=True):
        losses = run.results.losses
        own[: len(losses)] = losses
    return found
