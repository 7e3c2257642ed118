"""The `tf.data` pipeline of a task: chunks of many batches, shuffled by index vectors.

A chunk holds `K` batches, so that one compiled loop can run `K` training steps without returning to Python.
An epoch's order is one shuffled index vector and a chunk is one gather: there is no work per element.
"""

import functools
import weakref
from typing import NamedTuple

import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.errors import require
from keras_cl.sources.lazy import LazyArray

MOST = 512  # steps per chunk: the launch then costs a few percent of even the smallest steps
PLANNED = 128  # steps per chunk with replay, because the padding of the last chunk is planned and drawn too
BYTES = 16 * 2**20  # of images per chunk


class Batch(NamedTuple):
    """Rows of one training step, or of `K` steps with an extra leading axis.

    Rows replayed from a memory follow the rows of the current task.

    Attributes:
      x: raw images `[B, *input_shape]`.
      y: output units `[B]` int32.
      task: index of the task of each row, `[B]` int32.
      weight: 1 for a row, 0 for the padding of the last batch of an epoch, `[B]` float32.
      stored: memory slot that each row of the current task is written to, -1 for none, int32 `[B]`.
      drawn: memory slot that each replayed row comes from, -1 for none (its weight is 0), int32 `[R]`.
      offered: number of rows offered to the memory before the step, int32 scalar.
      target: class probabilities `[R, C]` of the replayed rows, if they have soft labels.
      condition: class or task that a generator was asked for, of the replayed rows, int32 `[R]`.
      sample_weight: factor of the loss of each row of the current task `[B]`, if it was given.
      mixed_y: output units of the images that were mixed into those of the rows, `[B]` int32, if some were.
      lam: share of `y` in the label of each row, the rest is of `mixed_y`; `[B]` float32.
      whole: whether every replica has all rows of the step, not only its share (`keras_cl.devices.replicas`).
    """

    x: tf.Tensor
    y: tf.Tensor
    task: tf.Tensor
    weight: tf.Tensor
    stored: tf.Tensor | None = None
    drawn: tf.Tensor | None = None
    offered: tf.Tensor | None = None
    target: tf.Tensor | None = None
    condition: tf.Tensor | None = None
    sample_weight: tf.Tensor | None = None
    mixed_y: tf.Tensor | None = None
    lam: tf.Tensor | None = None
    whole: bool | None = None

    @property
    def current(self):
        """The rows of one step that are not replayed."""
        if self.drawn is None:
            return self
        rows = self._rows(slice(0, self.x.shape[0] - self.drawn.shape[0]))
        return rows._replace(sample_weight=self.sample_weight)

    def replayed(self, draw=0, draws=1):
        """The rows of one step from draw number `draw` of `draws` from the memory."""
        size, rest = divmod(self.drawn.shape[0], draws)
        require(
            not rest, "Devices cannot share each draw from the memory evenly; give another replay_batch_size."
        )
        start = self.x.shape[0] - self.drawn.shape[0] + draw * size
        return self._rows(slice(start, start + size))

    def _rows(self, rows):
        mixed = [part if part is None else part[rows] for part in (self.mixed_y, self.lam)]
        return Batch(*(part[rows] for part in self[:4]), mixed_y=mixed[0], lam=mixed[1])

    def labelled(self, function):
        """`function` of output units `[B]`, such as a loss, for the labels of the rows: where images were
        mixed, the weighted mean for both labels."""
        own = function(self.y)
        if self.lam is None:
            return own
        lam = tf.reshape(self.lam, [-1, *[1] * (len(own.shape) - 1)])
        return lam * own + (1 - lam) * function(self.mixed_y)

    def counted(self, losses):
        """Losses of the rows `[B]` or `[B + R]`, times the sample weights of those of the current task."""
        if self.sample_weight is None:
            return losses
        ones = tf.ones(losses.shape[0] - self.sample_weight.shape[0])
        return losses * tf.concat([self.sample_weight, ones], axis=0)

    def step(self, k):
        """The batch of step k."""
        return Batch(*(None if part is None else part[k] for part in self[:-1]))

    @property
    def share(self):
        """This replica's share of the rows of one step."""
        rows = ("x", "y", "task", "weight", "stored", "drawn", "sample_weight")
        shared = {name: getattr(self, name) for name in rows}
        return self._replace(
            **{n: part if part is None else replicas.own(part) for n, part in shared.items()}
        )


def total(values, whole=False):
    """Sum of `values` `[..., B]` over the rows of a step; `whole` as in `Batch`."""
    part = tf.reduce_sum(values, axis=-1)
    return part if whole else replicas.summed(part)


def weighted_mean(values, weight, whole=False):
    """Mean of `values` `[..., B]` with weights `[B]` over the rows of a step; `whole` as in `Batch`."""
    return total(values * weight, whole) / total(weight, whole)


def normalised(weight):
    """Weights `[B]` of the rows of a step, divided by their sum; zeros stay zeros."""
    return tf.math.divide_no_nan(weight, total(weight))


def chunk_length(batch_size, row_bytes, most=MOST):
    """Number of batches per chunk: at most `most`, and about 16 MiB of images."""
    return int(max(1, min(most, BYTES // max(1, batch_size * row_bytes))))


def _shuffled(rows, seed, number):
    return tf.random.experimental.stateless_shuffle(tf.range(rows), tf.stack([seed, number]))


class ShuffleCount:
    """The number of times that the rows of a task were shuffled, for all data sets of the task.

    Attributes:
      count: a variable, which Keras does not see as one of the model.
      every: if above 0, rows are not shuffled, and the steps of a chunk divide this number.
    """

    def __init__(self, every=0):
        self.every = every
        with tf.device("CPU:0"):
            self.count = tf.Variable(0, trainable=False)


def chunks(
    x, y, task, *, batch_size, seed, length=0, iterations=0, replay=None, shuffles=None, sample_weight=None
):
    """Dataset of `(Batch [K, B, ...], number of real steps)` that is shuffled anew in every iteration.

    One iteration is one epoch: each row exactly once, in an order that depends on `seed` and on the number of
    earlier iterations. The last batch is padded with rows of weight 0. With `iterations`, one iteration is
    that many steps instead: rows are drawn without replacement until fewer than a batch are left, then anew.

    Args:
      x, y, task: arrays with one entry per row; of a `LazyArray` of images a chunk is read at a time.
      batch_size: B, rows per step.
      seed: non-negative integer.
      length: K, steps per chunk, or 0 for `chunk_length`.
      iterations: steps per iteration over the dataset; 0 for an epoch.
      replay: a `keras_cl.learning.replay.Replay` that adds rows of a memory to every step.
      sample_weight: factor of the loss of each row; None for 1.
      shuffles: a `ShuffleCount` shared by data sets of a task; by default one of its own.
    """
    shuffles = shuffles or ShuffleCount()
    rows, epochs, every = len(x), shuffles.count, shuffles.every
    replayed, most = (replay.rows, PLANNED) if replay else (0, MOST)
    length = length or chunk_length(batch_size + replayed, x[0].nbytes, most)
    length = max(k for k in range(1, min(length, every) + 1) if every % k == 0) if every else length
    steps = iterations or -(-rows // batch_size)
    count = -(-steps // length)
    x, y, task = replay.joined(x, y, task) if replay else (x, y, task)
    images = _images_of(x)
    with tf.device("CPU:0"):  # where the pipeline runs; a GPU would take all rows and hand them back
        y, task = tf.constant(y, tf.int32), tf.constant(task, tf.int32)
        factors = None if sample_weight is None else tf.constant(sample_weight, tf.float32)
    shuffled = functools.partial(_shuffled, rows, seed) if not every else lambda number: tf.range(rows)

    def orders(one):
        if not iterations:
            order = shuffled(epochs.assign_add(one))
        else:
            whole = rows // batch_size * batch_size
            first, needed = epochs.read_value() + 1, -(-steps * batch_size // whole)
            epochs.assign_add(needed)
            order = tf.map_fn(lambda number: shuffled(number)[:whole], first + tf.range(needed))
            order = tf.reshape(order, [-1])[: steps * batch_size]
        # Padding repeats rows of the same epoch, so that batch statistics are those of real rows.
        real = tf.shape(order)[0]
        padding = tf.range(count * length * batch_size - real) % real
        order = tf.concat([order, rows + tf.gather(order, padding)], axis=0)
        return tf.reshape(order, [count, length, batch_size])

    def gather(order):
        row = order % rows
        weight = tf.cast(order < rows, tf.float32)
        real = tf.math.count_nonzero(weight[:, 0], dtype=tf.int32)
        slots, factor = (), None if factors is None else tf.gather(factors, row)
        if replay:
            replayed, heavy, *slots = replay.planned(order)
            row, weight = tf.concat([row, replayed], axis=1), tf.concat([weight, heavy], axis=1)
        batch = Batch(images(row), tf.gather(y, row), tf.gather(task, row), weight, *slots)
        return batch._replace(sample_weight=factor), real

    return _pipeline(orders, gather, count, getattr(images, "held", None))


def _images_of(x):
    """Function of row numbers `[K, B]` that returns their images `[K, B, ...]`."""
    if not isinstance(x, LazyArray):
        with tf.device("CPU:0"):
            return functools.partial(tf.gather, tf.constant(x))

    held = [x]

    def read(row):
        images = tf.numpy_function(lambda rows: held[0][rows], [row], x.dtype, stateful=False)
        return tf.ensure_shape(images, [*row.shape, *x.shape[1:]])

    read.held = held
    return read


def _pipeline(orders, gather, count, held):
    """The data set of `count` chunks per epoch; `held`, a list or None, is cleared with it. Autotuning is
    off: there is nothing to tune, and stopping it can take longer than an epoch."""
    chunk_orders = tf.data.Dataset.from_tensors(1).map(orders).unbatch()
    data = chunk_orders.map(gather).prefetch(2).apply(tf.data.experimental.assert_cardinality(count))
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    data = data.with_options(options)
    if held:  # TensorFlow keeps the functions of a pipeline as long as the process
        weakref.finalize(data, held.clear)
    return data
