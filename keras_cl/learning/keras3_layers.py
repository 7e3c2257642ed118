"""Layers of tf_keras for layers of Keras 3: the same layer where there is one, else a layer that calls it."""

import sys

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require
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

    @property
    def wrapped(self):
        """The Keras 3 layers that it calls, at any depth; none of an operation."""
        return self.operation._flatten_layers() if hasattr(self.operation, "_flatten_layers") else []

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
        for value in tf.nest.flatten((args, kwargs)):
            require(
                not isinstance(value, (tf.Variable, sys.modules["keras"].Variable)),
                f"The Keras 3 model uses the variable {getattr(value, 'path', '')} outside of its layer, and "
                "a copy of the model would use the same; write a layer that holds it.",
            )
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


def counterpart(operation, named):
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
    if graph_of(operation) is not None:
        return sys.modules["keras"].models.clone_model(operation)
    copy = type(operation).from_config(operation.get_config())
    if not copy.built:
        copy.build_from_config(operation.get_build_config())
    return copy


def graph_of(model):
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
