"""Fixed gates: each class has hidden units of its own, chosen at random and never changed.

van de Ven, Siegelmann and Tolias 2020 (Nature Communications 11:4069); the gates themselves are those of
Masse, Grant and Freedman 2018 (PNAS 115:E10467).
"""

import tensorflow as tf
import tf_keras as keras

from keras_cl.numerics.random import random_uniform


class FixedGates(keras.layers.Layer):
    """h' = h * (q @ masks): a binary mask of the units for each class, mixed by the probabilities of classes

    The masks are state that is not trained, one bit for each class and unit.

    Args:
      conditions: C, number of classes.
      closed: probability that a gate is 0, in [0, 1).
      seed: seed of the masks.
    """

    def __init__(self, conditions, closed, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.conditions, self.closed, self.seed = conditions, closed, seed

    def build(self, input_shape):
        def drawn(shape, dtype):
            return tf.cast(random_uniform(self.seed, 0, shape) >= self.closed, dtype)

        shape = (self.conditions, input_shape[0][-1])
        self.masks = self.add_weight("masks", shape, tf.bool, drawn, trainable=False)
        super().build(input_shape)

    def call(self, inputs):
        """Pre-activations `[B, units]`, gated by the masks of classes with the probabilities q `[B, C]`."""
        h, q = inputs
        return h * tf.matmul(q, tf.cast(self.masks, q.dtype))

    def get_config(self):
        own = ("conditions", "closed", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
