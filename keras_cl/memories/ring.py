"""Ring: stores the last rows of every task, or of every class of every task, in equal shares.

A share per task: Lopez-Paz and Ranzato 2017 (arXiv:1706.08840); a share per class: Chaudhry et al. 2019
(arXiv:1902.10486).
"""

from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from keras_cl.errors import pick
from keras_cl.learning.batches import Batch
from keras_cl.learning.memory_index import NOWHERE
from keras_cl.memories.base import Memory

By = Literal["class", "task"]


class Ring(Memory):
    """Each cell has capacity / (number of cells) slots; in a full cell, a new row replaces the oldest one.

    Args:
      stream: `Stream` that the rows come from.
      capacity: largest number of stored rows.
      by: what a cell is: class, a class of a task, so that one that comes back has a cell in each of its
        tasks; task, a task.
    """

    search = {"by": ["class", "task"], "replay_batch_size": [16, 32, 64, 128]}

    def __init__(self, stream, *, capacity: int = 500, by: By = "class", **base):
        super().__init__(stream, capacity=capacity, **base)
        self._by_class = pick("by", by, get_args(By)) == "class"
        if not self._by_class:
            self.needs_boundaries = "has a cell for each task; give --memory.by=class"
        cells = sum(map(len, stream.shown_classes)) if self._by_class else len(stream)
        self.require_cells("ring", cells, f"{by} cells")
        self.share = capacity // cells
        self.room = self.share * cells
        self.most = self.share * (max(map(len, stream.shown_classes)) if self._by_class else 1)  # per task

    def slots(self, held, y, task, rng):
        slot = np.full(len(y), NOWHERE)
        cell = np.stack([task, y if self._by_class else np.zeros_like(y)], axis=1)
        which, place = np.unique(cell, axis=0, return_inverse=True)
        own = [held.cell(t, unit if self._by_class else None) for t, unit in which]
        rows = [np.flatnonzero(place == k) for k in range(len(which))]
        fresh = [r[: self.share - len(slots)] for r, slots in zip(rows, own, strict=True)]
        first = np.sort(np.concatenate([*fresh, np.zeros(0, int)]))
        slot[first] = held.filled + np.arange(len(first))
        for r, new, slots in zip(rows, fresh, own, strict=True):
            circle, later = np.concatenate([slots, slot[new]]), r[len(new) :]
            slot[later] = circle[np.arange(len(later)) % self.share]
        return slot

    def of_task(self, task):
        """`Batch` of all stored rows of a task; works inside a compiled step.

        Its shape is the same for every task: other rows have weight 0. Every replica gets all rows.
        """
        y, owner, filled, task = (
            tf.cast(part, tf.int32) for part in (self._y, self._task, self._filled, task)
        )
        slot = tf.range(self.capacity)
        own = (owner == task) & (slot < filled)
        # The slots of a task are contiguous: tasks come one after the other and never share slots.
        first = tf.reduce_min(tf.where(own, slot, self.capacity - self.most))
        rows = first + tf.range(self.most)
        x, y, owner, own = (tf.gather(part, rows) for part in (self.x, y, owner, own))
        return Batch(x, y, owner, tf.cast(own, tf.float32), whole=True)
