"""The replay pipeline: plans, a chunk ahead, what each step draws from a memory and writes to it.

The slot of a row does not depend on the network, so the pipeline knows the contents of the memory at every
step before the steps run: an online stream needs no break in the compiled loop. The rows stored when the task
began are appended to the rows of the task, so that all rows of a step, new and replayed, are one gather.

A plan is ahead of the memory, so every planned chunk must be trained on, in order.
"""

import numpy as np
import tensorflow as tf

from keras_cl.learning.memory_index import NOWHERE, distinct, last_writers
from keras_cl.sources.lazy import joined


class Replay:
    """Plans the memory's part of the batches of one task.

    Args:
      memory: a `Memory`.
      y, task: output units and tasks of the training rows.
      index: index of the current task.
      size: rows that each draw adds to a step; if the memory has fewer rows, the others have weight 0.
      draws: independent draws per step; 0 if rows are only offered.
      offers: whether the rows of a step are offered to the memory after it.
      seed: seed of the draws.
      apart: whether each step draws by itself, so that the draws do not depend on the length of the chunks.

    Raises:
      InputError: if a draw needs more rows than the memory has room for.
    """

    def __init__(self, memory, y, task, *, index, size, draws=1, offers=False, seed=0, apart=False):
        if draws:
            memory.require_room(size)
        self._memory, self._size, self._draws, self._offers = memory, size, draws, offers
        self.rows, self._apart = draws * size, apart  # replayed rows per step
        self._old = memory.slots_held()
        self._y, self._task = np.asarray(y), np.asarray(task)
        self._held = memory.held()
        # Row number in each slot: rows of the task count from 0, rows that are stored now follow them.
        self._content = len(y) + np.arange(memory.capacity)
        self._keep = memory.rng(index)
        self._draw = np.random.default_rng(seed)

    def joined(self, x, y, task):
        """The training rows followed by all slots of the memory: the arrays that row numbers index."""
        return tuple(joined(pair) for pair in zip((x, y, task), self._old, strict=True))

    def planned(self, order):
        """Plans the replay of a chunk.

        Args:
          order: row numbers `[K, B]` of the chunk; padding has numbers beyond the last row.

        Returns:
          row numbers `[K, R]` of the replayed rows of each step, their weights `[K, R]`, and for `Batch`
          stored `[K, B]`, drawn `[K, R]`, None if nothing is drawn, and offered `[K]`.
        """
        K, B = order.shape
        stored, drawn, rows, offered = tf.numpy_function(self._plan, [order], [tf.int32] * 4, stateful=True)
        stored, offered = tf.ensure_shape(stored, [K, B]), tf.ensure_shape(offered, [K])
        drawn, rows = (tf.ensure_shape(part, [K, self.rows]) for part in (drawn, rows))
        # If there is nothing to draw, the step's own rows are repeated with weight 0, so that batch
        # statistics are those of real rows.
        again = tf.gather(order % len(self._y), tf.range(self.rows) % B, axis=1)
        there = drawn != NOWHERE
        drawn = drawn if self.rows else None
        return tf.where(there, rows, again), tf.cast(there, tf.float32), stored, drawn, offered

    def _plan(self, order):
        """Plans a chunk of rows `[K, B]`: the slots they go to, the drawn slots and the rows in them, and the
        number of rows offered before each step."""
        K = len(order)
        offered_before = np.full(K, self._held.offered)
        stored = np.full(order.shape, NOWHERE)
        filled = np.full(K, self._held.filled)
        if self._offers:
            real = order < len(self._y)
            offered = order[real]
            offered_before[1:] += np.cumsum(real.sum(axis=1))[:-1]
            slots = self._memory.slots(self._held, self._y[offered], self._task[offered], self._keep)
            stored[real] = slots
            after = np.maximum(stored.max(axis=1) + 1, self._held.filled)
            filled[1:] = np.maximum.accumulate(after)[:-1]
            self._held.put(slots, self._y[offered], self._task[offered])
        blocks = np.split(filled, K) if self._apart else [filled]
        drawn = np.concatenate([self._drawn(block) for block in blocks])
        rows = self._content_of(drawn, order, stored)
        last = last_writers(stored.reshape(-1))
        self._content[stored.flat[last]] = order.flat[last]
        for step in stored:  # within a step, the last row for a slot wins
            lost = np.setdiff1d(np.flatnonzero(step != NOWHERE), last_writers(step))
            step[lost] = NOWHERE
        return tuple(part.astype(np.int32) for part in (stored, drawn, rows, offered_before))

    def _drawn(self, filled):
        """Distinct slots `[K, R]` for steps before which `filled` `[K]` slots are in use."""
        draws = [distinct(self._draw, filled, self._size) for _ in range(self._draws)]
        return np.concatenate([np.empty((len(filled), 0), int), *draws], axis=1)

    def _content_of(self, drawn, order, stored):
        """Row numbers `[K, R]` in the slots `drawn` `[K, R]` before each of the K steps."""
        K, B = order.shape
        step, place = np.nonzero(stored != NOWHERE)
        # Writes sorted by slot and time: the last write before step k determines the contents of a slot.
        key = (stored[step, place] * K + step) * B + place
        by_key = np.argsort(key)
        key, number = key[by_key], order[step, place][by_key]
        wanted = (drawn * K + np.arange(K)[:, np.newaxis]) * B
        found = np.searchsorted(key, wanted) - 1
        if not len(key):
            return self._content[drawn]
        same = (found >= 0) & (key[found] // (K * B) == drawn)
        return np.where(same, number[found], self._content[drawn])
