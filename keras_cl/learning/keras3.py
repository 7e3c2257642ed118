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

from keras_cl.errors import did_you_mean, require
from keras_cl.learning.layers import Dropout
from keras_cl.numerics.random import seed_of

# Layers without variables that mean the same in tf_keras, and their arguments, which are attributes there.
SAME = {
    "Flatten": (),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Rescaling": ("scale", "offset"),
    "Softmax": ("axis",),
}
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")  # functions that are the same in tf_keras
# Settings of a Keras 3 optimizer that tf_keras does not have, or not in the same sense; what to do instead.
OTHER = {
    "loss_scale_factor": "compile scales the loss of a network in half precision by itself",
    "gradient_accumulation_steps": "give model.batches a larger batch_size",
    "use_ema": "an average begins in another way there, so give an optimizer of tf_keras",
}


def of_keras3(thing):
    """Whether an object is of Keras 3 (`import keras`); tf_keras is another package."""
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(thing).__mro__)


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
    """A constructor that takes a Keras 3 network wherever it takes a network, its first argument."""

    @functools.wraps(constructor)
    def made(self, network, *args, **options):
        constructor(self, adopted(network), *args, **options)

    return made


def translated(optimizer):
    """The tf_keras optimizer of the same class and settings as a Keras 3 optimizer; any other as it is.

    Raises:
      InputError: if tf_keras has no such optimizer, or the optimizer has a setting that tf_keras has not.
    """
    if not of_keras3(optimizer):
        return optimizer
    name, kinds = type(optimizer).__name__, _optimizers()
    require(
        name in kinds and type(optimizer) is getattr(sys.modules["keras"].optimizers, name),
        f"The Keras 3 optimizer {name} has no counterpart in tf_keras; possible: {', '.join(kinds)}."
        + did_you_mean(name, kinds),
    )
    config = optimizer.get_config()
    require(
        not isinstance(config["learning_rate"], dict),
        f"The learning rate of {name} is a schedule of Keras 3; give {name} a number, and compile a regime: "
        "compile(optimizer, regime=keras_cl.regimes.Plain(schedule=...)).",
    )
    for setting, instead in OTHER.items():
        require(not config.get(setting), f"{name} has {setting}, which tf_keras does not have; {instead}.")
    known = getattr(keras.optimizers, name)().get_config()
    del config["name"]  # which counts what was made before, and would differ from run to run
    config = {setting: value for setting, value in config.items() if setting in known}
    return getattr(keras.optimizers, name).from_config(config)


class Keras3Layer(keras.layers.Layer):
    """Calls a Keras 3 layer or operation and holds its variables.

    Noise of the layer starts from `reseed`; its seeds are variables of this layer, so checkpoints have them.

    Args:
      operation: the Keras 3 layer, built, or a Keras 3 operation.
      calls: the arguments of each of its calls, as `Call`s.
    """

    def __init__(self, operation, calls=(), **kwargs):
        super().__init__(dtype=_policy(operation), autocast=False, **kwargs)
        for name, value in (("operation", operation), ("calls", list(calls))):
            object.__setattr__(self, name, value)  # not tracked by Keras
        weights, trained = getattr(operation, "weights", ()), getattr(operation, "trainable_weights", ())
        others = [v for v in getattr(operation, "variables", ()) if not _among(v, weights)]
        self.seeds = [v.value for v in others if v.shape == (2,) and "int" in v.dtype]
        self.learned = [v.value for v in trained]
        self.fixed = [v.value for v in weights if not _among(v, trained)]
        self.convolves = any("conv" in layer for layer in _kinds(operation))
        self._regularised = sum(v.regularizer is not None for v in trained)
        self.supports_masking = self.built = True
        if self._regularised:
            self.add_loss(lambda: tf.add_n(operation.losses[-self._regularised :]))

    @property
    def trainable_weights(self):
        return list(self.learned) if self.trainable else []

    @property
    def non_trainable_weights(self):
        return [*(() if self.trainable else self.learned), *self.fixed, *self.seeds]

    def applied(self, *args, **kwargs):
        """Calls the operation with symbolic tensors of tf_keras among the arguments."""
        self.calls.append(Call(args, kwargs))
        return self(self.calls[-1].tensors_of(args, kwargs), place=len(self.calls) - 1)

    def reseed(self, seed):
        """Restarts all noise of the layer from `seed`."""
        for place, state in enumerate(self.seeds):
            state.assign([seed_of(seed, place), 0])

    @tf.autograph.experimental.do_not_convert
    def call(self, tensors, training=None, place=0):
        args, kwargs = self.calls[place].filled(tensors)
        if getattr(self.operation, "_call_has_training_arg", False):
            kwargs["training"] = bool(training)
        outputs = self.operation(*args, **kwargs)
        losses = getattr(self.operation, "losses", [])
        for loss in losses[: len(losses) - self._regularised]:  # of activities
            self.add_loss(loss)
        return outputs

    def compute_mask(self, inputs, mask=None):
        """None: Keras 3 hands masks on by itself."""

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(self.operation.compute_output_shape(tuple(input_shape)))

    def get_config(self):
        own = {"operation": self.operation, "calls": self.calls}
        return {"name": self.name, "trainable": self.trainable, **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "operation": _copied(config["operation"])})


class Call:
    """The arguments of a call, with gaps for its symbolic tensors."""

    def __init__(self, args, kwargs):
        self._kept = tf.nest.map_structure(lambda value: _GAP if _symbolic(value) else value, (args, kwargs))

    def tensors_of(self, args, kwargs):
        """The tensors for the gaps: a list, or the tensor if there is one."""
        tensors = [value for value in tf.nest.flatten((args, kwargs)) if _symbolic(value)]
        return tensors[0] if len(tensors) == 1 else tensors

    def filled(self, tensors):
        """`(args, kwargs)` with `tensors` in the gaps."""
        rest = iter(tf.nest.flatten(tensors))
        return tf.nest.map_structure(lambda value: next(rest) if value is _GAP else value, self._kept)


_GAP = object()


class _Adoption:
    """The way through a Keras 3 model, on which each of its operations becomes layers of tf_keras, once."""

    def __init__(self):
        self._layers, self._names = {}, set()

    def through(self, model, inputs):
        """Outputs of a model; where it has no `call` of its own, its layers become layers of the network."""
        graph = _graph(model)
        if graph is None:
            return self._applied(model, inputs[0] if len(inputs) == 1 else inputs)
        return graph._run_through_graph(inputs, call_fn=self._applied)

    def _applied(self, operation, /, *args, **kwargs):
        # As in Keras 3, the `training` of a step counts, not that with which a layer was put into the graph.
        kwargs = {n: v for n, v in kwargs.items() if n != "training" and not (n == "mask" and v is None)}
        plain = len(args) == 1 and not kwargs
        if plain and _graph(operation) is not None:
            return self.through(operation, args[0])
        layers = self._layers_of(operation, plain)
        if isinstance(layers[0], Keras3Layer):
            return layers[0].applied(*args, **kwargs)
        return functools.reduce(lambda x, layer: layer(x), layers, args[0])

    def _layers_of(self, operation, plain):
        key = (id(operation), plain)
        if key not in self._layers:
            made = (plain and _counterpart(operation, self._name)) or None
            self._layers[key] = made or [Keras3Layer(operation, name=self._name(operation.name))]
        return self._layers[key]

    def _name(self, wanted):
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _counterpart(operation, named):
    """Layers of tf_keras that mean the same as a Keras 3 layer, in order; None if there are none."""
    if getattr(operation, "compute_dtype", "") != "float32" or operation.variable_dtype != "float32":
        return None
    if getattr(operation, "activity_regularizer", None) is not None:
        return None
    kind, layers = type(operation).__name__, keras.layers
    function = getattr(getattr(operation, "activation", None), "__name__", "")
    if not _is(operation, kind):
        return None
    if kind == "Dense" and not (operation.lora_enabled or operation.quantization_mode):
        dense = _dense(operation, named(operation.name))
        if function == "linear":
            return [dense]
        name = named(f"{operation.name}_{function}")
        activation = function if function in ACTIVATIONS else operation.activation
        return [dense, layers.Activation(activation, name=name)]
    if kind == "Activation" and function in ACTIVATIONS:
        return [layers.Activation(function, name=named(operation.name))]
    if kind == "Dropout" and operation.noise_shape is None:
        return [Dropout(operation.rate, name=named(operation.name))]
    if kind in SAME:
        options = {name: getattr(operation, name) for name in SAME[kind]}
        return [getattr(layers, kind)(**options, name=named(operation.name))]
    return None


def _dense(operation, name):
    """A dense layer of tf_keras, linear, with the kernel and the bias of one of Keras 3."""
    dense = keras.layers.Dense(operation.units, use_bias=operation.use_bias, name=name)
    dense.kernel = operation.kernel.value
    dense.bias = operation.bias.value if operation.use_bias else None
    dense.built, dense.trainable = True, operation.trainable
    if any(v.regularizer is not None for v in operation.trainable_weights):
        dense.add_loss(lambda: tf.add_n(operation.losses))
    return dense


def _copied(operation):
    """A Keras 3 layer of the same settings with variables of its own; an operation without any as it is."""
    if not getattr(operation, "variables", ()):
        return operation
    if _graph(operation) is not None:
        return sys.modules["keras"].models.clone_model(operation)
    copy = type(operation).from_config(operation.get_config())
    if not copy.built:
        copy.build_from_config(operation.get_build_config())
    return copy


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
    graph = _graph(network)
    if graph is not None:
        return [(x.shape, x.dtype, layer) for x, layer in zip(graph.inputs, _input_names(graph), strict=True)]
    shape = (network.get_build_config() or {}).get("input_shape")
    require(
        isinstance(shape, (tuple, list)) and all(size is None or isinstance(size, int) for size in shape),
        f"The Keras 3 model {network.name} has a call of its own and not one tensor of images as its input.",
    )
    return [(shape, "float32", "images")]


def _input_names(graph):
    return [getattr(x, "name", None) for x in graph.inputs]


def _graph(model):
    """The Keras 3 `Functional` that a model runs; None if the model has a `call` of its own, or is none."""
    functional = sys.modules["keras.src.models.functional"].Functional
    sequential = sys.modules["keras"].Sequential
    if isinstance(model, sequential) and type(model).call is sequential.call:
        return model._functional
    return model if isinstance(model, functional) and type(model).call is functional.call else None


def _policy(operation):
    """The precision of a Keras 3 layer, as tf_keras calls it."""
    kinds = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
    name = getattr(getattr(operation, "dtype_policy", None), "name", "float32")
    require(
        name in kinds or not getattr(operation, "quantization_mode", None),
        f"The Keras 3 layer {operation.name} is quantised ({name}), which cannot be trained; possible: "
        f"{', '.join(kinds)}.",
    )
    return name if name in kinds else "float32"


def _is(operation, kind):
    """Whether an operation is exactly the Keras 3 layer of this name, and no subclass."""
    return type(operation) is getattr(sys.modules["keras"].layers, kind, None)


def _kinds(operation):
    """Full names, in lower case, of the classes of an operation and of the layers inside of it."""
    inside = getattr(operation, "_flatten_layers", lambda: [operation])()
    return {f"{kind.__module__}.{kind.__name__}".lower() for part in inside for kind in type(part).__mro__}


def _symbolic(value):
    return isinstance(value, keras.__internal__.KerasTensor)


def _among(variable, variables):
    return any(variable is other for other in variables)


def _optimizers():
    """Names of the optimizers that Keras 3 and tf_keras both have."""
    known = vars(sys.modules["keras"].optimizers).items()
    names = [name for name, kind in known if isinstance(kind, type) and hasattr(keras.optimizers, name)]
    return sorted(set(names) - {"Optimizer", "LossScaleOptimizer"})
