"""Mean cross entropy of a network over rows as a function of its weights, to second order."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cl.importance.passes import blocks
from keras_cl.learning.layers import MASKED, logits_of
from keras_cl.learning.precision import single

BLOCK = 512  # rows per pass


class Rows(NamedTuple):
    """Rows that a loss is measured on, in blocks of equal size; the last block repeats a row with weight 0.

    Attributes:
      count: n, number of rows.
      blocks: list of `(x, y, task, mask, weight)`: raw images, output units, tasks, active classes `[C]`, and
        1 for each real row.
    """

    count: int
    blocks: list

    @classmethod
    def of(cls, x, y, mask, task=0, size=BLOCK):
        """The rows with raw images x `[n, ...]` and units y `[n]` of one task, with active classes `mask`."""
        y, mask, task = y.astype(np.int32), tf.constant(mask, tf.bool), tf.fill([size], task)
        parts = blocks(len(x), size)
        return cls(len(x), [(*map(tf.constant, (x[i], y[i])), task, mask, tf.constant(w)) for i, w in parts])


class MeanLoss:
    """L(w) = 1/n sum_n CE(z_n, y_n), at the current weights w of the network.

    In inference mode, without penalties, among the active classes. Losses are summed over blocks and divided
    by n: a mean of block means would overweight the rows of a short block. Vectors are all trainable
    variables concatenated, float64 outside of TensorFlow; traced once per network.

    Args:
      network: raw images, and optionally their tasks, to logits `[B, C]`.
      jit: whether XLA compiles; it is no faster here, and takes longer to start.
    """

    def __init__(self, network, jit=False):
        self._network = network
        self._variables = variables = network.trainable_variables
        self.size = sum(v.shape.num_elements() for v in variables)

        def slope(x, y, task, mask, weight):
            with tf.GradientTape() as tape:
                z = tf.where(mask, logits_of(network, tf.cast(x, tf.float32), task), MASKED)
                loss = tf.reduce_sum(weight * tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))
            return loss, tape.gradient(loss, variables, unconnected_gradients="zero")

        def product(v, *block):
            parts = tf.split(v, [variable.shape.num_elements() for variable in variables])
            with tf.GradientTape() as tape:
                _, g = slope(*block)
                along = [tf.reduce_sum(tf.reshape(p, a.shape) * a) for p, a in zip(parts, g, strict=True)]
                along = tf.add_n(along)  # g.v, whose gradient is H v
            return _joined(tape.gradient(along, variables, unconnected_gradients="zero"))

        compiled = functools.partial(tf.function, jit_compile=jit, reduce_retracing=True)
        self._loss = compiled(lambda *block: slope(*block)[0])
        self._slope = compiled(lambda *block: _joined(slope(*block)[1]))
        self._product = compiled(product)

    @property
    def weights(self):
        """w `[P]`, float64."""
        return _joined(self._variables).numpy().astype(np.float64)

    def value(self, rows):
        """L on the given `Rows`."""
        return float(self._mean(self._loss, rows))

    def gradient(self, rows):
        """Gradient of L `[P]`."""
        return self._mean(self._slope, rows)

    def product(self, rows, v):
        """H v `[P]`, with H the Hessian of L and v `[P]`."""
        return self._mean(self._product, rows, tf.constant(v, tf.float32))

    def _mean(self, function, rows, *first):
        with single(self._network):
            total = sum(function(*first, *block).numpy().astype(np.float64) for block in rows.blocks)
        return total / rows.count


def _joined(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
