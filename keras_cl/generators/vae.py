"""Variational autoencoder: encoder and decoder end in distribution layers of TensorFlow Probability.

Kingma and Welling 2014 (arXiv:1312.6114). The KL term is part of the loss here and not a regulariser of a
layer: Keras would count it twice, because a distribution layer returns a distribution and a tensor.
"""

import functools
from typing import Literal, get_args

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.learning import loop
from keras_cl.learning.batches import weighted_mean
from keras_cl.numerics.random import GENERATOR, random_normal, seed_of

tfd, tfpl = tfp.distributions, tfp.layers

Posterior = Literal["normal", "logvar", "tril"]


class VAE(keras.Model):
    """L(x) = -log p(x|z) + beta * KL(q(z|x) || p(z)), z = mu + sigma * eps, p(z) = N(0, I)   (eqs. 8, 10)

    log p(x|z) is summed over pixels, which are Bernoulli with the pixel value in [0, 1] as probability; the
    KL is in closed form. Replay uses the decoder's means, not samples of pixels.

    Args:
      input_shape: shape of one raw image.
      scale: factor from raw values to [0, 1].
      hidden: widths of the encoder's hidden layers; the decoder has them in reverse order.
      latent: Z, dimension of z.
      posterior: how the encoder's outputs parametrise q: normal, mean and softplus of the standard deviation;
        logvar, mean and log variance; tril, mean and a lower triangle with softplus diagonal.
      beta: weight of the KL term.
      per_pixel: whether L is divided by the number of pixels.
      conditions: number of classes to condition on, 0 for none; the class is an extra input of the encoder
        and the decoder.
      trunk: model from raw images to the features that parametrise q, instead of own hidden layers.
      weight_decay: factor of the kernels that is added to their gradient.
      seed: seed of the initial weights.
    """

    def __init__(
        self,
        input_shape,
        *,
        scale=1.0,
        hidden=(400, 400),
        latent=100,
        posterior="normal",
        beta=1.0,
        per_pixel=False,
        conditions=0,
        trunk=None,
        weight_decay=0.0,
        seed=0,
    ):
        require(latent >= 1, f"latent is {latent}; a generator needs at least one latent unit.")
        require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
        require(beta >= 0, f"beta is {beta}; it must not be negative.")
        require(weight_decay >= 0, f"weight_decay is {weight_decay}; it must not be negative.")
        super().__init__(name="vae")
        self.kind = pick("posterior", posterior, get_args(Posterior))
        self.image_shape, self.scale, self.latent, self.conditions = input_shape, scale, latent, conditions
        self.beta, self.per_pixel = beta, per_pixel
        self.state = integers([1, 0], "state")  # seed and step of the noise
        self._generator_loss = keras.metrics.Mean("generator_loss")
        decay = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

        def dense(x, units, place, activation=None):
            initial = keras.initializers.GlorotUniform(seed_of(seed, place, GENERATOR))
            return keras.layers.Dense(
                units, activation, kernel_initializer=initial, kernel_regularizer=decay
            )(x)

        images, x = _inputs(input_shape, scale, conditions) if trunk is None else (trunk.inputs, trunk.output)
        for place, width in enumerate(hidden if trunk is None else ()):
            x = dense(x, width, place, "relu")
        count, self.posterior = _posterior(posterior, latent)
        self.parameters_of = keras.Model(images, dense(x, count, len(hidden)), name="parameters")
        self.encoder = keras.Model(images, self.posterior(self.parameters_of.output), name="encoder")

        x, codes = _with_condition(keras.Input((latent,), name="z"), conditions)
        for place, width in enumerate(reversed(hidden), start=len(hidden) + 1):
            x = dense(x, width, place, "relu")
        pixels = dense(x, tf.TensorShape(input_shape).num_elements(), 2 * len(hidden) + 1)
        self.pixels = keras.Model(codes, pixels, name="pixels")  # z to flat logits of the pixels
        bernoulli = tfpl.IndependentBernoulli(input_shape, convert_to_tensor_fn=tfd.Distribution.mean)
        self.decoder = keras.Model(codes, bernoulli(pixels), name="decoder")

    def compile(self, optimizer="adam", *, jit=None, **kwargs):
        """Sets the optimizer; `jit`: whether XLA compiles the loop, by default as for any dense network."""
        super().compile(optimizer=optimizer, **kwargs)
        self.jit = loop.prefers_xla(self) if jit is None else jit
        self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force=False):
        """Makes `fit` run chunks of `batches.chunks` in one compiled loop."""
        if self.train_function is None or force:
            self.train_function = loop.train_function(self, self.train_step, self.jit)
        return self.train_function

    def reseed(self, seed):
        """Restarts the noise of training from `seed`, from 0 to 2^31 - 1."""
        self.state.assign([seed, 0])

    def train_step(self, batch):
        """Takes one step on a `Batch`, whose `y` are the conditions."""
        with tf.GradientTape() as tape:
            L = self.objective(batch, self.encode(batch.x, batch.y))
            L = tf.math.add_n([L, *self.losses])
        gradients = replicas.gradients(tape, L, self.trainable_variables, self.optimizer)
        replicas.apply(self.optimizer, gradients, self.trainable_variables)
        return replicas.results(self.metrics)

    def objective(self, batch, q):
        """Weighted mean of L over the batch, for codes with the distribution `q`; updates the loss metric."""
        L = self.rows_loss(batch.x, q, batch.y)
        L = weighted_mean(L, batch.weight)
        self._generator_loss.update_state(L)
        return L

    def rows_loss(self, x, q, condition=None):
        """L `[B]` of raw images, for codes with the distribution `q`; advances the noise."""
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        noise = functools.partial(random_normal, seed, step)
        z = self.code(q, replicas.drawn(noise, [x.shape[0], self.latent]))
        reconstruction = -self.decode(z, condition).log_prob(tf.cast(x, tf.float32) * self.scale)
        L = reconstruction + self.beta * self.divergence(q)
        return L / tf.TensorShape(self.image_shape).num_elements() if self.per_pixel else L

    def code(self, q, eps):
        """z `[B, Z]` under q from standard normal `eps` `[B, Z]`."""
        if self.kind == "tril":
            return q.loc + q.scale.matvec(eps)
        return q.mean() + q.stddev() * eps

    def divergence(self, q):
        """KL(q || N(0, I)) `[B]`, in closed form."""
        zeros = tf.zeros(self.latent)
        if self.kind == "tril":
            return tfd.kl_divergence(q, tfd.MultivariateNormalDiag(zeros))
        return tfd.kl_divergence(q, tfd.Independent(tfd.Normal(zeros, 1.0), 1))

    def encode(self, x, condition=None):
        """q(z|x), the distribution of codes of raw images `[n, ...]`, optionally with their classes `[n]`."""
        return self.encoder(self._beside(tf.cast(x, tf.float32), condition))

    def decode(self, z, condition=None):
        """p(x|z), the distribution of images in [0, 1] for codes `[n, Z]`, optionally with classes `[n]`."""
        return self.decoder(self._beside(z, condition))

    def reconstruct(self, x, condition=None):
        """Images `[n, ...]` in [0, 1], decoded from the mean codes of raw images."""
        return self.decode(self.encode(x, condition).mean(), condition).mean()

    def sample(self, n, seed=0, condition=None):
        """`n` images in [0, 1], the same for the same seed; of classes `[n]` if the VAE is conditional."""
        z = random_normal(seed_of(seed), 0, [n, self.latent])
        return self.decode(z, condition).mean()

    def call(self, x):
        return self.reconstruct(x)

    @property
    def metrics(self):
        return [self._generator_loss]

    def _beside(self, x, condition):
        if not self.conditions:
            return x
        require(condition is not None, "A conditional generator has to be told the classes of its images.")
        return [x, tf.one_hot(condition, self.conditions)]


def _inputs(input_shape, scale, conditions):
    """Inputs of an encoder, and the input of its first layer."""
    images = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten()(keras.layers.Rescaling(scale)(images))
    x, inputs = _with_condition(x, conditions)
    return [images, *inputs[1:]], x


def _with_condition(x, conditions):
    """`x` concatenated with a class, if there are classes, and the list of inputs."""
    if not conditions:
        return x, [x]
    condition = keras.Input((conditions,), name="condition")
    return keras.layers.Concatenate()([x, condition]), [x, condition]


def _posterior(kind, latent):
    """Number of encoder outputs, and the layer that turns them into a distribution.

    Its tensor value is the mean: a sample would come from a random generator that ignores the seed.
    """
    mean = tfd.Distribution.mean
    if kind == "tril":
        units = tfpl.MultivariateNormalTriL.params_size(latent)
        return units, tfpl.MultivariateNormalTriL(latent, convert_to_tensor_fn=mean)
    if kind == "normal":
        return 2 * latent, tfpl.IndependentNormal(latent, convert_to_tensor_fn=mean)

    def normal(parameters):
        mu, logvar = tf.split(parameters, 2, axis=-1)
        return tfd.Independent(tfd.Normal(mu, tf.exp(logvar / 2)), 1)

    return 2 * latent, tfpl.DistributionLambda(normal, convert_to_tensor_fn=mean)
