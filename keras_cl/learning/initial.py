"""Initial weights that are not Keras's default."""

import tf_keras as keras

from keras_cl.numerics.random import seed_of


def fan_in(inputs, seed, place):
    """Initialisers of a layer whose kernel and bias are uniform within 1/sqrt(inputs of a unit).

    This is the default of PyTorch, in which most released programs of the field are written. Its kernels are
    smaller than He's by sqrt(6). Where batch normalisation follows, this does not change the output, but
    steps of SGD turn smaller weights further: by a factor of 6.

    Args:
      inputs: number of inputs of a unit; of a convolution, those of all pixels of its window.
      seed: seed of the network.
      place: number of the layer in the network, so that layers do not share their weights.

    Returns:
      `kernel_initializer` and `bias_initializer`, as arguments of a layer.
    """
    limit = inputs**-0.5
    kernel, bias = (
        keras.initializers.RandomUniform(-limit, limit, seed_of(seed, place, of)) for of in (0, 1)
    )
    return {"kernel_initializer": kernel, "bias_initializer": bias}
