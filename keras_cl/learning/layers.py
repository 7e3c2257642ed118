"""Layers that Keras does not have, and helpers for networks that take a task index as an input."""

import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import require
from keras_cl.learning.gates import attention
from keras_cl.learning.network import answers, asks_for_task, subclassed
from keras_cl.numerics.random import GATES, random_bits, seed_of

MASKED = -1e9  # logit of an inactive class; finite, because -inf * 0 is NaN
ROWS_AT_ONCE = 2000  # per forward pass outside of training


class Dropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) that is reproducible and cheap in a compiled loop.

    Its state is a seed and a step count. `reseed` sets both, so that the masks of a task depend only on the
    seed. The masks are the same with and without XLA. Inactive outside of training.

    Args:
      rate: probability that a unit is set to zero, in [0, 1).
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.state = self.add_weight(
            "state", shape=(2,), dtype=tf.int64, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def reseed(self, seed):
        """Restarts the sequence of masks from `seed`, from 0 to 2^31 - 1."""
        self.state.assign([seed, 0])

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        threshold = tf.constant(min(round(self.rate * 2**32), 2**32 - 1), tf.uint32)
        kept = replicas.drawn(functools.partial(random_bits, seed, step), tf.shape(x)) >= threshold
        return tf.where(kept, x * (1 / (1 - self.rate)), tf.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


class TaskGate(keras.layers.Layer):
    """A gate per unit and task, h' = a^t * h with a^t = sigmoid(s e^t) (Serra et al. 2018, eq. 1).

    Args:
      tasks: number of tasks.
      sharpest: s outside of training, where gates are almost exactly 0 or 1.
      seed: seed of the embeddings e, normally distributed.
    """

    def __init__(self, tasks, sharpest, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.tasks, self.sharpest, self.seed = tasks, sharpest, seed

    def build(self, input_shape):
        normal = keras.initializers.RandomNormal(0.0, 1.0, self.seed)
        shape = (self.tasks, input_shape[0][-1])
        self.embedding = self.add_weight("embedding", shape, tf.float32, normal, experimental_autocast=False)
        constant = keras.initializers.Constant(self.sharpest)
        self.sharpness = self.add_weight(
            "sharpness", (), tf.float32, constant, trainable=False, experimental_autocast=False
        )
        super().build(input_shape)

    def gates(self, s):
        """Gates `[tasks, units]` in (0, 1) at the sharpness `s`, with the gradient of `attention`."""
        return attention(self.embedding, s, self.sharpest)

    def gates_of(self, task, s):
        """Gates `[..., units]` of tasks `[...]`."""
        # Not a gather, whose gradient is slow in a compiled loop.
        chosen = tf.one_hot(task, self.tasks)[..., tf.newaxis]
        return tf.reduce_sum(chosen * self.gates(s), axis=-2)

    def call(self, inputs, training=False):
        h, task = inputs
        return h * tf.cast(self.gates_of(task, self.sharpness if training else self.sharpest), h.dtype)

    def get_config(self):
        own = {"tasks": self.tasks, "sharpest": self.sharpest, "seed": self.seed}
        return {**super().get_config(), **own}


class NearestMean(keras.layers.Layer):
    """Nearest-mean classifier on features: minus the squared distance to each mean, outside of training.

    Features and means have length 1. In training, and while there are no means, it returns the logits. A
    class without a mean is farther away than any other.
    """

    FARTHEST = -5.0  # two vectors of length 1 have a squared distance of at most 4

    def build(self, input_shape):
        features, logits = input_shape
        shape = (logits[-1], features[-1])
        self.means = self.add_weight("means", shape, tf.float32, "zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs, training=False):
        features, logits = inputs
        if training:
            return logits
        phi = tf.math.l2_normalize(tf.cast(features, tf.float32), axis=1)
        mu = tf.cast(self.means, tf.float32)
        known = tf.reduce_any(mu != 0, axis=1)
        length = tf.reduce_sum(phi**2, 1, keepdims=True) + tf.reduce_sum(mu**2, 1)
        distance = length - 2 * tf.matmul(phi, mu, transpose_b=True)
        return tf.where(tf.reduce_any(known), tf.where(known, -distance, self.FARTHEST), logits)


def gated(network, tasks, sharpest, seed):
    """A network of the same layers with a `TaskGate` after each hidden one, from images and tasks to logits.

    Args:
      network: a chain of dense layers, optionally with layers without weights in between.
      tasks, sharpest, seed: as in `TaskGate`.

    Returns:
      `(network, dense layers, gates)`; there is one more dense layer than gates.
    """
    dense, gates = [], []
    task = keras.Input((), dtype=tf.int32, name="task")
    misfit = _misfit(network)
    require(not misfit, f"Task gates are for chains of dense layers; {network.name} {misfit}.")
    (x,) = network.inputs
    for layer in _own_layers(network):
        if isinstance(layer, keras.layers.Dense):
            if dense:
                place = len(gates)
                gates.append(TaskGate(tasks, sharpest, seed_of(seed, place, GATES), name=f"gate_{place}"))
                x = gates[-1]([x, task])
            dense.append(layer)
        x = layer(x)
    return keras.Model([*network.inputs, task], x, name=f"gated_{network.name}"), dense, gates


def _misfit(network):
    """Reason why a network is not a chain of dense layers; None if it is one."""
    if len(network.inputs or ()) != 1:
        return "is not made of layers from one input"
    (end,) = network.inputs
    width = 0  # of the last dense layer
    for layer in _own_layers(network):
        dense = isinstance(layer, keras.layers.Dense) and len(layer.input.shape) == 2
        stateless = not any(weight.dtype.is_floating for weight in layer.weights)
        if len(layer.inbound_nodes) != 1 or layer.input is not end or not (dense or stateless):
            return f"has the layer {layer.name}"
        end, width = layer.output, layer.units if dense else width
        if width and _mixes_units(layer, width):
            return f"has the layer {layer.name}, in which a unit depends on other units"
    return None


def _mixes_units(layer, width):
    """Whether an output of a layer, or of a dense layer's activation, depends on another of its units.

    It is tried in inference mode. Half of the units are changed, which may not change the others; a half for
    each binary digit of a unit's number, so that every two units are in different halves.
    """
    if isinstance(layer, keras.layers.Dense):
        function = layer.activation
        if function in (keras.activations.linear, keras.activations.relu):
            return False
    elif isinstance(layer, (Dropout, keras.layers.ReLU)):
        return False
    else:
        inference = keras.Model(layer.input, layer.output)
        if inference.output_shape != (None, width):
            return True
        function = functools.partial(inference, training=False)
    rng = np.random.default_rng(0)
    for digit in range(max(int(width - 1).bit_length(), 1)):
        for changed in (np.arange(width) >> digit & 1 == 0, np.arange(width) >> digit & 1 == 1):
            x = rng.normal(size=[8, width])
            changes = rng.normal(0, 5, [8, width])
            one, other = (
                function(tf.constant(part, tf.float32)) for part in (x, np.where(changed, changes, x))
            )
            one, other = (tf.cast(part, tf.float32).numpy()[:, ~changed] for part in (one, other))
            if not np.allclose(one, other, rtol=1e-2, atol=1e-4):  # bfloat16 has 8 bits
                return True
    return False


def _own_layers(network):
    return [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]


def logits_of(network, x, task, training=False):
    """Logits `[B, C]` of raw images; `task` `[B]` is for a network that takes it as a second input."""
    return network([x, task] if asks_for_task(network) else x, training=training)


def frozen_copy(network):
    """An untrainable copy of a network, and a function that copies the current weights to it."""
    fault = (
        f"The method copies its network, and {network.name} cannot be made again from its get_config; make "
        f"it a functional or sequential model of layers that can."
    )
    try:
        copy = keras.models.clone_model(network)
        # Paired before freezing, which reorders the weights.
        pairs = list(zip(copy.weights, network.weights, strict=True))
        same = all(old.shape == new.shape for old, new in pairs)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        same = False
    require(same, fault)
    copy.trainable = False

    def teach():
        for old, new in pairs:
            old.assign(new)

    teach()
    # The settings of a subclassed model need not be all that it does.
    require(not subclassed(network) or np.allclose(answers(copy), answers(network), atol=1e-4), fault)
    return copy, teach


def blocks(n, size=0):
    """Slices of `n` rows, of `size` rows each, by default `ROWS_AT_ONCE`; the last one has the rest."""
    size = size or ROWS_AT_ONCE
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def in_blocks(function, x, *others, advance=lambda rows: None):
    """Applies a function of raw images and parallel arrays to all rows, in blocks; `advance` is told the
    number of rows of each."""
    parts = []
    for rows in blocks(len(x)):
        parts.append(function(tf.cast(x[rows], tf.float32), *(other[rows] for other in others)).numpy())
        advance(len(parts[-1]))
    return np.concatenate(parts)
