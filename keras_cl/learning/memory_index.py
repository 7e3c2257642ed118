"""The index of a memory: contents of its slots, and how they are drawn and written, in plain NumPy."""

import dataclasses

import numpy as np

NOWHERE = -1  # the slot of a row that is not stored


@dataclasses.dataclass
class MemoryIndex:
    """Contents of a memory without the images; arrays have one entry per slot.

    Attributes:
      y, task: output unit and task of the row in each slot.
      number: number of rows offered before it.
      filled: number of slots in use; they are the first ones.
      offered: number of rows offered so far.
    """

    y: np.ndarray
    task: np.ndarray
    number: np.ndarray
    filled: int
    offered: int

    def put(self, slots, y, task):
        """Records that offered rows were written to `slots` `[n]`, later ones replacing earlier ones."""
        kept = np.flatnonzero(slots != NOWHERE)
        at = slots[kept]
        self.y[at], self.task[at], self.number[at] = y[kept], task[kept], self.offered + kept
        self.filled = max(self.filled, 1 + int(at.max(initial=-1)))
        self.offered += len(slots)

    def cell(self, task, unit=None):
        """Slots of the rows of a task (and of one output unit), oldest rows first."""
        mine = self.task[: self.filled] == task
        if unit is not None:
            mine &= self.y[: self.filled] == unit
        found = np.flatnonzero(mine)
        return found[np.argsort(self.number[found])]


def distinct(rng, among, count):
    """Slots `[K, count]`: row k has `count` distinct ones of `range(among[k])`, uniformly drawn; -1 where
    there are too few (Floyd's algorithm, see Bentley and Floyd 1987, CACM 30(9))."""
    chosen = np.full((len(among), count), NOWHERE)
    uniform = rng.random((count, len(among)))
    for place in range(count):
        top = among - count + place
        slot = (uniform[place] * (top + 1)).astype(int)
        taken = (chosen[:, :place] == slot[:, np.newaxis]).any(axis=1)
        chosen[:, place] = np.where(top < 0, NOWHERE, np.where(taken, top, slot))
    return chosen


def last_writers(slots):
    """Positions in `slots` `[n]` of the last row written to each slot, ascending; -1 is not a slot."""
    backwards = slots[::-1]
    found, first = np.unique(backwards, return_index=True)
    return np.sort(len(slots) - 1 - first[found != NOWHERE])
