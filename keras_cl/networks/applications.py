"""Any model of keras.applications as a backbone: pretrained weights from a file, an own head for the classes.

The models are those of `tf_keras.applications`: all that Keras 3 has, and more. They need no second Keras and
train on several devices.
"""

import contextlib
import pathlib
import re
import sys
import tempfile
import zipfile

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import InputError, pick, require
from keras_cl.learning.layers import Dropout
from keras_cl.numerics.random import seed_of

PARTS = {"kernel": "kernel", "depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel"}
KINDS = (".weights.h5", ".h5", ".hdf5", ".keras")


def applications(
    stream,
    *,
    model: str = "MobileNetV2",
    weights: str = "",
    frozen: bool = False,
    resize: int = 0,
    hidden: tuple[int, ...] = (),
    dropout: float = 0.0,
    seed: int = 0,
):
    """Returns a model of keras.applications without its top, followed by global average pooling and dense
    layers, from raw images of `stream` to `stream.num_classes` logits.

    Images are preprocessed as the model wants it, inside the network; grey ones are taken for three equal
    channels. Stochastic depth, which some of these models have, is off.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      model: name of a model of keras.applications, such as MobileNetV2, ResNet50 or EfficientNetB0.
      weights: path of a file with the weights of the model without its top (.weights.h5, .h5 or .keras), as
        Keras saves and offers them; empty for random weights. Nothing is downloaded.
      frozen: whether only the dense layers are trained; batch normalisation then uses its stored statistics.
      resize: height and width that images are resized to (bilinear); 0 for those of the stream.
      hidden: widths of dense layers with ReLU before the last layer.
      dropout: dropout rate before the last layer, in [0, 1).
      seed: seed of the initial weights.
    """
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(resize >= 0, f"resize is {resize}; it must be a number of pixels, or 0.")
    shape = tuple(stream.input_shape)
    require(
        len(shape) == 3 and shape[2] in (1, 3),
        f"applications is for grey or RGB images, and a row of {stream.name} has the shape {shape}.",
    )
    pick("model", model, names())
    height, width = (resize, resize) if resize else shape[:2]
    backbone = _backbone(model, (height, width, 3), stream.name)
    reseed(backbone, seed)
    if weights:
        load(backbone, weights, model)
    backbone.trainable = not frozen
    x = images = keras.Input(shape, name="images")
    x = keras.layers.Resizing(resize, resize, name="resize")(x) if resize else x
    x = Preprocessing(model, stream.source.scale, name="preprocess")(x)
    x = backbone(x, training=False) if frozen else backbone(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    for place, width in enumerate(hidden, start=1):
        initial = keras.initializers.GlorotUniform(seed_of(seed, place))
        x = keras.layers.Dense(width, "relu", kernel_initializer=initial, name=f"dense_{place}")(x)
    x = Dropout(dropout, name="dropout")(x) if dropout else x
    initial = keras.initializers.GlorotUniform(seed_of(seed))
    head = keras.layers.Dense(stream.num_classes, kernel_initializer=initial, name="head")
    return keras.Model(images, head(x), name="applications")


class Preprocessing(keras.layers.Layer):
    """What a model of keras.applications wants of its images, from raw images with one or three channels.

    Every `preprocess_input` of keras.applications is linear in the channels of a pixel: y = x A + b.

    Args:
      model: name of the model.
      scale: factor from raw values to [0, 1].
    """

    def __init__(self, model, scale, **kwargs):
        super().__init__(**kwargs)
        self.model, self.scale = model, scale
        function = sys.modules[getattr(keras.applications, model).__module__].preprocess_input
        offset = function(np.zeros((1, 1, 3), np.float32))[0, 0]
        self.offset = offset.tolist()
        units = 255 * np.eye(3, dtype=np.float32)[:, np.newaxis]
        self.matrix = ((np.squeeze(function(units), 1) - offset) * scale).tolist()

    def call(self, x):
        A = tf.constant(self.matrix, x.dtype)
        A = tf.reduce_sum(A, 0, keepdims=True) if x.shape[-1] == 1 else A  # three equal channels
        return tf.tensordot(x, A, 1) + tf.constant(self.offset, x.dtype)

    def get_config(self):
        return {**super().get_config(), "model": self.model, "scale": self.scale}


def names():
    """Names of all models."""
    found = vars(keras.applications).items()
    return sorted(name for name, made in found if name[0].isupper() and callable(made))


def _backbone(model, shape, stream):
    """The model without its top, with random weights and without stochastic depth."""
    try:
        made = getattr(keras.applications, model)(include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        least = re.search(r"at least (\d+)", str(error))
        size = f"of at least {least[1]}x{least[1]}" if least else "of another size"
        raise InputError(
            f"{model} takes images {size}, and those of {stream} are {shape[0]}x{shape[1]}; give "
            f"--network.resize={least[1] if least else 224}."
        ) from None

    def settled(layer):
        noisy = isinstance(layer, keras.layers.Dropout) or type(layer).__name__ == "StochasticDepth"
        if noisy:
            return keras.layers.Activation("linear", name=layer.name)
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(made, clone_function=settled)


def reseed(backbone, seed):
    """Draws all random initial weights from `seed`."""
    layers = [layer for layer in backbone.submodules if isinstance(layer, keras.layers.Layer)]
    for place, layer in enumerate(layers, start=1):
        for number, (part, name) in enumerate(PARTS.items()):
            rule, variable = getattr(layer, f"{part}_initializer", None), getattr(layer, name, None)
            if rule is not None and variable is not None and "seed" in rule.get_config():
                rule = type(rule).from_config({**rule.get_config(), "seed": seed_of(seed, place, number)})
                variable.assign(rule(variable.shape, variable.dtype))


def load(backbone, path, model):
    """Loads weights from a file.

    Raises:
      InputError: if there is no such file, or it does not have the weights of this model.
    """
    file = pathlib.Path(path)
    require(
        file.is_file() and file.name.endswith(KINDS),
        f"weights is {path!r}, which is no file that ends in {', '.join(KINDS)}; nothing is downloaded.",
    )
    fault = f"{path} does not have the weights of {model} without its top (include_top=False)"
    before = [weight.copy() for weight in backbone.get_weights()]
    try:
        with _weights_file(file) as readable:
            backbone.load_weights(readable)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{fault}: {str(error).strip().partition(chr(10))[0][:200]}") from None
    after = backbone.get_weights()
    untouched = all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    require(not untouched, f"{fault}: no weight of the model is in it.")


@contextlib.contextmanager
def _weights_file(file):
    """The path of the weights alone: a .keras file is an archive that contains them."""
    if file.suffix != ".keras":
        yield str(file)
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(file) as archive:
        yield archive.extract("model.weights.h5", folder)
