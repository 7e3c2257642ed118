r"""Variational autoencoder: encoder and decoder end in distribution layers of TensorFlow Probability.

Kingma and Welling 2014 (arXiv:1312.6114). The KL term is part of the loss here and not a regulariser of a
layer: Keras would count it twice, because a distribution layer returns a distribution and a tensor.

$$ \mathcal{L}(x) = -\log p(x \mid z) + \beta\, \mathrm{KL}\left(q(z \mid x)\, \Vert\, p(z)\right), \qquad
z = \mu + \sigma \odot \epsilon, \quad p(z) = N(0, I) \qquad \text{(eqs. 8, 10)} $$

With a prior of each class, p(z|y), the KL is estimated at the drawn z: log q(z|x) - log p(z|y).
"""

import functools
from typing import get_args

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import FiniteOptions, pick, require
from keras_cl.generators import vae_layers
from keras_cl.generators.prior import MixturePrior
from keras_cl.generators.vae_layers import Likelihood, Posterior, Prior
from keras_cl.learning import loop
from keras_cl.learning.batches import weighted_mean
from keras_cl.numerics.random import GENERATOR, below, random_normal, random_uniform, seed_of

tfd = tfp.distributions
UNTOLD = "A conditional generator has to be told the classes of its images."


class VAE(FiniteOptions, keras.Model):
    """L(x) = -log p(x|z) + beta * KL(q(z|x) || p(z)), z = mu + sigma * eps, p(z) = N(0, I)   (eqs. 8, 10)

    log p(x|z) is summed over pixels, which are Bernoulli with the pixel value in [0, 1] as probability, or
    normal with variance 1: -log p(x|z) = 1/2 ||x - x_hat||^2 + D/2 log 2 pi. The KL is in closed form,
    except for a prior with modes of each class. Replay uses the decoder's means, not samples of pixels.

    Args:
      input_shape: shape of one raw image, or of the features of one.
      scale: factor from raw values to those that are modelled, which are in [0, 1] if they are Bernoulli.
      likelihood: distribution of a pixel: bernoulli, for values in [0, 1]; normal, for any values, such as
        features of a network.
      hidden: widths of the encoder's hidden layers; the decoder has them in reverse order.
      latent: Z, dimension of z.
      posterior: how the encoder's outputs parametrise q: normal, mean and softplus of the standard deviation;
        logvar, mean and log variance; tril, mean and a lower triangle with softplus diagonal.
      beta: weight of the KL term.
      per_pixel: whether L is divided by the number of pixels.
      conditions: number of classes to condition on, 0 for none. Without a conditional prior and gates, the
        class is an extra input of the encoder and the decoder.
      prior: distribution of codes: standard, N(0, I); gmm, a mixture of normal modes for each class, learned.
      modes: number of modes of each class.
      gate_prop: probability that a class closes a hidden unit of the decoder for good; 0 for no gates.
      trunk: model from raw images to the features that parametrise q, instead of own hidden layers.
      weight_decay: factor of the kernels that is added to their gradient.
      seed: seed of the initial weights.
    """

    makes = "images"  # what it generates, as its export calls it

    def __init__(
        self,
        input_shape,
        *,
        scale=1.0,
        likelihood="bernoulli",
        hidden=(400, 400),
        latent=100,
        posterior="normal",
        beta=1.0,
        per_pixel=False,
        conditions=0,
        prior="standard",
        modes=1,
        gate_prop=0.0,
        trunk=None,
        weight_decay=0.0,
        seed=0,
    ):
        require(latent >= 1, f"latent is {latent}; a generator needs at least one latent unit.")
        require(all(width >= 1 for width in hidden), f"hidden is {hidden}; a layer needs at least one unit.")
        require(beta >= 0, f"beta is {beta}; it must not be negative.")
        require(weight_decay >= 0, f"weight_decay is {weight_decay}; it must not be negative.")
        vae_layers.require_conditions(
            pick("prior", prior, get_args(Prior)), modes, gate_prop, conditions, hidden
        )
        super().__init__(name="vae")
        self.kind = pick("posterior", posterior, get_args(Posterior))
        self.likelihood = pick("likelihood", likelihood, get_args(Likelihood))
        self.image_shape, self.scale, self.latent, self.conditions = input_shape, scale, latent, conditions
        self.beta, self.per_pixel = beta, per_pixel
        self.state = integers([1, 0], "state")  # seed and step of the noise
        self._generator_loss = keras.metrics.Mean("generator_loss")
        dense = vae_layers.dense_from(seed, weight_decay)
        extra = conditions if prior == "standard" and not gate_prop else 0
        self._encodes_class, self._decodes_class = bool(extra and trunk is None), bool(extra or gate_prop)

        own = trunk is None
        images, x = vae_layers.inputs(input_shape, scale, extra) if own else (trunk.inputs, trunk.output)
        for place, width in enumerate(hidden if own else ()):
            x = dense(x, width, place, "relu")
        count, self.posterior = vae_layers.posterior(posterior, latent)
        self.parameters_of = keras.Model(images, dense(x, count, len(hidden)), name="parameters")
        self.encoder = keras.Model(images, self.posterior(self.parameters_of.output), name="encoder")

        gates = (conditions, gate_prop, seed) if gate_prop else ()
        codes, x = vae_layers.decoded(latent, extra, hidden, dense, gates)
        pixels = dense(x, tf.TensorShape(input_shape).num_elements(), 2 * len(hidden) + 1)
        self.pixels = keras.Model(codes, pixels, name="pixels")  # z to flat pre-activations, see `images`
        means = vae_layers.likelihood(likelihood, input_shape)(pixels)
        self.decoder = keras.Model(codes, means, name="decoder")
        self.prior, self.modes = None, modes
        if prior == "gmm":
            first = seed_of(seed, 2 * len(hidden) + 2, GENERATOR)
            self.prior = MixturePrior(conditions, latent, modes, first)
            self.pixels = vae_layers.behind(self.prior, self.pixels)

    def compile(self, optimizer="adam", *, jit=None, **kwargs):
        """Sets the optimizer; `jit`: whether XLA compiles the loop, by default as for any dense network."""
        super().compile(optimizer=optimizer, **kwargs)
        self.jit = loop.prefers_xla(self) if jit is None else jit
        self.optimizer.build(self.trainable_variables)

    @property
    def optimizers(self):
        """`(optimizer, variables that it trains)`: one pair, none if a method's step trains the VAE."""
        return [(self.optimizer, self.trainable_variables)] if self.optimizer else []

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
            L = tf.math.add_n([L, *self.losses]) + self.penalty(batch)
        gradients = replicas.gradients(tape, L, self.trainable_variables, self.optimizer)
        replicas.apply(self.optimizer, gradients, self.trainable_variables)
        return replicas.results(self.metrics)

    def penalty(self, batch):
        """What is added to the loss; a scalar."""
        return 0.0

    def objective(self, batch, q):
        """Weighted mean of L over the batch, for codes with the distribution `q`; updates the loss metric."""
        L = self.rows_loss(batch.x, q, batch.y)
        L = weighted_mean(L, batch.weight)
        self._generator_loss.update_state(L)
        return L

    def rows_loss(self, x, q, condition=None):
        """L `[B]` of raw images, for codes with the distribution `q`; advances the noise.

        `condition` are classes `[B]`, or their probabilities `[B, C]`.
        """
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        noise = functools.partial(random_normal, seed, step)
        z = self.code(q, replicas.drawn(noise, [x.shape[0], self.latent]))
        reconstruction = -self.decode(z, condition).log_prob(tf.cast(x, tf.float32) * self.scale)
        L = reconstruction + self.beta * self.divergence(q, z, condition)
        return L / tf.TensorShape(self.image_shape).num_elements() if self.per_pixel else L

    def code(self, q, eps):
        """z `[B, Z]` under q from standard normal `eps` `[B, Z]`."""
        if self.kind == "tril":
            return q.loc + q.scale.matvec(eps)
        return q.mean() + q.stddev() * eps

    def divergence(self, q, z=None, condition=None):
        """KL(q || p(z)) `[B]`: in closed form; for a conditional prior its estimate at `z`, drawn from q."""
        if self.prior is not None:
            return q.log_prob(z) - self.prior.log_prob(z, self._probabilities(condition))
        zeros = tf.zeros(self.latent)
        if self.kind == "tril":
            return tfd.kl_divergence(q, tfd.MultivariateNormalDiag(zeros))
        return tfd.kl_divergence(q, tfd.Independent(tfd.Normal(zeros, 1.0), 1))

    def encode(self, x, condition=None):
        """q(z|x), the distribution of codes of raw images `[n, ...]`, optionally with their classes `[n]`."""
        x = tf.cast(x, tf.float32)
        return self.encoder([x, self._probabilities(condition)] if self._encodes_class else x)

    def decode(self, z, condition=None):
        """p(x|z), the distribution of scaled images for codes `[n, Z]`, optionally with classes `[n]`."""
        return self.decoder([z, self._probabilities(condition)] if self._decodes_class else z)

    def images(self, outputs):
        """Means of p(x|z) from the outputs `[n, D]` of `pixels`, flat too: logits of Bernoulli pixels, or the
        means themselves."""
        return tf.sigmoid(outputs) if self.likelihood == "bernoulli" else outputs

    def generate(self, z, condition=None):
        """Scaled images `[n, ...]` for codes `[n, Z]`, optionally with classes `[n]`."""
        return self.decode(z, condition).mean()

    def reconstruct(self, x, condition=None):
        """Images `[n, ...]`, scaled, decoded from the mean codes of raw images."""
        return self.decode(self.encode(x, condition).mean(), condition).mean()

    def sample(self, n, seed=0, condition=None):
        """`n` scaled images, the same for the same seed; of classes `[n]` if the VAE is conditional."""
        return self.generate(self.codes(n, seed_of(seed), 0, condition), condition)

    def codes(self, n, seed, step, condition=None):
        """`n` codes `[n, Z]` of the prior, of classes `[n]` if it is conditional; the same for the same seed
        and step."""
        noise = random_normal(seed, step, tf.stack([n, self.latent]))
        if self.prior is None:
            return noise
        require(condition is not None, UNTOLD)
        mode = below(self.modes, random_uniform(seed, step + 2, tf.stack([n])))
        chosen = tf.one_hot(self.modes * tf.cast(condition, tf.int32) + mode, self.modes * self.conditions)
        return self.prior([noise, chosen])

    def call(self, x):
        return self.reconstruct(x)

    @property
    def metrics(self):
        return [self._generator_loss]

    def _probabilities(self, condition):
        """Probabilities `[n, C]` of classes, given as these or as indices `[n]`."""
        require(condition is not None, UNTOLD)
        condition = tf.convert_to_tensor(condition)
        return condition if condition.dtype.is_floating else tf.one_hot(condition, self.conditions)
