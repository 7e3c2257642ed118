"""Memory of features: generates features of the classes of earlier tasks, and no images.

A network is a head on features, z = h(f(x)). Where the head alone has to be reminded of earlier classes, a
model of their features is enough, and replay costs the head alone. A cell is one class of one task: a class
that comes back has another cell, and so has an output that stands for another class in another task.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.devices.ram import require_fits
from keras_cl.devices.state import integers
from keras_cl.errors import Diverged
from keras_cl.learning.layers import MASKED, ROWS_AT_ONCE
from keras_cl.learning.progress import QUIET
from keras_cl.numerics.random import GENERATE, REPLAY, random_normal, random_uniform, seed_of


class FeatureMemory(tf.Module):
    """Base class of models of the features of each cell.

    Args:
      head: h, model from features `[n, d]` to logits, which says what generated features look like.
      codes: random numbers that make one row of features.
      seed: seed of all draws.
    """

    generates, of_images = True, False
    by_row = by_features = False
    prefers_xla = True  # its draws are small matrix products, and it trains in a loop of its own
    metrics = ()
    row_bytes = 0  # of an image and its label, once the stream is known
    progress = QUIET  # shows its training; set by a run

    def __init__(self, head, codes, seed=0):
        super().__init__()
        self.size, self.codes, self.seed = head.input_shape[-1], codes, seed
        self._answers = tf.function(lambda v: head(v, training=False))  # its variables are the network's
        self.task = integers(name="task")  # index of the current task
        self.state = integers([0, 0], "state")  # seed and step of the draws
        self.least = tf.Variable(0.0, trainable=False, name="least")  # smallest feature so far
        self.cells = 0

    # ---- what a kind of model is ---------------------------------------------------------------------------

    def build(self):
        """Creates the model of `cells` cells."""
        raise NotImplementedError(f"{type(self).__name__} has no build")

    def cell_bytes(self):
        """Bytes of one cell, at least; to refuse what would not fit into main memory."""
        return 0

    def prepare(self, cells):
        """Prepares draws from the first `cells` cells."""

    def features_of(self, cell, eps):
        """Features `[R, d]` of the cells `[R]`, from standard normal numbers `[R, codes]`; in the step."""
        raise NotImplementedError(f"{type(self).__name__} has no features_of")

    def move(self, A, b):
        """Moves the features of earlier tasks from v to v A + b.

        Args:
          A, b: arrays `[d, d]` and `[d]`, float64.
        """
        raise NotImplementedError(f"{type(self).__name__} has no move")

    def learn_features(self, task, V, cell):
        """Learns the features V `[n, d]` of the cells `[n]`, which are new; the others are kept."""
        raise NotImplementedError(f"{type(self).__name__} has no learn_features")

    # ---- hooks that a model calls ------------------------------------------------------------------------

    def attach(self, network, jit):
        """Receives the network that learns, and whether XLA compiles its loop."""

    def bind(self, stream):
        """Receives the stream that has the cells, once."""
        if self.cells:
            return
        task, unit = np.nonzero(stream.labels >= 0)  # in the order of the tasks
        require_fits(
            len(task) * self.cell_bytes(),
            f"The memory of {len(task)} classes of {self.size:,} features",
            "give a network with fewer features before its last dense layer",
        )
        self.cells, self._scenario = len(task), stream.scenario
        self._unit, self._task = (tf.constant(part, tf.int32) for part in (unit, task))
        self._first = np.searchsorted(task, np.arange(len(stream) + 1)).astype(np.int32)
        self._seen = tf.constant(stream.class_mask)
        self.row_bytes = stream.row_bytes
        self.build()

    def begin(self, task, reset_optimizer=True):
        """Prepares for `task`; its draws depend only on the seed."""
        self.bind(task.stream)
        self.task.assign(task.index)
        self.state.assign([seed_of(self.seed, task.index, GENERATE), 0])
        self.prepare(self._first[task.index])

    def require_images(self, stream):
        """Accepts all images: none is generated."""

    def watch(self, data):
        """Receives the data set that the method will train on."""

    def mixed(self, batch):
        """The batch as it is: the method asks for features itself."""
        return batch

    def learn(self, batch):
        """Learns nothing in a step."""
        return  # AutoGraph cannot convert a function that is a docstring alone

    def update(self, task, features=None):
        """Learns nothing here: the method calls `learned` with its features."""

    def report(self):
        """Numbers to report after a task, `{name: number}`."""
        return {}

    @property
    def generator(self):
        """What has the shape of a generated row, `image_shape`."""
        return self

    @property
    def image_shape(self):
        return (self.size,)

    @property
    def kept(self):
        """Variables that are kept between tasks."""
        return [v for v in self.variables if v.dtype.is_floating and v is not self.least]

    def __len__(self):
        return 0  # stored rows

    # ---- features of earlier tasks -------------------------------------------------------------------------

    def learned(self, task, V, y):
        """Learns the features V `[n, d]` of the training rows of `task`, with units `y` `[n]`."""
        V = np.asarray(V, np.float32)  # features can have 16 bits
        if not np.isfinite(V).all():
            raise Diverged(f"The features of the network are no longer finite after task {task.number}")
        least = V.min() if not task.index else min(V.min(), self.least.numpy())
        self.least.assign(least)
        units = self._unit.numpy()[slice(*self._first[task.index : task.index + 2])]
        self.learn_features(task, V, self._first[task.index] + np.searchsorted(units, y))

    def drawn(self, R):
        """`(features, output units, tasks)` of R rows of earlier tasks, each cell with equal probability.

        In the first task, which has none before it, they are those of a cell that was not learned.
        """
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        v, cell = self._draw(R, seed, step, tf.gather(self._first, self.task))
        return v, tf.gather(self._unit, cell), tf.gather(self._task, cell)

    def generated(self, n, seed, tasks):
        """`(features, most likely units, tasks)` of `n` generated rows of the first `tasks` tasks."""
        return self._answered(n, seed, tasks)[:3]

    predicted = generated  # as a `GenerativeMemory` has it

    def accuracy(self, tasks, rows=ROWS_AT_ONCE):
        """Part of `rows` generated features of the first `tasks` tasks that the head takes for their own."""
        _, answer, _, asked = self._answered(rows, seed_of(self.seed, tasks, REPLAY), tasks)
        return float(np.mean(answer == asked))

    def _answered(self, n, seed, tasks):
        self.prepare(self._first[tasks])
        v, cell = self._draw(n, seed, 0, self._first[tasks])
        task = tf.gather(self._task, cell)
        seen = tf.gather(self._seen, task if self._scenario == "task" else tasks - 1)
        answer = tf.argmax(tf.where(seen, self._answers(v), MASKED), axis=1)
        return tuple(part.numpy() for part in (v, answer, task, tf.gather(self._unit, cell)))

    def _draw(self, R, seed, step, cells):
        """Features `[R, d]` of the first `cells` cells, and these cells `[R]`."""
        cell, eps = self._codes(R, seed, step, cells)
        return self._bounded(self.features_of(cell, eps)), cell

    def _bounded(self, v):
        """Features after a ReLU are never negative; those of a Gaussian can be."""
        return tf.maximum(v, self.least)

    def _codes(self, R, seed, step, cells):
        """Which of the first `cells` cells `[R]`, and the random numbers `[R, codes]` of their features."""

        def drawn(random, number, shape):
            return replicas.drawn(functools.partial(random, seed, 2 * step + number), shape)

        place = drawn(random_uniform, 0, [R]) * tf.cast(cells, tf.float32)
        cell = tf.minimum(tf.cast(place, tf.int32), tf.maximum(cells, 1) - 1)
        return cell, drawn(random_normal, 1, [R, self.codes])


class Hidden:
    """Holds a variable that is no state of the module that has it."""

    def __init__(self, variable):
        self.variable = variable


def relative_change(before, after):
    """|after - before|^2 / |after|^2 of features `[n, d]`, summed over the same rows."""
    V0, V1 = (np.asarray(V, np.float64) for V in (before, after))
    return np.sum((V1 - V0) ** 2) / max(np.sum(V1**2), np.finfo(float).tiny)


def affine_change(before, after, ridge):
    """The affine map from features to what became of them: `(A, b)` with after ~ before A + b, float64.

    A = I + W, with W and b of least |before W + b - (after - before)|^2 + ridge (|W|^2 + |b|^2), summed over
    rows: without a change, or without evidence of one, the map is the identity.

    Args:
      before, after: features `[n, d]` of the same rows.
      ridge: pulls the map towards the identity; at least 0.
    """
    V0, V1 = (np.asarray(V, np.float64) for V in (before, after))
    d = V0.shape[1]
    X = np.concatenate([V0, np.ones((len(V0), 1))], axis=1)
    W, *_ = np.linalg.lstsq(X.T @ X + ridge * np.eye(d + 1), X.T @ (V1 - V0), rcond=None)
    return np.eye(d) + W[:d], W[d]
