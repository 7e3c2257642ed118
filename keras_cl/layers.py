"""Layers that a network of this library needs and Keras does not have."""

import tensorflow as tf
import tf_keras as keras

from keras_cl.bits import random_bits


class Dropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) that is reproducible in, and cheap under, a compiled loop.

    Its state is two integers, a seed and a step count: `reseed` sets both, so that a task's masks depend on
    nothing but the seed, and the same masks come with and without XLA. Inactive outside of training.

    Args:
      rate: probability that a unit is set to zero, in [0, 1).
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.state = self.add_weight(
            "state", shape=(2,), dtype=tf.int32, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def reseed(self, seed):
        """Starts the sequence of masks that belongs to `seed`, a non-negative int32."""
        self.state.assign([seed, 0])

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        threshold = tf.constant(min(round(self.rate * 2**32), 2**32 - 1), tf.uint32)
        kept = random_bits(seed, step, tf.shape(x)) >= threshold
        return tf.where(kept, x * (1 / (1 - self.rate)), tf.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
