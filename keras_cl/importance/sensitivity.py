"""Squared gradients of the mean logits over all rows."""

import functools

import numpy as np
import tensorflow as tf

from keras_cl.importance import passes
from keras_cl.importance.products import in_products
from keras_cl.learning.precision import single
from keras_cl.learning.progress import QUIET

SUMMED_ROWS = 128  # rows per pass through layers that are no matrix products
DIRECTIONS = 16  # gradients of the mean logits held at once


class MeanSensitivity:
    """Sum over directions D_j of (d (D_j . zbar) / d theta)^2, with zbar the mean logits over rows.

    Gradients are summed over all rows before they are squared, because zbar is one mean. All directions share
    the forward pass of a block of rows; in float32, compiled once.

    Args:
      network: raw images to logits `[n, C]`.
    """

    def __init__(self, network):
        self._network, self._variables = network, network.trainable_variables
        self._accumulate = {}
        self._outputs = network.output_shape[-1]
        self._group = min(DIRECTIONS, self._outputs)

    @functools.cached_property
    def _totals(self):  # created on first use: on one device, even if the model is on several
        return [tf.Variable(tf.zeros([self._group, *v.shape])) for v in self._variables]

    def __call__(self, x, directions, jit=True, progress=QUIET):
        """Makes one pass over all rows for every `DIRECTIONS` directions.

        Args:
          x: raw images `[n, ...]`, numpy.
          directions: float32 array `[r, C]`.
          jit: whether XLA compiles the pass, if all weights are in matrix products.
          progress: the `Progress` that shows it.

        Returns:
          list of float32 arrays like `network.trainable_variables`.
        """
        parts = range(0, len(directions), self._group)
        phase = progress.phase("importance of the weights", len(parts) * len(x))
        with single(self._network), phase as advance:
            if jit not in self._accumulate:
                self._accumulate[jit] = self._pass(x, jit)
            size, accumulate = self._accumulate[jit]
            sums = [0.0] * len(self._variables)
            for first in parts:
                some = np.zeros([self._group, self._outputs], np.float32)
                count = len(directions[first : first + self._group])
                some[:count] = directions[first : first + self._group]
                for total in self._totals:
                    total.assign(tf.zeros_like(total))
                for rows, real in passes.blocks(len(x), size):
                    accumulate(*map(tf.constant, (x[rows], real, some, np.int32(count))))
                    advance(int(real.sum()))
                squares = [tf.reduce_sum(tf.square(total / len(x)), axis=0).numpy() for total in self._totals]
                sums = [a + b for a, b in zip(sums, squares, strict=True)]
        return sums

    def _pass(self, x, jit):
        """`(rows per block, function of a block)`."""
        network, variables = self._network, self._variables
        cheap = len(in_products(network, variables, x)) == len(variables)

        def accumulate(x, real, directions, count):
            with tf.GradientTape(persistent=True) as tape:
                logits = network(x, training=False)
            slopes = [tf.TensorArray(tf.float32, self._group, element_shape=v.shape) for v in variables]
            j = 0
            while j < count:  # not `tf.range`, whose length XLA would compile in
                cotangent = real[:, tf.newaxis] * directions[j]
                gradient = tape.gradient(logits, variables, cotangent, tf.UnconnectedGradients.ZERO)
                # That of an embedding is sparse.
                gradient = [tf.convert_to_tensor(g) for g in gradient]
                slopes = [array.write(j, g) for array, g in zip(slopes, gradient, strict=True)]
                j += 1
            for total, array in zip(self._totals, slopes, strict=True):
                total.assign_add(array.stack())

        function = tf.function(accumulate, jit_compile=jit and cheap, reduce_retracing=True)
        return passes.DENSE_ROWS if cheap else SUMMED_ROWS, function
