"""Moments of per-example gradients, exact and without a loop over examples.

For a dense layer with input a_n and pre-activation gradient Delta_n the gradient of one example is
a_n Delta_n^T, hence sum_n (grad_n)^2 = (A*A)^T (Delta*Delta): one matrix product a layer gives what would
take a backward pass for each example. Variables of other layers (convolutions, normalisation) go through a
vectorised map over single examples. The network is in inference mode throughout.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require

DENSE_ROWS = 1024  # rows of a pass through dense layers
MAPPED_ROWS = 16  # rows of a vectorised map, which holds one gradient a row
# Rows that do where gradients are mapped; van de Ven 2025 found them nearly as good as all.
MAPPED_SAMPLES = 500


class Signals(NamedTuple):
    """Cotangents of the logits whose per-example gradients are wanted.

    Attributes:
      of: function of an index m (int32 scalar) that returns `(cotangents [n, C], weights [n])`.
      count: how many there are, an int32 scalar.
    """

    of: Callable
    count: tf.Tensor


class Moments:
    """Mean over rows of sum_m w_m |J^T s_m|^power for every trainable variable; compiled once.

    Args:
      network: logits `[n, C]` from raw images.
      signals: function of `(logits, *of_rows, *of_task)` that returns `Signals`.
      power: 2 for squares (Fisher), 1 for absolute values (MAS).
    """

    def __init__(self, network, signals, power):
        self._variables = network.trainable_variables
        dense, others = _divided(network)
        self._passes = []
        if dense:
            self._passes.append(_Pass(*_dense_step(network, dense, signals, power), DENSE_ROWS, jit=True))
        if others:
            self._passes.append(_Pass(*_mapped_step(network, others, signals, power), MAPPED_ROWS, jit=False))

    def __call__(self, x, of_rows=(), of_task=()):
        """Runs over all rows once.

        Args:
          x: raw images `[n, ...]`, numpy.
          of_rows: arrays with one entry a row, handed to `signals`.
          of_task: arrays handed to `signals` as they are; their shapes never change.

        Returns:
          list of float32 arrays like `network.trainable_variables`.
        """
        means = {}
        for one in self._passes:
            sums = one.sums(x, of_rows, of_task)
            means.update((id(v), total / len(x)) for v, total in zip(one.variables, sums, strict=True))
        return [means[id(v)] for v in self._variables]


class Fisher:
    """Diagonal of the Fisher information of the masked softmax, at the network's current weights.

    exact:     (1/n) sum_x sum_c p_c (d log p_c)^2
    sample:    (1/n) sum_x (d log p_y)^2 with one y drawn from p
    empirical: the same with the true label
    argmax:    the same with the likeliest label
    batched:   mean over batches of the squared gradient of the batch's mean log-likelihood of the true labels

    Args:
      network: logits from raw images.
      kind: one of the five names above.
      n_samples: number of rows used, drawn without replacement; 0 for all, or for 500 where the network has
        variables that need the vectorised map.
      batch_size: rows a batch of the batched kind; a last incomplete batch is left out.
    """

    def __init__(self, network, kind="exact", *, n_samples=0, batch_size=128):
        self._n_samples = n_samples
        if kind == "batched":
            self._pass = _Batched(network, batch_size)
        else:
            chosen = {"exact": _all_labels, "sample": _drawn, "empirical": _true, "argmax": _best}[kind]
            self._pass = Moments(network, chosen, power=2)
        self._dear = kind != "batched" and bool(_divided(network)[1])

    def __call__(self, x, y, mask, seed=0):
        """The Fisher information on some rows.

        Args:
          x: raw images `[n, ...]`.
          y: true output units `[n]`.
          mask: bool `[C]`, the classes that may answer.
          seed: of the rows and labels drawn.

        Returns:
          list of non-negative float32 arrays like `network.trainable_variables`.
        """
        rng = np.random.default_rng(seed)
        wanted = self._n_samples or (MAPPED_SAMPLES if self._dear else len(x))
        if wanted < len(x):
            rows = np.sort(rng.choice(len(x), wanted, replace=False))
            x, y = x[rows], y[rows]
        if isinstance(self._pass, _Batched):
            return self._pass(x, y.astype(np.int32), mask, rng)
        # Classes that may answer come first, so that the loop over labels stops after them.
        order = np.argsort(~mask, kind="stable").astype(np.int32)
        of_task = (mask, order, np.int32(mask.sum()))
        return self._pass(x, (y.astype(np.int32), rng.random(len(x), np.float32)), of_task)


def normalised(importance, rule):
    """Importances brought to a common scale over all tensors jointly.

    Args:
      importance: list of non-negative arrays.
      rule: "none"; "max", divided by the largest entry; "minmax", to [0, 1]; "mean1", to mean 1. Importances
        that are all equal have no range and stay as they are under "minmax".
    """
    if rule == "none":
        return importance
    flat = np.concatenate([values.ravel() for values in importance]).astype(np.float64)
    low = flat.min() if rule == "minmax" else 0.0
    scale = flat.mean() if rule == "mean1" else flat.max() - low
    return [((values - low) / scale if scale > 0 else values).astype(np.float32) for values in importance]


# ---- signals of the Fisher's kinds: the gradient of log p_c by the logits is e_c - p ---------------------


def _all_labels(logits, y, uniform, mask, order, count):
    p = _probabilities(logits, mask)

    def of(m):
        return tf.one_hot(order[m], tf.shape(p)[1]) - p, tf.gather(p, order[m], axis=1)

    return Signals(of, count)


def _one_label(choose):
    def signals(logits, y, uniform, mask, order, count):
        p = _probabilities(logits, mask)
        label = tf.one_hot(choose(p, y, uniform), tf.shape(p)[1])
        return Signals(lambda m: (label - p, tf.ones_like(p[:, 0])), tf.constant(1))

    return signals


def _from_uniform(p, y, uniform):
    """The label whose stretch of the cumulative distribution holds the uniform number in [0, 1)."""
    edges = tf.cumsum(p, axis=1)
    below = edges <= uniform[:, tf.newaxis] * edges[:, -1:]  # the last edge is 1 but for rounding
    return tf.math.count_nonzero(below, axis=1, dtype=tf.int32)


_drawn = _one_label(_from_uniform)
_true = _one_label(lambda p, y, uniform: y)
_best = _one_label(lambda p, y, uniform: tf.argmax(p, axis=1, output_type=tf.int32))


def _probabilities(logits, mask):
    return tf.nn.softmax(tf.where(mask, logits, -1e9))


# ---- passes over the data --------------------------------------------------------------------------------


def _divided(network):
    """`(layers for the dense trick, variables that need the vectorised map)`."""
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
    """`(step, variables)`: the step gives the sums over a block of rows, of kernels and biases in order."""
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
        for m in tf.range(count):  # only backward signals travel; the squares are summed before the product
            cotangent, weight = of(m)
            deltas = tape.gradient(logits, outputs, cotangent, tf.UnconnectedGradients.ZERO)
            weight = (weight * real)[:, tf.newaxis]
            sums = [
                total + weight * tf.abs(tf.cast(delta, tf.float32)) ** power
                for total, delta in zip(sums, deltas, strict=True)
            ]
        moments = []
        for layer, a, total in zip(layers, inputs, sums, strict=True):
            moments.append(tf.matmul(tf.abs(tf.cast(a, tf.float32)) ** power, total, transpose_a=True))
            if layer.use_bias:
                moments.append(tf.reduce_sum(total, axis=0))
        return moments

    return step, variables


def _mapped_step(network, variables, signals, power):
    """`(step, variables)` for any layer: one gradient for each row and signal, by a vectorised map."""

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
    """Sums of `step` over all rows, in blocks of one size; the last repeats a row with weight 0."""

    def __init__(self, step, variables, rows, jit):
        self.variables, self._rows = variables, rows
        self._totals = [tf.Variable(tf.zeros(v.shape)) for v in variables]

        def accumulate(*block):
            for total, value in zip(self._totals, step(*block), strict=True):
                total.assign_add(value)

        self._accumulate = tf.function(accumulate, jit_compile=jit, reduce_retracing=True)

    def sums(self, x, of_rows, of_task):
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        for start in range(0, len(x), self._rows):
            row = np.arange(start, start + self._rows)
            real = (row < len(x)).astype(np.float32)
            row = np.minimum(row, len(x) - 1)  # a true row, because a row of zeros may have no gradient
            x_block, *others = (part[row] for part in (x, *of_rows))
            self._accumulate(*map(tf.constant, (x_block, real, *others, *of_task)))
        return [total.numpy() for total in self._totals]


class _Batched:
    """Mean over batches of the squared gradient of a batch."""

    def __init__(self, network, batch_size):
        self._batch_size = batch_size
        variables = network.trainable_variables

        @tf.function(reduce_retracing=True)
        def squared(x, y, mask):
            with tf.GradientTape() as tape:
                logits = tf.where(mask, network(x, training=False), -1e9)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            none = tf.UnconnectedGradients.ZERO
            return [tf.square(g) for g in tape.gradient(loss, variables, unconnected_gradients=none)]

        self._squared = squared

    def __call__(self, x, y, mask, rng):
        size = self._batch_size
        batches = len(x) // size
        require(
            batches,
            f"fisher_batch is {size} and there are only {len(x)} rows; give at most that many.",
        )
        order = rng.permutation(len(x))[: batches * size].reshape(batches, size)
        squares = (self._squared(x[rows], y[rows], mask) for rows in order)
        total = functools.reduce(lambda a, b: [i + j for i, j in zip(a, b, strict=True)], squares)
        return [(value / batches).numpy() for value in total]
