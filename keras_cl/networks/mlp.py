"""Multi-layer perceptron: dense layers with ReLU, the usual network for MNIST."""

from typing import Literal, get_args

import tf_keras as keras

from keras_cl.errors import pick, require
from keras_cl.learning.initial import fan_in
from keras_cl.learning.layers import Dropout
from keras_cl.numerics.random import seed_of

Initial = Literal["glorot", "fan_in"]


def mlp(
    stream,
    *,
    hidden: tuple[int, ...] = (400, 400),
    batch_norm: bool = False,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    initial: Initial = "glorot",
    mean: float = 0.0,
    std: float = 1.0,
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a perceptron with ReLU units, from raw images of `stream` to `stream.num_classes` logits.

    Its first layer scales bytes to [0, 1] and then standardises them with `mean` and `std`.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      hidden: widths of the hidden layers.
      batch_norm: whether batch normalisation precedes each ReLU (Ioffe and Szegedy 2015).
      dropout: dropout rate after each hidden layer, in [0, 1).
      weight_decay: factor of the kernels that is added to their gradient.
      initial: initialisation of the weights: glorot, Glorot uniform kernels and zero biases, the default of
        Keras; fan_in, kernels and biases uniform within 1/sqrt(inputs of the layer), the default of PyTorch.
      mean: mean of a pixel scaled to [0, 1], which is subtracted; .1307 for MNIST.
      std: standard deviation of a pixel scaled to [0, 1], which is divided by; .3081 for MNIST.
      precision: float32, mixed_bfloat16 or mixed_float16; variables and logits are float32 in all of them.
      seed: seed of the initial weights.
    """
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")
    require(weight_decay >= 0, f"weight_decay is {weight_decay}; it must not be negative.")
    require(std > 0, f"std is {std}; it must be above 0.")
    pick("initial", initial, get_args(Initial))

    decay = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

    def dense(x, units, place, dtype):
        initials = _initials(initial, x.shape[-1], seed, place)
        options = {**initials, "kernel_regularizer": decay, "dtype": dtype, "name": f"dense_{place}"}
        return keras.layers.Dense(units, **options)(x)

    x = images = keras.Input(stream.input_shape, name="images")
    x = keras.layers.Rescaling(stream.source.scale / std, -mean / std, dtype=precision, name="scale")(x)
    x = keras.layers.Flatten(dtype=precision, name="flatten")(x)
    for place, width in enumerate(hidden):
        x = dense(x, width, place, precision)
        if batch_norm:
            x = keras.layers.BatchNormalization(dtype=precision, name=f"norm_{place}")(x)
        x = keras.layers.ReLU(dtype=precision, name=f"relu_{place}")(x)
        if dropout:
            x = Dropout(dropout, dtype=precision, name=f"dropout_{place}")(x)
    logits = dense(x, stream.num_classes, len(hidden), "float32")
    return keras.Model(images, logits, name="mlp")


def _initials(initial, inputs, seed, place):
    """Initialisers of a dense layer."""
    if initial == "glorot":
        return {"kernel_initializer": keras.initializers.GlorotUniform(seed_of(seed, place))}
    return fan_in(inputs, seed, place)
