"""The slots of a memory: what is in them, and how they are drawn and written; numbers and arrays alone."""

import dataclasses

import numpy as np

NOWHERE = -1  # the slot of a row that is not kept


@dataclasses.dataclass
class MemoryIndex:
    """What a memory holds, without its images; arrays have one entry a slot.

    Attributes:
      y, task: output unit and task of the row in each slot.
      number: how many rows were offered before it.
      filled: slots in use; they are the first ones.
      offered: rows offered so far.
    """

    y: np.ndarray
    task: np.ndarray
    number: np.ndarray
    filled: int
    offered: int

    def put(self, slots, y, task):
        """Follows a policy: rows were offered and went to `slots` `[n]`, later ones replacing earlier."""
        kept = np.flatnonzero(slots != NOWHERE)
        at = slots[kept]
        self.y[at], self.task[at], self.number[at] = y[kept], task[kept], self.offered + kept
        self.filled = max(self.filled, 1 + int(at.max(initial=-1)))
        self.offered += len(slots)

    def cell(self, task, unit=None):
        """Slots of a task's rows (and of one output unit), the longest held first."""
        mine = self.task[: self.filled] == task
        if unit is not None:
            mine &= self.y[: self.filled] == unit
        found = np.flatnonzero(mine)
        return found[np.argsort(self.number[found])]


def distinct(rng, among, count):
    """Slots `[K, count]`: in row k, `count` distinct ones of `range(among[k])`, uniformly; -1 where there are
    too few (Floyd's algorithm, see Bentley and Floyd 1987, CACM 30(9))."""
    chosen = np.full((len(among), count), NOWHERE)
    uniform = rng.random((count, len(among)))
    for place in range(count):
        top = among - count + place
        slot = (uniform[place] * (top + 1)).astype(int)
        taken = (chosen[:, :place] == slot[:, np.newaxis]).any(axis=1)
        chosen[:, place] = np.where(top < 0, NOWHERE, np.where(taken, top, slot))
    return chosen


def last_writers(slots):
    """Positions in `slots` `[n]` of the last row for each slot, ascending; rows that go nowhere left out."""
    backwards = slots[::-1]
    found, first = np.unique(backwards, return_index=True)
    return np.sort(len(slots) - 1 - first[found != NOWHERE])
