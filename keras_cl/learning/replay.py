"""The replay-mixing pipeline: what each step takes from a memory and leaves in it, planned a chunk ahead.

Which slot a row goes to does not depend on the network, so the pipeline knows what the memory will hold at
every step before the steps are taken: an online stream needs no break in the compiled loop. The rows that the
memory held when the task began stand behind the task's own, and a step's rows, new and old, are one gather.

A plan is ahead of the memory, so every chunk that is planned has to be trained on, and in its order.
"""

import numpy as np
import tensorflow as tf

from keras_cl.learning.memory_index import NOWHERE, distinct, last_writers


class Replay:
    """Plans the memory's part in the batches of one task.

    Args:
      memory: a `Memory`.
      y, task: output units and tasks of the rows that are trained on.
      index: of the current task.
      size: rows that each draw adds to a step; where the memory holds fewer, the others have weight 0.
      draws: independent draws a step.
      offers: whether a step's rows are offered to the memory after it.
      seed: of the draws.

    Raises:
      InputError: if a draw asks for more rows than the memory has room for.
    """

    def __init__(self, memory, y, task, *, index, size, draws=1, offers=False, seed=0):
        memory.require_room(size)
        self._memory, self._size, self._draws, self._offers = memory, size, draws, offers
        self.rows = draws * size  # that every step has more
        self._old = memory.slots_held()
        self._y, self._task = np.asarray(y), np.asarray(task)
        self._held = memory.held()
        # What each slot holds, by number: the task's rows count from 0, what slots hold now comes after them.
        self._content = len(y) + np.arange(memory.capacity)
        self._keep = memory.rng(index)
        self._draw = np.random.default_rng(seed)

    def joined(self, x, y, task):
        """The rows that are trained on and, behind them, all slots of the memory: what rows' numbers mean."""
        return tuple(np.concatenate(pair) for pair in zip((x, y, task), self._old, strict=True))

    def planned(self, order):
        """What a chunk replays.

        Args:
          order: numbers of its own rows `[K, B]`; padding has a number above all.

        Returns:
          numbers `[K, R]` of the rows replayed in each step, their weights `[K, R]`, and for `Batch` stored
          `[K, B]`, drawn `[K, R]` and offered `[K]`.
        """
        K, B = order.shape
        stored, drawn, rows, offered = tf.numpy_function(self._plan, [order], [tf.int32] * 4, stateful=True)
        stored, offered = tf.ensure_shape(stored, [K, B]), tf.ensure_shape(offered, [K])
        drawn, rows = (tf.ensure_shape(part, [K, self.rows]) for part in (drawn, rows))
        # Where there is nothing to draw, the step's own rows come again, with weight 0: statistics over a
        # batch are then of rows like the others.
        again = tf.gather(order % len(self._y), tf.range(self.rows) % B, axis=1)
        there = drawn != NOWHERE
        return tf.where(there, rows, again), tf.cast(there, tf.float32), stored, drawn, offered

    def _plan(self, order):
        """For the rows of a chunk `[K, B]`: where they go; the slots that are drawn and their rows; how many
        rows were offered before each step."""
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
        drawn = np.concatenate([distinct(self._draw, filled, self._size) for _ in range(self._draws)], axis=1)
        rows = self._content_of(drawn, order, stored)
        last = last_writers(stored.reshape(-1))
        self._content[stored.flat[last]] = order.flat[last]
        for step in stored:  # within a step the last row for a slot has it
            lost = np.setdiff1d(np.flatnonzero(step != NOWHERE), last_writers(step))
            step[lost] = NOWHERE
        return tuple(part.astype(np.int32) for part in (stored, drawn, rows, offered_before))

    def _content_of(self, drawn, order, stored):
        """Numbers `[K, R]` of the rows that are in the slots `drawn` `[K, R]` before each of the K steps."""
        K, B = order.shape
        step, place = np.nonzero(stored != NOWHERE)
        # Writings by slot and then in order; of those before step k the last is what the slot holds.
        key = (stored[step, place] * K + step) * B + place
        by_key = np.argsort(key)
        key, number = key[by_key], order[step, place][by_key]
        wanted = (drawn * K + np.arange(K)[:, np.newaxis]) * B
        found = np.searchsorted(key, wanted) - 1
        if not len(key):
            return self._content[drawn]
        same = (found >= 0) & (key[found] // (K * B) == drawn)
        return np.where(same, number[found], self._content[drawn])
