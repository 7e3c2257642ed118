"""ResNet-18: a residual network, by default the narrow one of the continual-learning literature.

He et al. 2016 (arXiv:1512.03385); with 20 filters as in Lopez-Paz and Ranzato 2017 (arXiv:1706.08840).
"""

from typing import Literal, get_args

import tf_keras as keras

from keras_cl.errors import pick, require
from keras_cl.learning.initial import fan_in
from keras_cl.learning.layers import Dropout
from keras_cl.numerics.random import seed_of

Initial = Literal["he", "fan_in"]
BLOCKS = 2  # in each of the four stages
MOMENTUM = 0.9  # of the moving statistics; low, because a task may have only a few hundred steps


def resnet18(
    stream,
    *,
    filters: int = 20,
    dropout: float = 0.0,
    initial: Initial = "he",
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a residual network from raw images of `stream` to `stream.num_classes` logits.

    Four stages of two blocks, each stage with twice the filters and half the resolution of the previous one,
    then global average pooling: 1,109,240 parameters for CIFAR-100.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      filters: number of filters of the first stage.
      dropout: dropout rate between the two convolutions of a block (Zagoruyko and Komodakis 2016), in [0, 1).
      initial: initialisation of the weights: he, He normal kernels of convolutions, a Glorot uniform kernel
        of the last layer and zero biases; fan_in, kernels and biases uniform within 1/sqrt(inputs of a
        unit), the default of PyTorch, for which the learning rates of programs in PyTorch hold.
      precision: float32, mixed_bfloat16 or mixed_float16; variables and logits are float32 in all of them.
      seed: seed of the initial weights.
    """
    require(filters >= 1, f"filters is {filters}; a stage needs at least one.")
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")
    require(
        len(stream.input_shape) == 3,
        f"resnet18 is for images, and a row of {stream.name} has the shape {tuple(stream.input_shape)}.",
    )
    part = _Parts(pick("initial", initial, get_args(Initial)), precision, seed)
    images = keras.Input(stream.input_shape, name="images")
    x = keras.layers.Rescaling(stream.source.scale, dtype=precision, name="scale")(images)
    x = part.relu(part.convolution(x, filters))
    for stage in range(4):
        for block in range(BLOCKS):
            strides = 2 if stage and not block else 1
            x = _block(part, x, filters * 2**stage, strides, dropout)
    x = keras.layers.GlobalAveragePooling2D(dtype=precision, name="mean")(x)
    initials = part.initials(keras.initializers.GlorotUniform, x.shape[-1])
    logits = keras.layers.Dense(stream.num_classes, dtype="float32", name="logits", **initials)(x)
    return keras.Model(images, logits, name="resnet18")


def _block(part, x, filters, strides, dropout):
    """relu(x + F(x)), with F two convolutions; x is projected if the shape changes."""
    h = part.relu(part.convolution(x, filters, strides=strides))
    if dropout:
        h = Dropout(dropout, dtype=part.precision, name=f"dropout_{part.place}")(h)
    h = part.convolution(h, filters)
    if strides > 1 or x.shape[-1] != filters:
        x = part.convolution(x, filters, size=1, strides=strides)
    return part.relu(keras.layers.Add(dtype=part.precision)([x, h]))


class _Parts:
    """Creates layers of one precision, with seeds and names by position in the network."""

    def __init__(self, initial, precision, seed):
        self.initial, self.precision, self.seed, self.place = initial, precision, seed, 0

    def initials(self, usual, inputs):
        """Initialisers of the next layer, whose units have `inputs` inputs; with he, `usual` for kernels."""
        if self.initial == "he":
            return {"kernel_initializer": usual(seed_of(self.seed, self.place))}
        return fan_in(inputs, self.seed, self.place)

    def convolution(self, x, filters, size=3, strides=1):
        """A convolution followed by batch normalisation."""
        initial = self.initials(keras.initializers.HeNormal, size**2 * x.shape[-1])["kernel_initializer"]
        options = {"strides": strides, "padding": "same", "use_bias": False, "dtype": self.precision}
        options |= {"kernel_initializer": initial, "name": f"convolution_{self.place}"}
        x = keras.layers.Conv2D(filters, size, **options)(x)
        norm = {"momentum": MOMENTUM, "epsilon": 1e-5, "dtype": self.precision, "name": f"norm_{self.place}"}
        self.place += 1
        return keras.layers.BatchNormalization(**norm)(x)

    def relu(self, x):
        return keras.layers.ReLU(dtype=self.precision)(x)
