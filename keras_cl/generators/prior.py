r"""Conditional prior: codes of each class come from modes of its own, which are learned with the generator.

van de Ven, Siegelmann and Tolias 2020 (Nature Communications 11:4069).

$$ p(z \mid y) = \frac{1}{M} \sum_m N\left(z; \mu_{ym}, \operatorname{diag} e^{s_{ym}}\right), \qquad
p(z) = \sum_y q_y\, p(z \mid y) $$
"""

import math

import tensorflow as tf
import tf_keras as keras

SPREAD = 0.01  # of the first means: Adam cannot bring together in a few hundred steps what N(0, 1) draws


class MixturePrior(keras.layers.Layer):
    """p(z|y) = 1/M sum_m N(z; mu_ym, diag exp(s_ym)), from noise and chosen modes to codes z = mu + sigma eps

    It begins near N(0, I) for all classes. (The source begins with means and log variances from N(0, 1).)

    Args:
      conditions: C, number of classes.
      latent: Z, dimension of z.
      modes: M, number of modes of each class.
      seed: seed of the first means.
    """

    def __init__(self, conditions, latent, modes=1, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.conditions, self.latent, self.modes, self.seed = conditions, latent, modes, seed

    def build(self, input_shape):
        shape = (self.conditions * self.modes, self.latent)
        normal = keras.initializers.RandomNormal(0.0, SPREAD, self.seed)
        self.mu = self.add_weight("mu", shape, tf.float32, normal)
        self.log_variance = self.add_weight("log_variance", shape, tf.float32, "zeros")
        super().build(input_shape)

    def call(self, inputs):
        """Codes `[B, Z]` for standard normal noise `[B, Z]` and one-hot modes `[B, C * M]`."""
        noise, chosen = inputs
        return tf.matmul(chosen, self.mu) + tf.exp(tf.matmul(chosen, self.log_variance) / 2) * noise

    def log_prob(self, z, q):
        """log sum_y q_y p(z|y) `[B]` of codes `[B, Z]`, for probabilities `[B, C]` of their classes."""
        squares = (z[:, tf.newaxis] - self.mu) ** 2 * tf.exp(-self.log_variance)
        log_N = -tf.reduce_sum(squares + self.log_variance + math.log(2 * math.pi), axis=2) / 2
        log_N = tf.reshape(log_N, [-1, self.conditions, self.modes])
        log_q = tf.math.log(q / self.modes)[..., tf.newaxis]  # of -inf, logsumexp has no gradient
        return tf.reduce_logsumexp(log_q + log_N, axis=[1, 2])

    def get_config(self):
        own = ("conditions", "latent", "modes", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
