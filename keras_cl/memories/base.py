"""A memory: rows of earlier tasks in flat arrays of fixed capacity.

How rows are chosen is a policy, one file each in `keras_cl/memories`. A policy that takes rows as they come
says in which slot each of some offered rows goes, from what the memory holds and random numbers alone: so a
chunk of training steps can be planned before its rows are trained on (see `keras_cl.learning.replay`).
"""

import os

import numpy as np
import tensorflow as tf

from keras_cl.devices.replicas import held_once
from keras_cl.errors import require
from keras_cl.learning.batches import Batch
from keras_cl.learning.memory_index import MemoryIndex, distinct, last_writers
from keras_cl.learning.replay import Replay
from keras_cl.numerics.random import KEEP, seed_of

COPIES = 6  # of a memory while a task is learned: its variables, what a plan replays from, a checkpoint


class Memory(tf.Module):
    """Base class of all memories.

    Args:
      stream: what its rows come from; gives their shape, type and cells.
      capacity: rows that it can hold.
      seed: of what it keeps.
    """

    generates = False  # its rows are stored
    by_row = True  # whether rows can be offered one after another, as they are trained on
    metrics = ()  # of its own learning

    def __init__(self, stream, *, capacity, seed=0):
        super().__init__()
        require(capacity >= 1, f"The memory's capacity is {capacity}; it must be at least 1.")
        shape, dtype = stream.input_shape, stream.source.dtype
        size = capacity * int(np.prod(shape)) * dtype.itemsize
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        require(
            size < there / COPIES,
            f"A memory of {capacity} rows takes {size / 2**30:.1f} GiB, training holds up to {COPIES} copies "
            f"of it, and this machine has {there / 2**30:.1f} GiB; give a smaller --memory.capacity.",
        )
        self.capacity, self.seed = capacity, seed
        self.room = capacity  # rows that it holds when it is full
        self.cells = sum(map(len, stream.task_classes))  # pairs of a task and one of its classes
        with held_once():
            self.x = tf.Variable(tf.zeros((capacity, *shape), dtype), trainable=False, name="x")
            self._y, self._task, self._number = (
                tf.Variable(tf.zeros(capacity, tf.int32), trainable=False, name=name)
                for name in ("y", "task", "number")
            )
            self._filled, self._offered = (
                tf.Variable(0, trainable=False, name=name) for name in ("filled", "offered")
            )

    def slots(self, held, y, task, rng):
        """The policy: slots `[n]` that the rows `y`, `task` `[n]`, offered in this order, go to.

        Slots are given out in order, the free ones first, so that those in use are always the first ones.
        `held` is what the memory holds before; `rng` a NumPy generator, of which as many numbers are used for
        rows offered at once as for rows offered in several calls.
        """
        raise NotImplementedError(f"{type(self).__name__} does not take rows as they come")

    # ---- what a model asks of its memory; for rows that are stored, little is to be done ------------------

    def attach(self, network, jit):
        """Takes notice of the network that learns, and of whether its loop is compiled by XLA."""

    def bind(self, stream):
        """Takes from a stream what it says about rows."""

    def begin(self, task, reset_optimizer=True):
        """Prepares for `task`."""

    def require_images(self, stream):
        """Any images can be stored."""

    def plan(self, y, task, **options):
        """The memory's part in the pipeline of a task, a `Replay`."""
        return Replay(self, y, task, **options)

    def watch(self, data):
        """Takes notice of the data set that the method is going to learn from."""

    def mixed(self, batch):
        """The batch of a step with the memory's rows in it: the pipeline has put them there already."""
        return batch

    def learn(self, batch):
        """Learns from the batch of a step."""

    def report(self):
        """Numbers of its own that are worth knowing after a task, `{name: number}`."""
        return {}

    @property
    def kept(self):
        """Variables that outlast a task."""
        return self.variables

    # ---- what it holds -----------------------------------------------------------------------------------

    def require_cells(self, name, cells, what):
        """Refuses a policy called `name` that owes each of `cells` cells a row and has fewer rows."""
        require(
            self.capacity >= cells,
            f"A {name} of {self.capacity} rows has no row for each of {cells} {what}; give at least "
            f"--memory.capacity={cells}.",
        )

    def require_room(self, size):
        """Refuses draws of `size` rows if the memory has room for fewer."""
        require(
            size <= self.room,
            f"A step replays {size} rows and the memory has room for {self.room}; give a smaller "
            f"--replay_batch_size or a larger --memory.capacity.",
        )

    def update(self, task, features=None):
        """Offers all training rows of `task`, once, in random order.

        Args:
          task: a `Task`.
          features: function of raw images that gives features `[n, F]`, for policies that look at them.
        """
        x, y = task.train.open()
        rng = self.rng(task.index)
        order = rng.permutation(len(x))
        own = np.full(len(x), task.index)
        slots = self.slots(self.held(), y[order], own, rng)
        self.write(slots, x[order], y[order], own)

    def rng(self, task_index):
        """The randomness of what is kept of a task's rows; it depends on what was offered before."""
        return np.random.default_rng(seed_of(self.seed, task_index, KEEP, int(self._offered.numpy())))

    def write(self, slots, x, y, task):
        """Puts rows that were offered in this order into their slots `[n]`; the last one for a slot stays."""
        held = self.held()
        held.put(slots, y, task)
        last = last_writers(slots)
        if len(last):
            self.x.scatter_update(tf.IndexedSlices(tf.convert_to_tensor(x[last]), slots[last]))
        self._set(held)

    def take(self, chunk):
        """Puts the rows of some steps, `Batch`es `[K, B, ...]`, into the slots that they were planned for.

        Padding is no row: it was not offered, and is not counted.

        Raises:
          InputError: if steps that were planned before these were not taken.
        """
        B = chunk.stored.shape[1]
        require(
            int(chunk.offered[0]) == int(self._offered.numpy()),
            "These batches were planned for a memory in another state: a data set with a memory is made by "
            "batches(task) just before fit, and read by fit alone and to its end.",
        )
        real = chunk.weight.numpy()[:, :B] > 0
        rows = (part.numpy()[:, :B][real] for part in chunk[:3])
        self.write(chunk.stored.numpy()[real], *rows)

    def refill(self, x, y, task):
        """Replaces everything that is held by some rows, at most as many as the capacity."""
        held = self.held()
        count = len(x)
        held.y[:count], held.task[:count], held.number[:count] = y, task, np.arange(count)
        held.filled = count
        if count:
            self.x.scatter_update(tf.IndexedSlices(tf.convert_to_tensor(x), np.arange(count)))
        self._set(held)

    def held(self):
        """A copy of what is held."""
        arrays = (variable.numpy().copy() for variable in (self._y, self._task, self._number))
        return MemoryIndex(*arrays, int(self._filled.numpy()), int(self._offered.numpy()))

    def rows(self):
        """`(x, y, task)` of the rows that are held, in the order of their slots."""
        return tuple(part[: len(self)] for part in self.slots_held())

    def slots_held(self):
        """`(x, y, task)` of all slots; those that are not in use hold nothing of meaning."""
        return tuple(variable.numpy() for variable in (self.x, self._y, self._task))

    def __len__(self):
        return int(self._filled.numpy())

    def batches(self, size, seed=0):
        """An endless `tf.data.Dataset` of `Batch`es of `size` distinct rows of what is held now.

        Raises:
          InputError: if fewer rows are held.
        """
        require(size <= len(self), f"The memory holds {len(self)} rows, fewer than a batch of {size}.")
        x, y, task = map(tf.constant, self.rows())

        def draws(i):  # from a generator of their own: every iteration over the dataset begins anew
            rng = np.random.default_rng(seed_of(seed, int(i)))
            return distinct(rng, np.full(64, len(x)), size).astype(np.int32)

        def gather(slots):
            slots = tf.ensure_shape(slots, [size])
            return Batch(tf.gather(x, slots), tf.gather(y, slots), tf.gather(task, slots), tf.ones(size))

        slots = tf.data.Dataset.counter().map(lambda i: tf.numpy_function(draws, [i], tf.int32)).unbatch()
        return slots.map(gather).prefetch(2)

    def _set(self, held):
        for variable, value in (
            (self._y, held.y),
            (self._task, held.task),
            (self._number, held.number),
            (self._filled, held.filled),
            (self._offered, held.offered),
        ):
            variable.assign(value)
