"""ResNet-18 of Stable SGD's released code: residual blocks of one convolution, with IC layers.

Mirzadeh et al. 2020 (arXiv:2006.06958). An IC layer (Chen et al. 2019, arXiv:1905.05928) is batch
normalisation and dropout after the activation. The released block constructs a second convolution and never
calls it; here there is none.
"""

import tf_keras as keras

from keras_cl.errors import require
from keras_cl.learning.initial import fan_in
from keras_cl.learning.layers import Dropout

BLOCKS = 2  # in each of the four stages
MOMENTUM = 0.9  # of the moving statistics, as in the released code


def resnet18_ic(
    stream,
    *,
    filters: int = 20,
    dropout: float = 0.0,
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a residual network from raw images of `stream` to `stream.num_classes` logits.

    Four stages of two blocks, each stage with twice the filters and half the resolution of the previous one,
    then global average pooling: 496,680 parameters for CIFAR-100. Kernels and biases start uniform within
    1/sqrt(inputs of a unit), the default of PyTorch.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      filters: number of filters of the first stage.
      dropout: dropout rate of the two IC layers of a block, in [0, 1).
      precision: float32, mixed_bfloat16 or mixed_float16; variables and logits are float32 in all of them.
      seed: seed of the initial weights.
    """
    require(filters >= 1, f"filters is {filters}; a stage needs at least one.")
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")
    require(
        len(stream.input_shape) == 3,
        f"resnet18_ic is for images, and a row of {stream.name} has the shape {tuple(stream.input_shape)}.",
    )
    part = _Parts(dropout, precision, seed)
    images = keras.Input(stream.input_shape, name="images")
    x = keras.layers.Rescaling(stream.source.scale, dtype=precision, name="scale")(images)
    x = part.relu(part.norm(part.convolution(x, filters)))
    for stage in range(4):
        for block in range(BLOCKS):
            x = _block(part, x, filters * 2**stage, strides=2 if stage and not block else 1)
    x = keras.layers.GlobalAveragePooling2D(dtype=precision, name="mean")(x)
    initials = part.initials(x.shape[-1])
    logits = keras.layers.Dense(stream.num_classes, dtype="float32", name="logits", **initials)(x)
    return keras.Model(images, logits, name="resnet18_ic")


def _block(part, x, filters, strides):
    """IC(relu(x + IC(relu(W x)))); x is projected if the shape changes."""
    h = part.ic(part.relu(part.convolution(x, filters, strides=strides)))
    if strides > 1 or x.shape[-1] != filters:
        x = part.convolution(x, filters, size=1, strides=strides)
    return part.ic(part.relu(keras.layers.Add(dtype=part.precision)([x, h])))


class _Parts:
    """Creates layers of one precision, with seeds and names by position in the network."""

    def __init__(self, dropout, precision, seed):
        self.dropout, self.precision, self.seed = dropout, precision, seed
        self.convolutions = self.norms = 0

    def initials(self, inputs):
        """Initialisers of the kernel and the bias of the next layer, whose units have `inputs` inputs."""
        return fan_in(inputs, self.seed, self.convolutions)

    def convolution(self, x, filters, size=3, strides=1):
        name = f"convolution_{self.convolutions}"
        if size > 1:  # not "same", which pads an even image at one side only when strides are 2
            x = keras.layers.ZeroPadding2D(size // 2, dtype=self.precision, name=f"pad_{self.convolutions}")(
                x
            )
        initials = self.initials(size**2 * x.shape[-1])
        options = {"use_bias": False, "kernel_initializer": initials["kernel_initializer"]}
        self.convolutions += 1
        return keras.layers.Conv2D(filters, size, strides, dtype=self.precision, name=name, **options)(x)

    def norm(self, x):
        options = {"momentum": MOMENTUM, "epsilon": 1e-5, "dtype": self.precision}
        self.norms += 1
        return keras.layers.BatchNormalization(**options, name=f"norm_{self.norms - 1}")(x)

    def ic(self, x):
        """An IC layer: batch normalisation, then dropout."""
        x = self.norm(x)
        if self.dropout:
            x = Dropout(self.dropout, dtype=self.precision, name=f"dropout_{self.norms - 1}")(x)
        return x

    def relu(self, x):
        return keras.layers.ReLU(dtype=self.precision)(x)
