"""Diagonal of the Fisher information, in five common variants.

The variants are compared in van de Ven 2025 (arXiv:2502.11756). All except "batched" are exact sums over
examples.
"""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.importance.moments import Moments, Signals, drawn
from keras_cl.learning.layers import MASKED
from keras_cl.learning.precision import single
from keras_cl.learning.progress import QUIET
from keras_cl.sources.lazy import selected


class Fisher:
    """Diagonal of the Fisher information of the masked softmax, at the network's current weights.

    exact:     (1/n) sum_x sum_c p_c (d log p_c)^2
    sample:    (1/n) sum_x (d log p_y)^2 with one y drawn from p
    empirical: the same with the true label
    argmax:    the same with the most likely label
    batched:   mean over batches of the squared gradient of the batch's mean log-likelihood of the true labels

    Args:
      network: raw images to logits.
      kind: one of the five names above.
      n_samples: number of rows used, drawn without replacement; 0 for all, or for 500 if the network has
        layers whose gradients of single rows have no formula here, which are more expensive.
      batch_size: rows per batch of the batched variant; an incomplete last batch is dropped.
    """

    def __init__(self, network, kind="exact", *, n_samples=0, batch_size=128):
        if kind == "batched":
            self._pass, self._n_samples = _Batched(network, batch_size), n_samples
        else:
            chosen = {"exact": _all_labels, "sample": _drawn, "empirical": _true, "argmax": _best}[kind]
            self._pass, self._n_samples = Moments(network, chosen, power=2), n_samples

    def __call__(self, x, y, mask, seed=0, jit=True, progress=QUIET):
        """The Fisher information on the given rows.

        Args:
          x: raw images `[n, ...]`.
          y: true output units `[n]`.
          mask: bool `[C]`, the active classes.
          seed: seed of the rows and labels drawn.
          jit: whether XLA compiles what it can.
          progress: the `Progress` that shows it.

        Returns:
          list of non-negative float32 arrays like `network.trainable_variables`.
        """
        rng = np.random.default_rng(seed)
        batched = isinstance(self._pass, _Batched)
        usual = 0 if batched or self._n_samples else self._pass.usual_samples(x)
        rows = drawn(rng, len(x), self._n_samples or usual)
        x, y = selected(x, rows), y[rows]
        if batched:
            return self._pass(x, y.astype(np.int32), mask, rng, progress)
        # Active classes come first, so that the loop over labels stops after them.
        order = np.argsort(~mask, kind="stable").astype(np.int32)
        of_task = (mask, order, np.int32(mask.sum()))
        return self._pass(x, (y.astype(np.int32), rng.random(len(x), np.float32)), of_task, jit, progress)


# ---- signals of the variants: the gradient of log p_c with respect to the logits is e_c - p --------------


def _all_labels(logits, y, uniform, mask, order, count):
    p = _probabilities(logits, mask)

    def of(m):
        return tf.one_hot(order[m], tf.shape(p)[1]) - p, tf.gather(p, order[m], axis=1)

    return Signals(of, count, lambda: _axes(p, order, count))


def _axes(p, order, count):
    """The columns of L in diag(p) - p p^T = L L^T, one less than labels (Tanabe and Sagae 1992).

    The sum over labels of p_c (J^T (e_c - p))^2 is the sum over columns of (J^T l_m)^2. With t_m the
    probability of all labels behind m, l_m is r (t_m e_m - sum over i > m of p_i e_i) / sqrt(t_m), and r^2 is
    p_m / t_(m-1).
    """
    p, back = tf.gather(p, order, axis=1), tf.math.invert_permutation(order)
    behind = tf.cumsum(p, axis=1, exclusive=True, reverse=True)
    root = tf.sqrt(behind)
    r = tf.sqrt(tf.math.divide_no_nan(p, p + behind))

    def of(m):
        later = tf.range(tf.shape(p)[1]) > m
        rest = tf.where(later, tf.math.divide_no_nan(p, root[:, m, tf.newaxis]), 0.0)
        column = tf.one_hot(m, tf.shape(p)[1]) * root[:, m, tf.newaxis] - rest
        return tf.gather(r[:, m, tf.newaxis] * column, back, axis=1), tf.ones_like(p[:, 0])

    return of, count - 1


def _one_label(choose):
    def signals(logits, y, uniform, mask, order, count):
        p = _probabilities(logits, mask)
        label = tf.one_hot(choose(p, y, uniform), tf.shape(p)[1])
        return Signals(lambda m: (label - p, tf.ones_like(p[:, 0])), tf.constant(1))

    return signals


def _from_uniform(p, y, uniform):
    """The label whose interval of the cumulative distribution contains the uniform number in [0, 1)."""
    edges = tf.cumsum(p, axis=1)
    below = edges <= uniform[:, tf.newaxis] * edges[:, -1:]  # the last edge is 1 up to rounding
    return tf.math.count_nonzero(below, axis=1, dtype=tf.int32)


_drawn = _one_label(_from_uniform)
_true = _one_label(lambda p, y, uniform: y)
_best = _one_label(lambda p, y, uniform: tf.argmax(p, axis=1, output_type=tf.int32))


def _probabilities(logits, mask):
    return tf.nn.softmax(tf.where(mask, logits, MASKED))


class _Batched:
    """Mean over batches of the squared gradient of a batch."""

    def __init__(self, network, batch_size):
        self._batch_size = batch_size
        self._network, self._variables = network, network.trainable_variables
        variables = self._variables

        @tf.function(reduce_retracing=True)
        def squared(x, y, mask):
            with tf.GradientTape() as tape:
                logits = tf.where(mask, network(x, training=False), MASKED)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            none = tf.UnconnectedGradients.ZERO
            return [tf.square(g) for g in tape.gradient(loss, variables, unconnected_gradients=none)]

        self._squared = squared

    def __call__(self, x, y, mask, rng, progress):
        size = self._batch_size
        batches = len(x) // size
        require(
            batches,
            f"fisher_batch is {size} and there are only {len(x)} rows; give at most that many.",
        )
        order = rng.permutation(len(x))[: batches * size].reshape(batches, size)
        total = [0.0] * len(self._variables)
        with single(self._network), progress.phase("importance of the weights", batches) as advance:
            for rows in order:
                squares = self._squared(x[rows], y[rows], mask)
                total = [a + b for a, b in zip(total, squares, strict=True)]
                advance()
        return [(value / batches).numpy() for value in total]
