"""Moments of per-example gradients, exact and without a loop over examples.

For a dense layer with input a_n and pre-activation gradient Delta_n, the gradient of one example is a_n
Delta_n^T, hence sum_n (grad_n)^2 = (A*A)^T (Delta*Delta): one matrix product per layer replaces a backward
pass per example. Variables of other layers (convolutions, normalisation) use a vectorised map over single
examples. The network is always in inference mode.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

DENSE_ROWS = 1024  # rows per pass through dense layers
MAPPED_ROWS = 16  # rows per vectorised map, which holds one gradient per row
# Default number of rows if gradients are mapped; van de Ven 2025 found it nearly as good as all rows.
MAPPED_SAMPLES = 500
SUMMED_ROWS = 128  # rows per pass through other layers whose gradients are summed
DIRECTIONS = 16  # gradients of the mean logits held at once


class Signals(NamedTuple):
    """Cotangents of the logits for which per-example gradients are computed.

    Attributes:
      of: function of an index m (int32 scalar) that returns `(cotangents [n, C], weights [n])`.
      count: number of cotangents, an int32 scalar.
    """

    of: Callable
    count: tf.Tensor


class Moments:
    """Mean over rows of sum_m w_m |J^T s_m|^power for every trainable variable; compiled once.

    Args:
      network: raw images to logits `[n, C]`.
      signals: function of `(logits, *of_rows, *of_task)` that returns `Signals`.
      power: 2 for squares (Fisher), 1 for absolute values (MAS).
    """

    def __init__(self, network, signals, power):
        self._variables = network.trainable_variables
        dense, others = _divided(network)
        self.usual_samples = MAPPED_SAMPLES if others else 0  # 0 for all rows
        self._passes = []
        if dense:
            self._passes.append(_Pass(*_dense_step(network, dense, signals, power), DENSE_ROWS, jit=True))
        if others:
            self._passes.append(_Pass(*_mapped_step(network, others, signals, power), MAPPED_ROWS, jit=False))

    def __call__(self, x, of_rows=(), of_task=()):
        """Makes one pass over all rows.

        Args:
          x: raw images `[n, ...]`, numpy.
          of_rows: arrays with one entry per row, passed to `signals`.
          of_task: arrays passed to `signals` unchanged; their shapes must never change.

        Returns:
          list of float32 arrays like `network.trainable_variables`.
        """
        means = {}
        for one in self._passes:
            sums = one.sums(x, of_rows, of_task)
            means.update((id(v), total / len(x)) for v, total in zip(one.variables, sums, strict=True))
        return [means[id(v)] for v in self._variables]


class MeanSensitivity:
    """Sum over directions D_j of (d (D_j . zbar) / d theta)^2, with zbar the mean logits over rows.

    Gradients are summed over all rows before they are squared, because zbar is one mean. All directions share
    the forward pass of a block of rows; compiled once.

    Args:
      network: raw images to logits `[n, C]`.
    """

    def __init__(self, network):
        self._variables = variables = network.trainable_variables
        mapped = _divided(network)[1]
        self._rows = SUMMED_ROWS if mapped else DENSE_ROWS
        self._outputs = network.output_shape[-1]
        self._group = min(DIRECTIONS, self._outputs)

        def accumulate(x, real, directions, count):
            with tf.GradientTape(persistent=True) as tape:
                logits = network(x, training=False)
            slopes = [tf.TensorArray(tf.float32, self._group, element_shape=v.shape) for v in variables]
            j = 0
            while j < count:  # not `tf.range`, whose length XLA would compile in
                cotangent = real[:, tf.newaxis] * directions[j]
                gradient = tape.gradient(logits, variables, cotangent, tf.UnconnectedGradients.ZERO)
                slopes = [array.write(j, g) for array, g in zip(slopes, gradient, strict=True)]
                j += 1
            for total, array in zip(self._totals, slopes, strict=True):
                total.assign_add(array.stack())

        self._accumulate = tf.function(accumulate, jit_compile=not mapped, reduce_retracing=True)

    @functools.cached_property
    def _totals(self):  # created on first use: on one device, even if the model is on several
        return [tf.Variable(tf.zeros([self._group, *v.shape])) for v in self._variables]

    def __call__(self, x, directions):
        """Makes one pass over all rows for every `DIRECTIONS` directions.

        Args:
          x: raw images `[n, ...]`, numpy.
          directions: float32 array `[r, C]`.

        Returns:
          list of float32 arrays like `network.trainable_variables`.
        """
        sums = [0.0] * len(self._variables)
        for first in range(0, len(directions), self._group):
            some = np.zeros([self._group, self._outputs], np.float32)
            count = len(directions[first : first + self._group])
            some[:count] = directions[first : first + self._group]
            for total in self._totals:
                total.assign(tf.zeros_like(total))
            for rows, real in blocks(len(x), self._rows):
                self._accumulate(*map(tf.constant, (x[rows], real, some, np.int32(count))))
            squares = [tf.reduce_sum(tf.square(total / len(x)), axis=0).numpy() for total in self._totals]
            sums = [a + b for a, b in zip(sums, squares, strict=True)]
        return sums


def drawn(rng, count, n_samples):
    """Ascending indices of `n_samples` of `count` rows, without replacement; all rows if it is 0."""
    if 0 < n_samples < count:
        return np.sort(rng.choice(count, n_samples, replace=False))
    return slice(None)


def normalised(importance, rule):
    """Importances scaled jointly over all tensors.

    Args:
      importance: list of non-negative arrays.
      rule: "none"; "max", divided by the largest entry; "minmax", to [0, 1]; "mean1", to mean 1. Importances
        that are all equal have no range and stay unchanged under "minmax".
    """
    if rule == "none":
        return importance
    flat = np.concatenate([values.ravel() for values in importance]).astype(np.float64)
    low = flat.min() if rule == "minmax" else 0.0
    scale = flat.mean() if rule == "mean1" else flat.max() - low
    return [((values - low) / scale if scale > 0 else values).astype(np.float32) for values in importance]


def blocks(count, size):
    """`(indices [size], weights [size])` of `count` rows in blocks; rows of weight 0 pad the last one."""
    for start in range(0, count, size):
        rows = np.arange(start, start + size)
        # Padding repeats a real row, because a row of zeros may have no gradient.
        yield np.minimum(rows, count - 1), (rows < count).astype(np.float32)


# ---- passes over the data --------------------------------------------------------------------------------


def _divided(network):
    """`(layers for the matrix product, variables that need the vectorised map)`."""
    layers = [layer for layer in network.layers if _plain_dense(layer)]
    covered = {id(v) for layer in layers for v in layer.trainable_variables}
    return layers, [v for v in network.trainable_variables if id(v) not in covered]


def _plain_dense(layer):
    return (
        type(layer) is keras.layers.Dense
        and layer.trainable
        and layer.activation is keras.activations.linear
        and len(layer.inbound_nodes) == 1
        and len(layer.input_shape) == 2
    )


def _dense_step(network, layers, signals, power):
    """`(step, variables)`: the step returns sums over a block of rows, for kernels and biases in order."""
    inner = keras.Model(
        network.inputs, [*(n.input for n in layers), *(n.output for n in layers), *network.outputs]
    )
    variables = [v for layer in layers for v in layer.trainable_variables]

    def step(x, real, *extra):
        with tf.GradientTape(persistent=True) as tape:
            *tensors, logits = inner(x, training=False)
        inputs, outputs = tensors[: len(layers)], tensors[len(layers) :]
        of, count = signals(logits, *extra)
        sums = [tf.zeros_like(output, tf.float32) for output in outputs]
        m = 0
        # Only backward signals are propagated; their squares are summed before the product. The loop is not
        # over `tf.range`, whose length XLA would compile in.
        while m < count:
            cotangent, weight = of(m)
            deltas = tape.gradient(logits, outputs, cotangent, tf.UnconnectedGradients.ZERO)
            weight = (weight * real)[:, tf.newaxis]
            sums = [
                total + weight * tf.abs(tf.cast(delta, tf.float32)) ** power
                for total, delta in zip(sums, deltas, strict=True)
            ]
            m += 1
        moments = []
        for layer, a, total in zip(layers, inputs, sums, strict=True):
            moments.append(tf.matmul(tf.abs(tf.cast(a, tf.float32)) ** power, total, transpose_a=True))
            if layer.use_bias:
                moments.append(tf.reduce_sum(total, axis=0))
        return moments

    return step, variables


def _mapped_step(network, variables, signals, power):
    """`(step, variables)` for any layer: one gradient per row and signal, by a vectorised map."""

    def step(x, real, *extra):
        of, count = signals(network(x, training=False), *extra)

        def gradient(row):
            image, cotangent = row
            with tf.GradientTape() as tape:
                logits = network(image[tf.newaxis], training=False)
            return tape.gradient(logits, variables, cotangent[tf.newaxis], tf.UnconnectedGradients.ZERO)

        sums = [tf.zeros_like(v) for v in variables]
        for m in tf.range(count):
            cotangent, weight = of(m)
            rows = tf.vectorized_map(gradient, (x, cotangent), fallback_to_while_loop=False)
            sums = [
                total + tf.tensordot(weight * real, tf.abs(tf.cast(g, tf.float32)) ** power, 1)
                for total, g in zip(sums, rows, strict=True)
            ]
        return sums

    return step, variables


class _Pass:
    """Sums of `step` over all rows, in blocks of equal size; the last block repeats a row with weight 0."""

    def __init__(self, step, variables, rows, jit):
        self.variables, self._rows = variables, rows

        def accumulate(*block):
            for total, value in zip(self._totals, step(*block), strict=True):
                total.assign_add(value)

        self._accumulate = tf.function(accumulate, jit_compile=jit, reduce_retracing=True)

    @functools.cached_property
    def _totals(self):  # created on first use: on one device, even if the model is on several
        return [tf.Variable(tf.zeros(v.shape)) for v in self.variables]

    def sums(self, x, of_rows, of_task):
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        for rows, real in blocks(len(x), self._rows):
            x_block, *others = (part[rows] for part in (x, *of_rows))
            self._accumulate(*map(tf.constant, (x_block, real, *others, *of_task)))
        return [total.numpy() for total in self._totals]
