"""Bridges: maps from the features of a task to those of the task before, for the heads of earlier tasks."""

import contextlib
import itertools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import Diverged, require
from keras_cl.learning import loop
from keras_cl.learning.batches import weighted_mean
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.layers import MASKED, ROWS_AT_ONCE, frozen_copy
from keras_cl.learning.network import asks_for_task
from keras_cl.learning.slots import FreshState
from keras_cl.numerics.random import BRIDGE, seed_of


class Bridges(keras.layers.Wrapper):
    """A dense layer with a head for every task, whose earlier heads get their features through bridges.

    With n bridges, head k < n has the logits h_k(g_k(... g_{n-1}(v))), where g_k maps features of task k + 1
    to those of task k; the others, and all in training, have h_k(v). The cost of an answer grows with n.

    Args:
      layer: the dense layer, from features `[B, d]` to logits `[B, C]`.
      tasks: number of tasks, one more than bridges.
      hidden: units of the hidden layer of a bridge; 0 for a linear bridge.
    """

    reads_features = True

    def __init__(self, layer, tasks, hidden=0, **kwargs):
        super().__init__(layer, **{"dtype": "float32", **kwargs})
        self.tasks, self.hidden = tasks, hidden

    def build(self, input_shape):
        super().build(input_shape)
        self.size = input_shape[-1]

        def zeros(name, shape, dtype=tf.int64):
            return self.add_weight(name, shape, dtype, "zeros", trainable=False)

        self.maps = [  # of all bridges
            zeros(f"{name}_{place}", (self.tasks - 1, *shape), tf.float32)
            for place, sides in enumerate(self._sides())
            for name, shape in (("kernel", sides), ("bias", sides[1:]))
        ]
        self.rectified = zeros("rectified", (self.tasks - 1,))  # 1 for a bridge to features after a ReLU
        self.fitted = zeros("fitted", ())
        self.owner = zeros("owner", (self.layer.units,))  # the task that a unit belongs to

    def call(self, v, training=False):
        logits = self.layer(v)
        if training:
            return logits

        def back(k, v, logits):
            v = self.through(k, v)
            return k - 1, v, tf.where(self.owner == k, self.layer(v), logits)

        return tf.while_loop(lambda k, *_: k >= 0, back, [self.fitted - 1, v, logits])[-1]

    def through(self, k, v):
        """Features `[B, d]` of task k for those of task k + 1."""
        out = mapped(v, [tf.gather(part, k) for part in self.maps])
        return tf.where(tf.gather(self.rectified, k) > 0, tf.nn.relu(out), out)

    def put(self, maps, rectified):
        """Adds a bridge: kernel and bias of each of its layers, and whether a ReLU follows."""
        place = [[self.fitted]]
        for stack, value in zip([*self.maps, self.rectified], [*maps, int(rectified)], strict=True):
            stack.assign(tf.tensor_scatter_nd_update(stack, place, [tf.cast(value, stack.dtype)]))
        self.fitted.assign_add(1)

    def initial(self, seed):
        """Kernels and biases of a bridge before it is fitted: the identity, or Glorot uniform."""
        if not self.hidden:
            return [tf.eye(self.size), tf.zeros(self.size)]
        sides = [*enumerate(self._sides())]
        kernels = [keras.initializers.GlorotUniform(seed_of(seed, p, BRIDGE))(shape) for p, shape in sides]
        return [part for kernel in kernels for part in (kernel, tf.zeros(kernel.shape[1]))]

    def get_config(self):
        return {**super().get_config(), "tasks": self.tasks, "hidden": self.hidden}

    def _sides(self):
        widths = [self.size, self.hidden, self.size] if self.hidden else [self.size, self.size]
        return list(itertools.pairwise(widths))


class Alignment:
    """Fits the bridge from the features of a task to those of the task before.

        L = E ||g(f_t(x)) - f_{t-1}(x)||^2 + distillation * E KL(p_{t-1}(x) || p(x))

    p_{t-1} and p are softmax(z / temperature) of head t-1 on f_{t-1}(x) and g(f_t(x)). Keras does not see
    what it holds, so neither f_{t-1} nor the state of the fit is in a checkpoint.

    Args:
      network: as `bridged` returns it.
      distillation, temperature: as above.
      learning_rate: of Adam.
      seed: seed of the weights from which a bridge is fitted.
    """

    def __init__(self, network, *, distillation=0.0, temperature=2.0, learning_rate=1e-3, seed=0):
        require(learning_rate > 0, f"The learning rate of bridges is {learning_rate}; it must be above 0.")
        require(distillation >= 0, f"distillation is {distillation}; it must not be negative.")
        require(temperature > 0, f"temperature is {temperature}; it must be above 0.")
        self.distillation, self.T = distillation, temperature
        self.bridges = bridges_of(network)
        self.features = feature_extractor(network)
        self.previous, self.keep = frozen_copy(self.features)  # f_{t-1}, and what makes it f_t
        self._initial = self.bridges.initial(seed)
        self.maps = [tf.Variable(value) for value in self._initial]
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self._fresh_optimizer = FreshState(self.optimizer, self.maps)
        self._loss = keras.metrics.Mean("bridge_loss")
        self.metrics, self.run_eagerly, self.data, self._run = [self._loss], False, None, None

    def compile(self, rows, jit, run_eagerly, strategy):
        """Sets how steps run, once; `rows` is a function from a batch of the data to the rows to align on."""
        if self._run is None:
            self.run_eagerly = run_eagerly
            self._run = loop.train_function(self, lambda b: self._step(rows(b)), jit, strategy=strategy)

    def fit(self, iterations, title, progress):
        """Fits the next bridge to `data`, chunks of batches, and adds it.

        Raises:
          Diverged: if its loss is no longer finite; `title` says where.
        """
        self._fresh_optimizer.restore()
        self._loss.reset_state()
        for variable, value in zip(self.maps, self._initial, strict=True):
            variable.assign(value)
        with progress.phase("fit of the bridge", iterations) as advance:
            for element in _first(self.data, iterations):
                loss = float(self._run(iter([element]))["bridge_loss"])
                if not np.isfinite(loss):
                    raise Diverged(f"The loss of the bridge became {loss} in {title}")
                advance(int(element[1]))

    def add(self, x):
        """Adds the fitted bridge to the network; returns its R^2 on the first raw images of `x`.

        A ReLU follows the bridge if the features that it is to give are not negative, as after a ReLU.
        """
        v, target = self._pair(tf.cast(x[:ROWS_AT_ONCE], tf.float32))
        self.bridges.put(self.maps, rectified=tf.reduce_min(target) >= 0)
        residual = self.bridges.through(self.bridges.fitted - 1, v) - target
        spread = target - tf.reduce_mean(target, axis=0)
        share = tf.math.divide_no_nan(tf.reduce_sum(residual**2), tf.reduce_sum(spread**2))
        return float(1 - share)

    def _pair(self, x):
        both = self.features(x, training=False), self.previous(x, training=False)
        return [tf.cast(part, tf.float32) for part in both]

    def _step(self, rows):
        v, target = self._pair(rows.x)
        with tf.GradientTape() as tape:
            out = mapped(v, self.maps)
            L = weighted_mean(tf.reduce_sum((out - target) ** 2, axis=1), rows.weight)
            if self.distillation:
                L += self.distillation * weighted_mean(self._divergence(target, out), rows.weight)
        replicas.apply(self.optimizer, replicas.gradients(tape, L, self.maps, self.optimizer), self.maps)
        self._loss.update_state(L)

    def _divergence(self, target, out):
        """KL divergence `[B]` between the answers of head t-1, at T."""
        own = self.bridges.owner == self.bridges.fitted
        p, q = (
            tf.nn.log_softmax(tf.where(own, tf.cast(self.bridges.layer(v), tf.float32), MASKED) / self.T)
            for v in (target, out)
        )
        return tf.reduce_sum(tf.where(own, tf.exp(p) * (p - q), 0.0), axis=1)


def mapped(v, maps):
    """Features `[B, d]` through the layers of one bridge, kernel and bias of each; ReLU in between."""
    for place in range(0, len(maps), 2):
        v = tf.matmul(tf.nn.relu(v) if place else v, maps[place]) + maps[place + 1]
    return v


def bridged(network, tasks, hidden):
    """A network of the same layers in which `Bridges` are around the last dense one.

    Args:
      network: a functional or sequential model from images to logits that ends in a dense layer.
      tasks, hidden: as in `Bridges`.

    Raises:
      InputError: if the features of the network are not one vector per image, or are not all that its logits
        depend on.
    """
    features = feature_extractor(network).output
    shape = tuple(features.shape[1:])
    require(
        len(shape) == 1 and shape[0],
        f"Bridges are between features of one size, vectors [d], and those of {network.name} have the shape "
        f"{shape}.",
    )
    require(
        not asks_for_task(network),
        f"Bridges are for networks of images alone; {network.name} takes tasks.",
    )
    dense = next(layer for layer in reversed(network.layers) if isinstance(layer, keras.layers.Dense))
    logits = Bridges(dense, tasks, hidden, name="bridges")(features)
    if network.output is not dense.output:
        logits = _after(network, dense)(logits)
    return keras.Model(network.inputs, logits, name=f"{network.name}_bridged")


def _after(network, dense):
    """The layers behind the last dense one, which cast or scale its logits."""
    try:
        rest = keras.Model(dense.output, network.output)
    except ValueError:  # the graph is not connected
        rest = None
    require(
        rest is not None and not rest.weights,
        f"Bridges are for networks whose logits are those of their last dense layer; {network.name} has "
        f"others behind or beside it.",
    )
    return rest


def bridges_of(network):
    """The `Bridges` of a network."""
    return next(layer for layer in network.layers if isinstance(layer, Bridges))


@contextlib.contextmanager
def unbridged(network):
    """Inside the `with` block, all heads answer by the features of the last task."""
    fitted = bridges_of(network).fitted
    count = fitted.numpy()
    fitted.assign(0)
    try:
        yield
    finally:
        fitted.assign(count)


def redrawn(network, *seeds):
    """Initial weights of a network of the same layers, whose initialisers are seeded by `seeds`."""
    places = itertools.count()

    def again(layer):
        return type(layer).from_config(_reseeded(layer.get_config(), seeds, places))

    return keras.models.clone_model(network, clone_function=again).get_weights()


def _reseeded(config, seeds, places):
    """A layer's settings with other seeds of its initialisers."""
    if isinstance(config, list | tuple):
        kind = tuple if isinstance(config, tuple) else list  # not those of TensorFlow, which track
        return kind(_reseeded(part, seeds, places) for part in config)
    if not isinstance(config, dict):
        return config
    config = {name: _reseeded(value, seeds, places) for name, value in config.items()}
    for name, value in config.items():
        if name.endswith("_initializer") and isinstance(value, dict) and "seed" in value.get("config", ()):
            value["config"]["seed"] = seed_of(*seeds, next(places), BRIDGE)
    return config


def _first(data, steps):
    """The chunks of a number of steps over a data set, again and again."""
    for chunk, count in data.repeat():
        count = tf.minimum(count, steps)
        yield chunk, count
        steps -= int(count)
        if not steps:
            return
