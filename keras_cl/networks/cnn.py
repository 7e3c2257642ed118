"""Small convolutional network: 3x3 convolutions with max pooling, then dense layers."""

import tf_keras as keras

from keras_cl.errors import require
from keras_cl.learning.layers import Dropout
from keras_cl.numerics.random import seed_of


def cnn(
    stream,
    *,
    filters: tuple[int, ...] = (32, 64),
    hidden: tuple[int, ...] = (128,),
    dropout: float = 0.0,
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a network of 3x3 convolutions, from raw images of `stream` to `stream.num_classes` logits.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      filters: number of filters of each convolution; max pooling halves the image after each.
      hidden: widths of the dense layers after the convolutions.
      dropout: dropout rate after every pooling and hidden layer, in [0, 1).
      precision: float32, mixed_bfloat16 or mixed_float16; variables and logits are float32 in all of them.
      seed: seed of the initial weights.
    """
    require(all(width >= 1 for width in filters), f"filters is {filters}; each must be at least 1.")
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")
    shape = tuple(stream.input_shape)
    require(len(shape) == 3, f"cnn is for images, and a row of {stream.name} has the shape {shape}.")
    require(
        min(shape[:2]) >= 2 ** len(filters),
        f"{len(filters)} convolutions halve an image as often, and those of {stream.name} are {shape[0]}x"
        f"{shape[1]}; give fewer filters.",
    )

    def options(place, name):
        initial = keras.initializers.GlorotUniform(seed_of(seed, place))
        return {"kernel_initializer": initial, "dtype": precision, "name": f"{name}_{place}"}

    x = images = keras.Input(shape, name="images")
    x = keras.layers.Rescaling(stream.source.scale, dtype=precision, name="scale")(x)
    for place, width in enumerate(filters):
        x = keras.layers.Conv2D(width, 3, padding="same", **options(place, "convolution"))(x)
        x = keras.layers.ReLU(dtype=precision, name=f"relu_{place}")(x)
        x = keras.layers.MaxPooling2D(dtype=precision, name=f"pool_{place}")(x)
        x = Dropout(dropout, dtype=precision, name=f"dropout_{place}")(x) if dropout else x
    x = keras.layers.Flatten(dtype=precision, name="flatten")(x)
    for place, width in enumerate(hidden, start=len(filters)):
        x = keras.layers.Dense(width, **options(place, "dense"))(x)
        x = keras.layers.ReLU(dtype=precision, name=f"relu_{place}")(x)
        x = Dropout(dropout, dtype=precision, name=f"dropout_{place}")(x) if dropout else x
    last = options(len(filters) + len(hidden), "dense") | {"dtype": "float32"}
    return keras.Model(images, keras.layers.Dense(stream.num_classes, **last)(x), name="cnn")
