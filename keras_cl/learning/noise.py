"""Random numbers of Keras's own layers: dropout, noise, augmentation and dropout of recurrent layers.

Keras draws them from state that carries over from task to task. Here such a layer gets a generator whose
numbers are, as those of our `Dropout`, a hash of a seed and a count, so that a task begins at a known point.
"""

import functools

import tensorflow as tf
import tf_keras as keras
from tf_keras.src.backend import RandomGenerator

from keras_cl.devices import replicas
from keras_cl.learning.network import layers_of
from keras_cl.numerics.random import (
    DROPOUT,
    random_bits,
    random_normal,
    random_uniform,
    seed_of,
)


class Hashed(RandomGenerator):
    """The generator of a Keras layer, which draws the same numbers with and without XLA.

    Its state is no weight of the layer and in no checkpoint: it is set anew when a task begins.

    Args:
      like: the generator that it replaces.
    """

    def __init__(self, like):
        super().__init__(like._seed, like._rng_type)
        # Not int32, which TensorFlow keeps off GPUs.
        self.state = tf.Variable([0, 0], dtype=tf.int64, trainable=False, name="noise")
        self._generator, self._built = None, True

    def reseed(self, seed):
        """Restarts the sequence from `seed`, a non-negative int32."""
        self.state.assign([seed, 0])

    def make_seed_for_stateless_op(self):
        return self._next()

    def random_uniform(self, shape, minval=0.0, maxval=None, dtype=None, nonce=None):
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        if dtype.is_integer:
            whole = tf.bitwise.right_shift(self._drawn(random_bits, shape), tf.constant(1, tf.uint32))
            return tf.cast(minval, dtype) + tf.cast(whole, dtype) % tf.cast(maxval - minval, dtype)
        maxval = 1.0 if maxval is None else maxval
        return tf.cast(minval + (maxval - minval) * self._drawn(random_uniform, shape), dtype)

    def random_normal(self, shape, mean=0.0, stddev=1.0, dtype=None, nonce=None):
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        return tf.cast(mean + stddev * self._drawn(random_normal, shape), dtype)

    def truncated_normal(self, shape, mean=0.0, stddev=1.0, dtype=None, nonce=None):
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        return tf.random.stateless_truncated_normal(shape, self._next(), mean, stddev, dtype)

    def dropout(self, inputs, rate, noise_shape=None):
        shape = tf.shape(inputs) if noise_shape is None else noise_shape
        kept = self._drawn(random_uniform, shape) >= rate
        return tf.where(kept, inputs / (1 - rate), tf.zeros_like(inputs))

    def _drawn(self, draw, shape):
        seed, step = tf.unstack(tf.cast(self._next(), tf.int32))
        draw = functools.partial(draw, seed, step)
        shape = tf.convert_to_tensor(shape, tf.int32)
        rows = tf.get_static_value(shape[:1])
        for_all = rows is not None and (len(rows) == 0 or rows[0] == 1)  # as many numbers as rows, or for all
        return draw(shape) if for_all else replicas.drawn(draw, shape)

    def _next(self):
        """The seed and the count `[2]` of a draw."""
        state = self.state.read_value()
        self.state.assign(state + tf.constant([0, 1], tf.int64))
        return state


@tf.__internal__.tracking.no_automatic_dependency_tracking
def _given(layer, generator):
    layer._random_generator = generator


def prepare(network):
    """Gives the layers of a network that draw from a generator of Keras one that can be reseeded."""
    for layer in layers_of(network):
        old = getattr(layer, "_random_generator", None)
        if isinstance(old, RandomGenerator) and not isinstance(old, Hashed):
            _given(layer, Hashed(old))


def reseed(network, seed, index):
    """Sets the randomness of all layers to the beginning of task `index`."""
    for place, layer in enumerate(layers_of(network)):
        drawn = layer if hasattr(layer, "reseed") else getattr(layer, "_random_generator", None)
        if hasattr(drawn, "reseed"):
            drawn.reseed(seed_of(seed, index, DROPOUT, place))
