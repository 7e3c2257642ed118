"""The network contract: what a network may be, checked once when a model is made (docs/networks.md)."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import InputError, require

ANY_SIDE = 32  # side of images that a network of any size is tried with
PROBABILITIES = ("softmax", "sigmoid")  # activations that return no logits


def checked(network):
    """The functional or sequential model that is trained for `network`.

    It is the network itself, or a functional model of the same layers: around a subclassed model, whose
    layers cannot be listed, or with a cast behind logits of 16 bits.

    Args:
      network: `tf_keras.Model` from raw images `[B, ...]`, and optionally their tasks `[B]`, to logits
        `[B, C]`.

    Raises:
      InputError: one sentence about the first thing that is not right.
    """
    require(
        isinstance(network, keras.Model),
        f"A network is a tf_keras.Model from images to logits, and this one is of the type "
        f"{type(network).__module__}.{type(network).__name__}.",
    )
    network = network if network.inputs else _around(network)
    _require_inputs(network)
    _require_logits(network)
    _require_weights(network)
    _require_no_probabilities(network)
    if network.output.dtype == tf.float32:
        return network
    cast = keras.layers.Activation("linear", dtype="float32", name="float32_logits")
    return keras.Model(network.inputs, cast(network.output), name=network.name)


def layers_of(network):
    """All layers of a network, at any depth, and other modules; a layer's place gives its random numbers."""
    layers = list(network._flatten_layers(include_self=False))
    # TensorFlow's list has fewer assumptions, but fails at the masks that cells of recurrent layers may hold.
    return layers if any(hasattr(layer, "_dropout_mask_cache") for layer in layers) else [*network.submodules]


def image_shape(network):
    """Shape of one input image of a network; None where any size fits."""
    return (network.input_shape[0] if asks_for_task(network) else network.input_shape)[1:]


def asks_for_task(network):
    """Whether a network takes the tasks of the images as a second input."""
    return isinstance(network.input_shape, list)


def some_images(network):
    """Two images `[2, ...]` in [0, 1) of a size that a network takes, to try it with."""
    shape = [2, *(side or ANY_SIDE for side in image_shape(network))]
    return tf.random.stateless_uniform(shape, [0, 0])


def answers(network):
    """Outputs `[2, C]` of a network for `some_images`, in inference mode."""
    images = some_images(network)
    inputs = [images, tf.zeros([2], tf.int32)] if asks_for_task(network) else images
    return tf.cast(network(inputs, training=False), tf.float32).numpy()


def subclassed(network):
    """Whether a network contains a model with a `call` of its own."""
    return any(isinstance(layer, keras.Model) and not layer.inputs for layer in layers_of(network))


def require_images(network, stream):
    """Raises `InputError` unless a network takes the images of a stream."""
    takes, gives = image_shape(network), tuple(stream.input_shape)
    fits = len(takes) == len(gives) and all(a in (None, b) for a, b in zip(takes, gives, strict=True))
    same = None not in takes and np.prod(takes) == np.prod(gives)
    advice = f" Begin it with keras.Input({gives}) and keras.layers.Reshape({takes})." if same else ""
    require(
        fits,
        f"{network.name} takes images of the shape {takes}, and those of {stream.name} have the shape "
        f"{gives}.{advice}",
    )


def _around(network):
    """A functional model around a subclassed one, with the same weights."""
    shape = network._build_input_shape or network._saved_model_inputs_spec
    shape = getattr(shape, "shape", shape)
    require(
        network.built and shape is not None,
        f"{network.name} does not know its input shape yet: begin it with keras.Input(shape), or call "
        f"build((None, *shape)).",
    )
    try:
        (_, *sides) = tf.TensorShape(shape)
    except (TypeError, ValueError):
        raise InputError(f"{network.name} takes the inputs {shape}; a network takes images alone.") from None
    images = keras.Input(sides, name="images")
    try:
        outputs = network(images)
    except Exception as error:  # code from outside may raise anything
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{network.name} cannot be called on symbolic images: {said[0]}") from error
    return keras.Model(images, outputs, name=network.name)


def _require_inputs(network):
    shapes = network.input_shape
    alone = isinstance(shapes, tuple) and not any(isinstance(side, (tuple, list)) for side in shapes)
    with_task = isinstance(shapes, list) and len(shapes) == 2 and shapes[1][1:] == ()
    require(
        alone or with_task,
        f"{network.name} takes inputs of the shapes {shapes}; a network takes images, and optionally their "
        f"task indices as a second input of the shape (None,).",
    )
    kind = network.inputs[0].dtype
    require(
        kind.is_floating or kind.is_integer,
        f"{network.name} takes inputs of the type {kind.name}; images are numbers.",
    )


def _require_logits(network):
    shape = network.output_shape
    require(
        isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int),
        f"{network.name} returns the shape {shape}; a network returns one tensor of logits, (None, classes).",
    )
    kind = network.output.dtype
    require(kind.is_floating, f"{network.name} returns {kind.name}; a network returns logits, as floats.")


def _require_weights(network):
    require(network.trainable_weights, f"{network.name} has no trainable weights, so it cannot learn.")
    for weight in network.weights:
        require(
            not weight.dtype.is_floating or weight.dtype == tf.float32,
            f"{network.name} has weights of {weight.dtype.name}, as {weight.name}; its weights have to be "
            f"float32, and its layers may have the dtype mixed_bfloat16 or mixed_float16.",
        )


def _require_no_probabilities(network):
    layer = _last_layer(network)
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    name = "softmax" if isinstance(layer, keras.layers.Softmax) else name
    # The layer of an op or of a subclassed model does not say what it does: its values do.
    if not isinstance(layer, keras.layers.Dense) and not name:
        name = "softmax" if _sums_to_one(network) else ""
    require(
        name not in PROBABILITIES,
        f"{network.name} ends in a {name}, in the layer {layer.name}; the methods take logits, so leave it "
        f"out (activation=None).",
    )


def _last_layer(network):
    """The layer that makes the outputs, in the innermost functional model."""
    while getattr(network, "outputs", None):
        network = network.output._keras_history.layer
    return network


def _sums_to_one(network):
    outputs = answers(network)
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-2))
