"""Projection of a step on the weights, so that the outputs of all layers on some rows do not change.

For a layer with the inputs A `[n, d]`, a step D `[d, out]` of its weights changes the outputs by A D. Its
part P D makes this change, with P = A'(AA' + ridge I)^-1 A the projector on the rows of A, and is taken back
(orthogonal weights modification, Zeng et al. 2019, arXiv:1810.01256). If all layers keep their outputs, they
also keep their inputs: the outputs of the network do not change, by a step of any size.
"""

import contextlib
import warnings

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import Notice, require
from keras_cl.learning.layers import logits_of
from keras_cl.numerics.positive import solved

POSSIBLE = (keras.layers.Dense, keras.layers.Conv2D)


class Projection:
    """Takes back the part of a step that changes the outputs of layers.

    Args:
      network: a functional or sequential model whose trained weights are in dense layers and two-dimensional
        convolutions, each used once.
      count: largest number of rows whose outputs are held.
      ridge: added to the diagonal of AA', which has no inverse where rows are alike; above 0.
      tolerance: change of a layer's outputs on A, as a Frobenius norm, that is left in a step.

    Attributes:
      jit: whether XLA compiles the step.

    Raises:
      InputError: names the first layer whose outputs cannot be held.
    """

    jit = False

    def __init__(self, network, count, ridge, tolerance):
        self.count, self.ridge, self.tolerance = count, ridge, tolerance
        self._layers = [layer for layer in network.layers if layer.trainable_weights or _normalises(layer)]
        for layer in self._layers:
            require(
                _can_be_held(layer),
                f"A projection holds the outputs of dense layers and two-dimensional convolutions that are "
                f"used once and have no constraint, and {network.name} has the layer {layer.name} "
                f"({type(layer).__name__}).",
            )
        self._network = keras.Model(network.inputs, [layer.input for layer in self._layers])

    @contextlib.contextmanager
    def held(self, X):
        """Around a step: the first `count` rows of the `Batch` X, if they have weight, keep their outputs."""
        A = self._inputs(X, replicas.own(tf.range(self.count)).shape[0])
        self._warn_of_fixed(A)
        before = [[tf.identity(theta) for theta in _weights(layer)] for layer in self._layers]
        yield
        for layer, A_l, old in zip(self._layers, A, before, strict=True):
            pairs = zip(_weights(layer), old, strict=True)
            D = tf.concat([tf.reshape(now - then, [-1, now.shape[-1]]) for now, then in pairs], axis=0)
            back = self.parallel(A_l, tf.cast(D, tf.float64))
            sizes = [theta.shape.num_elements() // theta.shape[-1] for theta in old]
            for theta, part in zip(_weights(layer), tf.split(back, sizes), strict=True):
                theta.assign_sub(tf.cast(tf.reshape(part, theta.shape), theta.dtype))

    def _warn_of_fixed(self, A):
        """Says which layers have so many rows that all of a step may be taken back."""
        counts = [(a.shape[0] * replicas.count(), a.shape[1]) for a in A]
        fixed = [
            f"{layer.name} ({rows:,} rows for {inputs:,} inputs)"
            for layer, (rows, inputs) in zip(self._layers, counts, strict=True)
            if rows >= inputs
        ]
        if fixed:
            warnings.warn(
                f"As many rows as a layer has inputs, with its bias, leave it no direction to learn in: "
                f"{', '.join(fixed)}; give fewer rows to hold, or wider layers.",
                Notice,
                stacklevel=2,
            )

    def _inputs(self, X, count):
        """The inputs A of every layer on the first rows of X, float64 `[n, d]`; 0 for rows without weight."""
        found = tf.nest.flatten(logits_of(self._network, X.x[:count], X.task[:count]))
        real = tf.cast(X.weight[:count] > 0, tf.float32)
        return [
            _rows(layer, tf.cast(a, tf.float32), real) for layer, a in zip(self._layers, found, strict=True)
        ]

    def parallel(self, A, D):
        """The part of a step D `[d, out]` to take back: P D, or less of it within the tolerance."""
        whole = replicas.gathered(A) if A.shape[0] <= A.shape[1] else A
        if A.shape[0] <= A.shape[1]:
            K = tf.matmul(whole, whole, transpose_b=True)
            par = tf.matmul(whole, self._solved(K, tf.matmul(whole, D)), transpose_a=True)
        else:  # the same by an inverse of d x d numbers: A'(AA' + rI)^-1 A = (A'A + rI)^-1 A'A
            K = replicas.summed(tf.matmul(A, A, transpose_a=True))
            par = self._solved(K, tf.matmul(K, D))
        if not self.tolerance:
            return par
        change = tf.sqrt(replicas.summed(tf.reduce_sum(tf.square(tf.matmul(A, par)))))
        return par * (1 - tf.minimum(tf.math.divide_no_nan(tf.cast(self.tolerance, A.dtype), change), 1))

    def _solved(self, K, right):
        return solved(tf.linalg.set_diag(K, tf.linalg.diag_part(K) + self.ridge), right, self.jit)


def _normalises(layer):
    """Whether a layer changes while its weights do not: its statistics do."""
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable


def _can_be_held(layer):
    grouped = getattr(layer, "groups", 1) > 1 or getattr(layer, "data_format", "") == "channels_first"
    free = all(theta.constraint is None for theta in layer.trainable_weights)
    return type(layer) in POSSIBLE and len(layer.inbound_nodes) == 1 and free and not grouped


def _weights(layer):
    return [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]


def _rows(layer, a, real):
    """Inputs `[n, d]` of a layer that is a matrix product for each of its rows."""
    if isinstance(layer, keras.layers.Conv2D):
        window, stride, rate = (
            [1, *pair, 1] for pair in (layer.kernel_size, layer.strides, layer.dilation_rate)
        )
        a = tf.image.extract_patches(a, window, stride, rate, layer.padding.upper())
    if layer.use_bias:
        a = tf.concat([a, tf.ones_like(a[..., :1])], axis=-1)
    a *= tf.reshape(real, [-1] + [1] * (len(a.shape) - 1))
    return tf.cast(tf.reshape(a, [-1, a.shape[-1]]), tf.float64)
