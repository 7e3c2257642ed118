r"""Class VAEs: a small variational autoencoder for each class, which outputs the log-likelihood of an image.

Van de Ven, Li and Tolias 2021 (arXiv:2104.10093).

$$ \log p(x \mid c) \approx \log \frac{1}{S} \sum_{s=1}^{S} \frac{p_c(x \mid z_s)\, p(z_s)}{q_c(z_s \mid x)},
\qquad z_s \sim q_c(z \mid x) \qquad \text{(eq. 3)} $$
"""

import functools
import math

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import require
from keras_cl.numerics.random import random_normal, seed_of


def class_vaes(
    stream,
    *,
    hidden: tuple[int, ...] = (85, 85),
    latent: int = 5,
    samples: int = 0,
    precision: str = "float32",
    seed: int = 0,
):
    """Returns a network from raw images of `stream` to log p(x|c) of its `stream.num_classes` classes.

    Args:
      stream: gives the shape and scale of the images and the number of outputs.
      hidden: widths of the hidden layers of each encoder; its decoder has them in reverse order.
      latent: dimension of the latent codes.
      samples: importance samples for the likelihood estimate; 0 to use the mean code alone.
      precision: float32; likelihoods are sums that need this precision.
      seed: seed of the initial weights and of the importance samples.
    """
    require(latent >= 1, f"latent is {latent}; a generator needs at least one latent unit.")
    require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
    require(samples >= 0, f"samples is {samples}; it must not be negative.")
    require(precision == "float32", f"class_vaes runs in float32, and the precision is {precision}.")
    images = keras.Input(stream.input_shape, name="images")
    x = keras.layers.Flatten()(keras.layers.Rescaling(stream.source.scale)(images))
    scores = ClassVAEs(stream.num_classes, hidden, latent, samples, seed, name="class_vaes")(x)
    return keras.Model(images, scores, name="class_vaes")


class ClassVAEs(keras.layers.Layer):
    """One VAE per class with weights stacked as `[C, ...]`: pixels `[B, D]` to log p(x|c) `[B, C]`.

    Args:
      classes: C, number of classes.
      hidden, latent, samples, seed: as in `class_vaes`.
    """

    def __init__(self, classes, hidden, latent, samples=0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.hidden, self.latent = classes, tuple(hidden), latent
        self.samples, self.seed = samples, seed

    def build(self, input_shape):
        D = input_shape[-1]
        widths = [D, *self.hidden, 2 * self.latent]
        self.encoder = self._stack(widths, 0)
        self.decoder = self._stack([self.latent, *reversed(self.hidden), D], len(widths))
        self.state = self.add_weight("state", (2,), tf.int64, "zeros", trainable=False)
        super().build(input_shape)

    def reseed(self, seed):
        """Restarts the noise of training from `seed`."""
        self.state.assign([seed, 0])

    def call(self, x):
        """log p(x|c), estimated as log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x), z_s ~ q   (eq. 3)"""
        everyone = tf.range(self.classes)
        mu, logvar = self._encode(x, everyone)
        if not self.samples:
            return tf.transpose(self._log_ratio(x, everyone, mu, logvar, tf.zeros_like(mu)))
        total = tf.fill(tf.shape(mu)[:2], -math.inf)
        for s in tf.range(self.samples):
            eps = random_normal(self.seed, s, tf.shape(mu))
            total = tf.reduce_logsumexp([total, self._log_ratio(x, everyone, mu, logvar, eps)], axis=0)
        return tf.transpose(total) - math.log(self.samples)

    def objective(self, x, units):
        """-ELBO `[W, B]` of each row under the VAEs of the classes `units` `[W]`; advances the noise."""
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        mu, logvar = self._encode(x, units)
        noise = functools.partial(random_normal, seed, step)
        z = mu + tf.exp(logvar / 2) * replicas.drawn(noise, tf.shape(mu), axis=1)
        KL = tf.reduce_sum(mu**2 + tf.exp(logvar) - 1 - logvar, axis=2) / 2
        return KL - self._log_likelihood(x, units, z)

    def _log_ratio(self, x, units, mu, logvar, eps):
        """log p(x|z) + log p(z) - log q(z|x) `[W, B]` at z = mu + sigma eps."""
        z = mu + tf.exp(logvar / 2) * eps
        prior_to_posterior = tf.reduce_sum(eps**2 - z**2 + logvar, axis=2) / 2
        return self._log_likelihood(x, units, z) + prior_to_posterior

    def _log_likelihood(self, x, units, z):
        logits = _through(self.decoder, z, units)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(x[tf.newaxis] + tf.zeros_like(logits), logits)
        return -tf.reduce_sum(cross_entropy, axis=2)

    def _encode(self, x, units):
        """mu and log sigma^2 `[W, B, Z]`."""
        return tf.split(_through(self.encoder, x[tf.newaxis], units), 2, axis=2)

    def _stack(self, widths, place):
        """Kernels and biases of a chain of dense layers, one chain per class."""
        layers = []
        for number, (size, width) in enumerate(zip(widths, widths[1:], strict=False), start=place):
            limit = math.sqrt(6 / (size + width))  # Glorot uniform
            initial = keras.initializers.RandomUniform(-limit, limit, seed_of(self.seed, number))
            kernel = self.add_weight(f"kernel_{number}", (self.classes, size, width), tf.float32, initial)
            bias = self.add_weight(f"bias_{number}", (self.classes, width), tf.float32, "zeros")
            layers.append((kernel, bias))
        return layers

    def get_config(self):
        own = ("classes", "hidden", "latent", "samples", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _through(layers, x, units):
    """x `[W or 1, B, in]` through the chains of the classes `units` `[W]`, with ReLU between layers."""
    for place, (kernel, bias) in enumerate(layers):
        # Not a gather, whose gradient is slow in a compiled loop; units below 0 get zero weights.
        chosen = tf.one_hot(units, kernel.shape[0])
        x = tf.nn.relu(x) if place else x
        x = tf.matmul(x, tf.tensordot(chosen, kernel, 1)) + tf.matmul(chosen, bias)[:, tf.newaxis]
    return x
