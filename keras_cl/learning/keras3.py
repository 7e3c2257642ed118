"""Keras 3 networks: a tf_keras network of the same layers, which trains the variables of the Keras 3 model.

A dense layer becomes a dense layer of tf_keras that holds the same kernel. What this library does with dense
layers (importances by matrix products, features, gates) then holds for it too. Layers that mean the same in
both become those of tf_keras, Dropout becomes `keras_cl.learning.Dropout`, and any other layer or operation
is called by a `Keras3Layer`. Keras 3 is never imported here: a user who has a model of it has done so.
"""

import functools
import sys

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require
from keras_cl.learning.keras3_layers import Keras3Layer, counterpart, graph_of
from keras_cl.learning.keras3_optimizers import of_keras3
from keras_cl.learning.network import checked


def adopted(network):
    """The network as a tf_keras network: a Keras 3 model adopted, anything else returned as it is.

    Args:
      network: a Keras 3 model with the TensorFlow backend: functional, sequential, or a subclass that has
        been called. Layers that are frozen (`trainable = False`) stay frozen; freeze them before.

    Returns:
      a functional tf_keras model that shares the variables of the Keras 3 model: what one learns, the other
      knows.

    Raises:
      InputError: one sentence about a model that cannot be adopted.
    """
    if not of_keras3(network):
        return network
    _check(network)
    inputs = [keras.Input(shape[1:], dtype=dtype, name=name) for shape, dtype, name in _inputs(network)]
    outputs = tf.nest.flatten(_Adoption().through(network, inputs))
    require(
        len(outputs) == 1,
        f"The Keras 3 model {network.name} has {len(outputs)} outputs; a network has one, the logits.",
    )
    return keras.Model(inputs, outputs[0], name=network.name)


def adopting(constructor):
    """A constructor whose network, its first argument, is checked, and adopted if it is a Keras 3 model."""

    @functools.wraps(constructor)
    def made(self, *args, **options):
        if "network" in options:
            options["network"] = checked(adopted(options["network"]))
        constructor(self, *(checked(adopted(network)) for network in args[:1]), *args[1:], **options)

    return made


class _Adoption:
    """The way through a Keras 3 model, on which each of its operations becomes layers of tf_keras, once."""

    def __init__(self):
        self._layers, self._names = {}, set()

    def through(self, model, inputs):
        """Outputs of a model; where it has no `call` of its own, its layers become layers of the network."""
        graph = graph_of(model)
        if graph is None:
            return self._applied(model, inputs[0] if len(inputs) == 1 else inputs)
        return graph._run_through_graph(inputs, call_fn=self._applied)

    def _applied(self, operation, /, *args, **kwargs):
        # As in Keras 3, the `training` of a step counts, not that with which a layer was put into the graph.
        kwargs = {n: v for n, v in kwargs.items() if n != "training" and not (n == "mask" and v is None)}
        plain = len(args) == 1 and not kwargs
        if plain and graph_of(operation) is not None:
            return self.through(operation, args[0])
        layers = self._layers_of(operation, plain)
        if isinstance(layers[0], Keras3Layer):
            return layers[0].applied(*args, **kwargs)
        return functools.reduce(lambda x, layer: layer(x), layers, args[0])

    def _layers_of(self, operation, plain):
        key = (id(operation), plain)
        if key not in self._layers:
            made = (plain and counterpart(operation, self._name)) or None
            self._layers[key] = made or [Keras3Layer(operation, name=self._name(operation.name))]
        return self._layers[key]

    def _name(self, wanted):
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _check(network):
    """Raises `InputError` for what is no Keras 3 model, or for one that cannot be trained here."""
    keras3, backend = sys.modules["keras"], sys.modules["keras"].backend.backend()
    require(
        backend == "tensorflow",
        f"Keras 3 runs on {backend} here, and the training loop is one of TensorFlow; set KERAS_BACKEND="
        "tensorflow before keras is imported.",
    )
    require(
        isinstance(network, keras3.Model),
        f"A network is a whole model, and this is a Keras 3 {type(network).__name__}; make it one: "
        "keras.Sequential([keras.Input(shape), ..., keras.layers.Dense(classes)]).",
    )
    require(
        network.built,
        f"The Keras 3 model {network.name} does not know its input shape yet; begin it with "
        "keras.Input(shape), or call it on a batch.",
    )
    require(
        not tf.distribute.has_strategy(),
        "A Keras 3 network trains on one device; for several build it with tf_keras.",
    )
    bound = [v.path for v in network.trainable_variables if v.constraint is not None]
    require(
        not bound,
        f"{', '.join(bound[:3])} of the Keras 3 model {network.name} has a constraint, which only the "
        "optimizers of Keras 3 keep; leave it out, or build the network with tf_keras.",
    )


def _inputs(network):
    """`(shape, dtype, name)` of each input."""
    graph = graph_of(network)
    if graph is not None:
        return [(x.shape, x.dtype, x.name) for x in graph.inputs]
    shape = (network.get_build_config() or {}).get("input_shape")
    require(
        isinstance(shape, (tuple, list)) and all(size is None or isinstance(size, int) for size in shape),
        f"The Keras 3 model {network.name} has a call of its own and not one tensor of images as its input.",
    )
    return [(shape, "float32", "images")]
