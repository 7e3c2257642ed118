"""Herding: the rows of every class whose features have the mean closest to that of the whole class.

Welling 2009; as in iCaRL, Rebuffi et al. 2017 (arXiv:1611.07725), algorithms 4 and 5.
"""

import numpy as np

from keras_cl.errors import require
from keras_cl.memories.base import Memory


class Herding(Memory):
    """Exemplars of each cell, a class of a task, in the order in which they were chosen.

    After a task each of the t cells seen so far has m = capacity / t rows: old cells keep the first m of
    theirs (algorithm 5), new ones get theirs by herding (algorithm 4).

    Args:
      stream: what its rows come from.
      capacity: rows that it can hold.
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
    """Positions of `count` rows of features `phi` `[n, F]`, each brought to length 1, in the order in which
    they bring the mean of those chosen closest to the mean of all (at most n)."""
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
    """Features `[n, F]` as float64 of length 1; those of length 0 stay."""
    phi = np.asarray(phi, float)
    length = np.linalg.norm(phi, axis=1, keepdims=True)
    return phi / np.where(length > 0, length, 1)
