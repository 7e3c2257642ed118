"""Networks of Keras 3 that tests share, as a file that --network takes, and the layers of Keras 3 in them."""

import keras as keras3

layers = keras3.layers


def perceptron(stream, *, width: int = 8, noise: float = 0.1, seed: int = 0):
    """Returns a chain of dense layers of Keras 3, with batch normalisation, noise and dropout.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      width: width of the hidden layer.
      noise: standard deviation of Gaussian noise.
      seed: seed of the initial weights.
    """
    return chain(
        stream.input_shape,
        layers.Rescaling(stream.source.scale),
        layers.Flatten(),
        layers.Dense(width, activation="relu", kernel_initializer=uniform(seed)),
        layers.BatchNormalization(momentum=0.9),
        layers.GaussianNoise(noise),
        layers.Dropout(0.25),
        layers.Dense(stream.num_classes, kernel_initializer=uniform(seed + 1)),
    )


def dense(stream, *, width: int = 8, seed: int = 0):
    """Returns a chain of dense layers of Keras 3 alone, as gates and replay through feedback need it.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      width: width of the hidden layer.
      seed: seed of the initial weights.
    """
    return chain(
        stream.input_shape,
        layers.Rescaling(stream.source.scale),
        layers.Flatten(),
        layers.Dense(width, activation="relu", kernel_initializer=uniform(seed)),
        layers.Dropout(0.25),
        layers.Dense(stream.num_classes, kernel_initializer=uniform(seed + 1)),
    )


def chain(shape, *parts):
    """A sequential model of Keras 3."""
    return keras3.Sequential([keras3.Input(shape), *parts])


def uniform(seed):
    """Glorot's initial weights from a seed."""
    return keras3.initializers.GlorotUniform(seed)
