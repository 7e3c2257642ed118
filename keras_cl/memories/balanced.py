r"""Balanced: stores equally many rows of every class, however often it occurs.

The greedy sampler of GDumb, Prabhu et al. 2020 (ECCV).

$$ (x, y) \text{ is stored if } |\mathcal{M}_y| < \frac{M}{|\mathcal{Y}|} $$
"""

import bisect

import numpy as np

from keras_cl.learning.memory_index import NOWHERE
from keras_cl.memories.base import Memory


class Balanced(Memory):
    """Balances the memory over cells; a cell is a class, in the other scenarios than class a class of a task.

    A row is stored if its cell has fewer than capacity / (number of cells seen) rows. If the memory is full,
    the row replaces a random row of a largest cell.

    Args:
      stream: `Stream` that the rows come from.
      capacity: largest number of stored rows.
    """

    def __init__(self, stream, *, capacity: int = 500, **base):
        super().__init__(stream, capacity=capacity, **base)
        self.require_cells("balanced memory", self.cells, "cells of a task and a class")

    def slots(self, held, y, task, rng):
        slot = np.full(len(y), NOWHERE)
        members = {}  # slots of each cell, ascending, so that the split into calls does not matter
        old = self.cell_of(held.task[: held.filled], held.y[: held.filled]).tolist()
        for place, cell in enumerate(map(tuple, old)):
            members.setdefault(cell, []).append(place)
        cells, which = np.unique(self.cell_of(task, y), axis=0, return_inverse=True)
        cells = list(map(tuple, cells.tolist()))
        coming = [np.flatnonzero(which == k).tolist() for k in range(len(cells))]
        filled, row = held.filled, -1
        while (row := self._next(row, cells, coming, members)) is not None:
            if filled < self.capacity:
                place, filled = filled, filled + 1
            else:
                most = max(map(len, members.values()))
                largest = sorted(cell for cell, slots in members.items() if len(slots) == most)
                loser = members[largest[rng.integers(len(largest))]]
                place = loser.pop(rng.integers(len(loser)))
            bisect.insort(members.setdefault(cells[which[row]], []), place)
            slot[row] = place
        return slot

    def _next(self, row, cells, coming, members):
        """Index of the first row after `row` whose cell is below its quota; None if there is none."""
        found = []
        for cell, rows in zip(cells, coming, strict=True):
            quota = self.capacity / (len(members) + (cell not in members))
            place = bisect.bisect_right(rows, row)
            if len(members.get(cell, ())) < quota and place < len(rows):
                found.append(rows[place])
        return min(found, default=None)
