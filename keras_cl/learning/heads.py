"""Heads of the task-incremental scenario: a step leaves the outputs of other tasks alone.

An optimizer moves weights whose gradient is zero: by momentum of earlier steps, by weight decay, by averages
of the weights. On the outputs of a task that takes no part in a step, that is an error nobody sees: the rows
that could show it are not there. Here such an output keeps its weights and its optimizer state.
"""

import contextlib
import threading

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.learning.layers import logits_of
from keras_cl.learning.slots import inner, slots

PROBES = 4  # random images that show which weights belong to one output each


def outputs(network, weights, stream):
    """The weights of a network that belong to one output each: `[(position in weights, axis of outputs)]`.

    They are found by their gradient, whatever the network is made of: a slice of them gets a gradient from
    its own output only. An output layer that mixes outputs, such as a normalised one, has no such weights.

    Args:
      network: raw images, and optionally task indices, to logits `[B, C]`.
      weights: list of its trained variables.
      stream: the `Stream` that it learns.
    """
    C = stream.num_classes
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1 / stream.source.scale, (PROBES, *stream.input_shape)).astype(np.float32)
    halves = np.arange(C) < C // 2, np.arange(C) >= C // 2
    with tf.GradientTape(persistent=True) as tape:
        z = logits_of(network, x, tf.zeros(PROBES, tf.int32))
        sums = [tf.reduce_sum(tf.boolean_mask(z, half, axis=1)) for half in halves]
    zero = tf.UnconnectedGradients.ZERO
    found = [tape.gradient(part, weights, unconnected_gradients=zero) for part in sums]
    return [
        (position, axis)
        for position, both in enumerate(zip(*found, strict=True))
        for axis in range(len(both[0].shape))
        if both[0].shape[axis] == C and all(map(_only_in, both, halves, [axis] * 2))
    ]


def _only_in(gradient, half, axis):
    """Whether a gradient is zero in all slices along an axis outside of `half`, and not zero everywhere."""
    reached = np.moveaxis(tf.convert_to_tensor(gradient).numpy() != 0, axis, 0).reshape(len(half), -1).any(1)
    return bool(reached.any() and not reached[~half].any())


class Heads:
    """Holds the outputs of other tasks, with their optimizer state; by default of none.

    A step moves the outputs of the tasks of its rows, and any others that its gradient reaches: those that a
    method distils, replays or penalises.

    Args:
      places: as `outputs` returns them.
      mask: bool `[T, C]`, the outputs of each task.
    """

    def __init__(self, places=(), mask=None):
        self._places, self._mask, self._needed = places, mask, False
        self._units = {}  # of the step that is being traced, by thread: each replica has its own

    def attach(self, optimizer, weights, layers):
        """Prepares for steps of an optimizer.

        Args:
          optimizer: a tf_keras optimizer that was built for `weights`.
          weights: list of variables, in which `places` are positions.
          layers: layers whose regularisers count as weight decay.
        """
        kinds = slots(optimizer, weights)
        self._held = [(kind[at], axis) for kind in (weights, *kinds) for at, axis in self._places]
        self._decayed = [
            (*found, axis) for at, axis in self._places for found in _regularised(layers, weights[at])
        ]
        self._needed = bool(self._places and (self._decayed or _moves_alone(inner(optimizer))))

    @contextlib.contextmanager
    def step(self, batch):
        """Around the code of a step on `batch`."""
        if self._places:
            rows = tf.gather(self._mask, batch.task) & (batch.weight > 0)[:, tf.newaxis]
            count = tf.math.count_nonzero(rows, axis=0, dtype=tf.float32)
            self._units[threading.get_ident()] = replicas.summed(count) > 0
        try:
            yield
        finally:
            self._units.pop(threading.get_ident(), None)

    @contextlib.contextmanager
    def kept(self, gradients):
        """Around the update by `gradients`, one for each of the weights."""
        units = self._units.get(threading.get_ident())
        if units is None or not self._needed:
            yield
            return
        for position, axis in self._places:
            others = [a for a in range(len(gradients[position].shape)) if a != axis]
            units |= tf.reduce_any(gradients[position] != 0, axis=others)
        before = [tf.identity(variable) for variable, _ in self._held]
        yield
        for (variable, axis), old in zip(self._held, before, strict=True):
            variable.assign(tf.where(_along(units, axis, variable), variable, old))

    def decayed(self, gradients, weights, factor):
        """Gradients plus `factor` times each of the weights, but for the outputs of other tasks."""
        terms = [factor * theta for theta in weights]
        units = self._units.get(threading.get_ident())
        for position, axis in self._places if units is not None else ():
            own = _along(units, axis, terms[position])
            terms[position] = tf.where(own, terms[position], tf.zeros_like(terms[position]))
        return [gradient + term for gradient, term in zip(gradients, terms, strict=True)]

    def released(self):
        """Terms that take the regularisers of the held outputs out of the loss: their value is 0."""
        units = self._units.get(threading.get_ident())
        if units is None:
            return []
        return [
            regulariser(tf.where(_along(units, axis, theta), theta, tf.stop_gradient(theta)))
            - regulariser(tf.convert_to_tensor(theta))
            for regulariser, theta, axis in self._decayed
        ]


def _moves_alone(optimizer):
    """Whether an optimizer can move weights without a gradient: all but plain SGD can."""
    plain = isinstance(optimizer, keras.optimizers.SGD) and not (optimizer.momentum or optimizer.use_ema)
    return not plain or bool(optimizer.weight_decay)


def _regularised(layers, weight):
    """`[(regulariser, weight)]` if a layer regularises the weight as its kernel or bias."""
    return [
        (getattr(layer, f"{name}_regularizer"), weight)
        for layer in layers
        for name in ("kernel", "bias")
        if getattr(layer, name, None) is weight and getattr(layer, f"{name}_regularizer", None)
    ]


def _along(units, axis, variable):
    """`units` `[C]` in the shape that broadcasts along an axis of a variable."""
    return tf.reshape(units, [-1 if a == axis else 1 for a in range(len(variable.shape))])
