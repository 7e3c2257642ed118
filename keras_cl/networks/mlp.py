"""Multi-layer perceptron: the network of the MNIST literature."""

import tf_keras as keras

from keras_cl.bits import seed_of
from keras_cl.errors import require
from keras_cl.layers import Dropout


def mlp(
    stream,
    *,
    hidden: tuple[int, ...] = (400, 400),
    dropout: float = 0.0,
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a perceptron with ReLU units, from raw images of `stream` to `stream.num_classes` logits.

    Scaling to [0, 1] is its first layer. Weights are Glorot uniform, biases zero.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      hidden: width of every hidden layer.
      dropout: rate after each hidden layer, in [0, 1).
      precision: float32, mixed_bfloat16 or mixed_float16; variables and logits are float32 in all of them.
      seed: of the initial weights.
    """
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(0 <= dropout < 1, f"dropout is {dropout}; it must be at least 0 and below 1.")

    def dense(units, place, dtype):
        kernel = keras.initializers.GlorotUniform(seed_of(seed, place))
        return keras.layers.Dense(units, kernel_initializer=kernel, dtype=dtype, name=f"dense_{place}")

    x = images = keras.Input(stream.input_shape, name="images")
    x = keras.layers.Rescaling(stream.source.scale, dtype=precision, name="scale")(x)
    x = keras.layers.Flatten(dtype=precision, name="flatten")(x)
    for place, width in enumerate(hidden):
        x = dense(width, place, precision)(x)
        x = keras.layers.ReLU(dtype=precision, name=f"relu_{place}")(x)
        if dropout:
            x = Dropout(dropout, dtype=precision, name=f"dropout_{place}")(x)
    logits = dense(stream.num_classes, len(hidden), "float32")(x)
    return keras.Model(images, logits, name="mlp")
