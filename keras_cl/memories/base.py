"""Base class of memories: rows of earlier tasks in flat arrays of fixed capacity.

A policy selects the rows, one file each in `keras_cl/memories`. A policy that takes rows one by one returns
the slot of each offered row. It depends only on the contents of the memory and on random numbers, so a chunk
of training steps can be planned before its rows are trained on (see `keras_cl.learning.replay`).
"""

import math

import numpy as np
import tensorflow as tf

from keras_cl.devices.ram import main_memory
from keras_cl.devices.replicas import held_once
from keras_cl.errors import FiniteOptions, require
from keras_cl.learning.batches import Batch
from keras_cl.learning.memory_index import MemoryIndex, distinct, last_writers
from keras_cl.learning.replay import Replay
from keras_cl.numerics.random import KEEP, seed_of
from keras_cl.sources.lazy import selected

COPIES = 6  # of a memory during training: its variables, the rows of the replay plan, a checkpoint


class Memory(FiniteOptions, tf.Module):
    """Base class of all memories.

    Args:
      stream: `Stream` that the rows come from; gives their shape, dtype and cells.
      capacity: largest number of stored rows.
      seed: seed of the selection of rows.
    """

    generates = False  # its rows are stored
    by_row = True  # whether rows can be offered one by one, as they are trained on
    prefers_xla = True  # whether its part of a step is faster with XLA
    by_features = False  # whether it selects rows by features of the network
    needs_boundaries = ""  # what it does where a task begins or ends; empty if it works without tasks
    metrics = ()  # of a memory that learns
    # What a search tries, as in a method's file. The capacity is not searched: it is what a run may spend.
    search = {"replay_batch_size": [16, 32, 64, 128]}

    def __init__(self, stream, *, capacity, seed=0):
        super().__init__()
        require(capacity >= 1, f"The memory's capacity is {capacity}; it must be at least 1.")
        shape, dtype = stream.input_shape, stream.source.dtype
        size = capacity * math.prod(shape) * dtype.itemsize
        there = main_memory()
        require(
            size < there / COPIES,
            f"A memory of {capacity} rows takes {size / 2**30:.1f} GiB, training holds up to {COPIES} copies "
            f"of it, and this machine has {there / 2**30:.1f} GiB; give a smaller --memory.capacity.",
        )
        self.capacity, self.seed = capacity, seed
        self.room = capacity  # rows that a full memory stores
        self._home = stream.home
        task, unit = np.nonzero(stream.labels >= 0)
        self.cells = len(np.unique(self.cell_of(task, unit), axis=0))
        with held_once():
            self.x = tf.Variable(tf.zeros((capacity, *shape), dtype), trainable=False, name="x")
            # Not int32, which TensorFlow keeps off a GPU (see `integers`), and half the size of int64.
            self._y, self._task, self._number = (
                tf.Variable(tf.zeros(capacity, tf.uint32), trainable=False, name=name)
                for name in ("y", "task", "number")
            )
            self._filled, self._offered = (
                tf.Variable(0, trainable=False, dtype=tf.uint32, name=name) for name in ("filled", "offered")
            )

    def slots(self, held, y, task, rng):
        """The policy: slots `[n]` for the offered rows with `y` and `task` `[n]`, in this order.

        Slots are assigned in order, free ones first, so that the slots in use are always the first ones.
        `held` is the index of the memory before the call. `rng` is a NumPy generator; how many numbers are
        drawn from it must not depend on how the rows are split into calls.
        """
        raise NotImplementedError(f"{type(self).__name__} does not take rows as they come")

    # ---- hooks that a model calls; stored rows need few of them ------------------------------------------

    def attach(self, network, jit):
        """Receives the network that learns, and whether XLA compiles its loop."""

    def bind(self, stream):
        """Receives the stream that describes the rows."""

    def begin(self, task, reset_optimizer=True):
        """Prepares for `task`."""

    def require_images(self, stream):
        """Accepts all images: any image can be stored."""

    def plan(self, y, task, **options):
        """The memory's part of the data pipeline of a task, a `Replay`."""
        return Replay(self, y, task, **options)

    def watch(self, data):
        """Receives the data set that the method will train on."""

    def mixed(self, batch):
        """The batch of a step including replayed rows, which the pipeline has already added."""
        return batch

    def learn(self, batch):
        """Trains the memory on the batch of a step, if it learns."""
        return  # AutoGraph cannot convert a function that is a docstring alone

    def report(self):
        """Numbers of the memory to report after a task, `{name: number}`."""
        return {}

    @property
    def kept(self):
        """Variables that are kept between tasks."""
        return self.variables

    # ---- stored rows -------------------------------------------------------------------------------------

    def require_cells(self, name, cells, what):
        """Raises `InputError` if the capacity is below `cells`, the rows that the policy `name` needs."""
        require(
            self.capacity >= cells,
            f"A {name} of {self.capacity} rows has no row for each of {cells} {what}; give at least "
            f"--memory.capacity={cells}.",
        )

    def require_room(self, size):
        """Raises `InputError` if draws of `size` rows exceed the room of the memory."""
        require(
            size <= self.room,
            f"A step replays {size} rows and the memory has room for {self.room}; give a smaller "
            f"--replay_batch_size or a larger --memory.capacity.",
        )

    def update(self, task, features=None):
        """Offers all training rows of `task` once, in random order.

        Args:
          task: a `Task`.
          features: function from raw images to features `[n, F]`, for policies that select by features.
        """
        x, y = task.train.open()
        rng = self.rng(task.index)
        order = rng.permutation(len(x))
        own = np.full(len(x), task.index)
        slots = self.slots(self.held(), y[order], own, rng)
        self.write(slots, selected(x, order), y[order], own)

    def rng(self, task_index):
        """Random generator that selects rows of a task; depends on the number of rows offered before."""
        return np.random.default_rng(seed_of(self.seed, task_index, KEEP, int(self._offered.numpy())))

    def write(self, slots, x, y, task):
        """Writes offered rows to their slots `[n]`; of several rows for a slot, the last one stays."""
        held = self.held()
        held.put(slots, y, task)
        last = last_writers(slots)
        if len(last):
            self.x.scatter_update(tf.IndexedSlices(tf.convert_to_tensor(x[last]), slots[last]))
        self._set(held)

    def take(self, chunk):
        """Writes the rows of some steps, `Batch`es `[K, B, ...]`, to their planned slots.

        Padding is skipped: it was not offered and is not counted.

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

    def cell_of(self, task, y):
        """Cell of rows with `task` and `y` `[n]`: a task and an output unit, int array `[n, 2]`. In the
        class-incremental scenario a class is one cell, of the first task that shows it."""
        return np.stack([self._home[task, y], y], axis=1)

    def refill(self, x, y, task):
        """Replaces all stored rows by the given rows, at most `capacity`."""
        held = self.held()
        count = len(x)
        held.y[:count], held.task[:count], held.number[:count] = y, task, np.arange(count)
        held.filled = count
        if count:
            self.x.scatter_update(tf.IndexedSlices(tf.convert_to_tensor(x), np.arange(count)))
        self._set(held)

    def held(self):
        """A copy of the index of the stored rows."""
        arrays = (variable.numpy().astype(np.int32) for variable in (self._y, self._task, self._number))
        return MemoryIndex(*arrays, int(self._filled.numpy()), int(self._offered.numpy()))

    def rows(self):
        """`(x, y, task)` of the stored rows, in slot order."""
        return tuple(part[: len(self)] for part in self.slots_held())

    def slots_held(self):
        """`(x, y, task)` of all slots; unused slots have arbitrary values."""
        y, task = (variable.numpy().astype(np.int32) for variable in (self._y, self._task))
        return self.x.numpy(), y, task

    def __len__(self):
        return int(self._filled.numpy())

    def batches(self, size, seed=0):
        """Infinite `tf.data.Dataset` of `Batch`es of `size` distinct rows from the current contents.

        Raises:
          InputError: if fewer rows are stored.
        """
        require(size <= len(self), f"The memory holds {len(self)} rows, fewer than a batch of {size}.")
        with tf.device("CPU:0"):  # where the pipeline runs
            x, y, task = map(tf.constant, self.rows())

        def draws(i):  # seeded by i, so that every iteration over the dataset is the same
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
            variable.assign(np.asarray(value, np.uint32))
