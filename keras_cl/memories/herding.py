"""Herding: stores the rows of each class whose mean feature is closest to the mean of the whole class.

Welling 2009; as in iCaRL, Rebuffi et al. 2017 (arXiv:1611.07725), algorithms 4 and 5.
"""

import numpy as np

from keras_cl.errors import require
from keras_cl.memories.base import Memory


class Herding(Memory):
    """Exemplars of each cell, a class of a task, in the order of selection.

    After a task each of the t cells seen so far has m = capacity / t rows: old cells keep their first m rows
    (algorithm 5), new cells select theirs by herding (algorithm 4).

    Args:
      stream: `Stream` that the rows come from.
      capacity: largest number of stored rows.
    """

    by_row = False

    def __init__(self, stream, *, capacity: int = 500, **base):
        super().__init__(stream, capacity=capacity, **base)
        self.require_cells("herding memory", self.cells, "cells of a task and a class")

    def update(self, task, features=None):
        require(features is not None, "A herding memory chooses by features; give update(task, features).")
        held, (x, y, own) = self.held(), self.rows()
        seen = sorted({*zip(own.tolist(), y.tolist(), strict=True)})
        x_new, y_new = task.train.open()
        units = np.unique(y_new).tolist()
        m = self.capacity // (len(seen) + len(units))
        kept = [held.cell(*cell)[:m] for cell in seen]
        parts = [(x[slots], y[slots], own[slots]) for slots in kept]
        phi = features(x_new)
        for unit in units:
            rows = np.flatnonzero(y_new == unit)
            rows = rows[herded(phi[rows], m)]
            parts.append((x_new[rows], y_new[rows], np.full(len(rows), task.index)))
        self.refill(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def herded(phi, count):
    """Positions of `count` rows (at most n) of features `phi` `[n, F]`, in the order of selection.

    Features are scaled to length 1. Each step selects the row that brings the mean of the selected rows
    closest to the mean of all rows.
    """
    phi = normalised(phi)
    mu, total = phi.mean(axis=0), np.zeros(phi.shape[1])
    chosen, free = [], np.ones(len(phi), bool)
    for k in range(1, 1 + min(count, len(phi))):
        distance = np.square(mu - (phi + total) / k).sum(axis=1)
        p = int(np.where(free, distance, np.inf).argmin())
        chosen.append(p)
        free[p], total = False, total + phi[p]
    return np.array(chosen, int)


def normalised(phi):
    """Features `[n, F]` as float64, scaled to length 1; features of length 0 stay 0."""
    phi = np.asarray(phi, float)
    length = np.linalg.norm(phi, axis=1, keepdims=True)
    return phi / np.where(length > 0, length, 1)
