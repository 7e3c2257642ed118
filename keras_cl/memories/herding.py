r"""Herding: stores the rows of each class whose mean feature is closest to the mean of the whole class.

Welling 2009; as in iCaRL, Rebuffi et al. 2017 (arXiv:1611.07725), algorithms 4 and 5.

$$ p_k = \arg\min_x \left\lVert \mu - \frac{1}{k} \left( \varphi(x) + \sum_{j < k} \varphi(p_j) \right)
\right\rVert, \qquad \mu = \frac{1}{n} \sum_x \varphi(x) \qquad \text{(algorithm 4)} $$
"""

import numpy as np

from keras_cl.errors import require
from keras_cl.memories.base import Memory
from keras_cl.sources.lazy import blocks, joined, selected


class Herding(Memory):
    """Exemplars of each cell, in the order of selection; a cell is as in a balanced memory.

    After a task each of the t cells seen so far has m = capacity / t rows: old cells keep their first m rows
    (algorithm 5), the cells of the task select theirs by herding (algorithm 4), a class that comes back among
    the rows it has and the new ones.

    Args:
      stream: `Stream` that the rows come from.
      capacity: largest number of stored rows.
    """

    by_row = False
    needs_boundaries = "chooses among all rows of a task"
    by_features = True

    def __init__(self, stream, *, capacity: int = 500, **base):
        super().__init__(stream, capacity=capacity, **base)
        self.require_cells("herding memory", self.cells, "cells of a task and a class")

    def update(self, task, features=None):
        require(features is not None, "A herding memory chooses by features; give update(task, features).")
        held, (x, y, own) = self.held(), self.rows()
        x_new, y_new = task.train.open()
        own_new = np.full(len(x_new), task.index)
        cell, cell_new = self.cell_of(own, y).tolist(), self.cell_of(own_new, y_new)
        slots_of = {}  # of each old cell, in the order of selection
        for slot in np.argsort(held.number[: held.filled]):
            slots_of.setdefault(tuple(cell[slot]), []).append(slot)
        coming = [tuple(found) for found in np.unique(cell_new, axis=0).tolist()]
        m = self.capacity // len({*slots_of, *coming})
        kept = [slots_of[old][:m] for old in sorted({*slots_of} - {*coming})]
        parts = [(x[slots], y[slots], own[slots]) for slots in kept]
        phi = features(x_new)
        for new in coming:
            rows = np.flatnonzero((cell_new == new).all(axis=1))
            back = _not_among(selected(x_new, rows), x, slots_of.get(new, []))
            pairs = zip((x, y, own), (x_new, y_new, own_new), strict=True)
            pool = [joined([old[np.array(back, int)], selected(fresh, rows)]) for old, fresh in pairs]
            phi_pool = np.concatenate([features(x[back]), phi[rows]]) if back else phi[rows]
            chosen = herded(phi_pool, m)
            parts.append(tuple(part[chosen] for part in pool))
        self.refill(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _not_among(shown, x, slots):
    """Those of the slots whose images in `x` are none of the images `shown`."""
    left = {slot: x[slot].tobytes() for slot in slots}
    for rows in blocks(shown) if slots else ():
        seen = {image.tobytes() for image in shown[rows]}
        left = {slot: image for slot, image in left.items() if image not in seen}
    return [*left]


def herded(phi, count):
    """Positions of `count` rows (at most n) of features `phi` `[n, F]`, in the order of selection.

    Features are scaled to length 1. Each step selects the row that brings the mean of the selected rows
    closest to the mean of all rows: the smallest |mu - (phi + total) / k|^2, which up to a constant and a
    factor is |phi|^2 / 2 + phi . (total - k mu), one product per selected row.
    """
    phi = normalised(phi)
    mu, total = phi.mean(axis=0), np.zeros(phi.shape[1])
    half = np.square(phi).sum(axis=1) / 2
    chosen, free = [], np.ones(len(phi), bool)
    for k in range(1, 1 + min(count, len(phi))):
        distance = half + phi @ (total - k * mu)
        p = int(np.where(free, distance, np.inf).argmin())
        chosen.append(p)
        free[p], total = False, total + phi[p]
    return np.array(chosen, int)


def normalised(phi):
    """Features `[n, F]` as float64, scaled to length 1; features of length 0 stay 0."""
    phi = np.asarray(phi, float)
    length = np.linalg.norm(phi, axis=1, keepdims=True)
    return phi / np.where(length > 0, length, 1)
