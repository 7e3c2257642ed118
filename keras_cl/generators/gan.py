r"""Generative adversarial network: a Wasserstein critic with gradient penalty, and a generator of classes.

Gulrajani et al. 2017 (arXiv:1704.00028) for the losses and their order; the critic also predicts the class
that an image was generated for, and both learn from its cross entropy, as in Odena et al. 2017
(arXiv:1610.09585) and Wu et al. 2018 (arXiv:1809.02058).

$$ \mathcal{L}_D = \mathbb{E}\left[ f(G(z, c)) - f(x)
+ \lambda \left( \lVert \nabla f(\hat{x}) \rVert_2 - 1 \right)^2 + \mathrm{CE}(C(x), c) \right],
\qquad \hat{x} = u x + (1 - u) G(z, c), \quad u \sim U(0, 1) $$

$$ \mathcal{L}_G = \mathbb{E}\left[ -f(G(z, c)) + \mathrm{CE}(C(G(z, c)), c) \right], \qquad z \sim N(0, I) $$
"""

import functools
from typing import Literal, get_args

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import FiniteOptions, pick, require
from keras_cl.generators import gan_networks
from keras_cl.learning import loop
from keras_cl.learning.batches import weighted_mean
from keras_cl.numerics.random import random_normal, random_uniform, seed_of

Activation = Literal["sigmoid", "relu", "linear"]
CODES, MIXES, NEW_CODES = range(3)  # random numbers of a step


class GAN(FiniteOptions, keras.Model):
    """L_D = f(x') - f(x) + lambda (|grad f(x^)| - 1)^2 + CE(C(x), c),  L_G = -f(x') + CE(C(x'), c)

    x' = G(z, c) are generated images of the classes c, x^ = u x + (1 - u) x' lie between both.

    A step is one of the critic, on the rows of the batch and on as many generated ones with the same
    conditions and weights. In every `critic_steps`-th step one of the generator follows, with new codes. So
    the critic sees fresh rows in each of its steps, and rows that are replayed count by their weights in all
    terms. The critic sees pixels scaled to [-1, 1].

    A subclass changes `critic_loss` and `generator_loss`, or adds a `penalty` to the latter; `pixels_now` and
    `allowed` are how the generator works, and what its gradients may change.

    Args:
      input_shape: shape of one raw image, or of features.
      scale: factor from raw values to [0, 1].
      form: networks: dense, perceptrons; conv, strided convolutions.
      hidden: widths (channels) of the critic's hidden layers; the generator has them in reverse order. Empty
        for 256, 256 of dense layers, and 32, 64, 128 channels.
      latent: dimension of z.
      conditions: number of classes to condition on, 0 for none; the generator takes the class as an input,
        and the critic predicts it.
      critic_steps: steps of the critic for each one of the generator.
      penalty_weight: lambda, weight of the gradient penalty.
      class_weight: weight of the cross entropies.
      activation: what makes generated values of the generator's outputs: sigmoid, pixels in [0, 1]; relu or
        linear, features, which the critic sees as they are.
      seed: seed of the initial weights.
    """

    makes, modes = "images", 1  # what it generates; modes of each condition among the codes
    penalises_replayed = True  # whether the gradient penalty counts replayed rows

    def __init__(
        self,
        input_shape,
        *,
        scale=1.0,
        form="dense",
        hidden=(),
        latent=128,
        conditions=0,
        critic_steps=5,
        penalty_weight=10.0,
        class_weight=1.0,
        activation="sigmoid",
        seed=0,
    ):
        require(latent >= 1, f"latent is {latent}; a generator needs at least one latent unit.")
        require(critic_steps >= 1, f"critic_steps is {critic_steps}; it must be at least 1.")
        require(penalty_weight >= 0, f"penalty_weight is {penalty_weight}; it must not be negative.")
        require(class_weight >= 0, f"class_weight is {class_weight}; it must not be negative.")
        super().__init__(name="gan")
        self.activation = pick("activation", activation, get_args(Activation))
        self.image_shape, self.scale, self.latent, self.conditions = input_shape, scale, latent, conditions
        self.critic_steps, self.penalty_weight, self.class_weight = critic_steps, penalty_weight, class_weight
        self.state = integers([1, 0], "state")  # seed of the random numbers, and steps of the critic
        self._generator_loss, self._critic_loss = map(keras.metrics.Mean, ("generator_loss", "critic_loss"))
        self.pixels, self.critic = gan_networks.pair(
            form, tuple(input_shape), hidden=hidden, latent=latent, conditions=conditions, seed=seed
        )

    def compile(self, optimizer=None, critic_optimizer=None, *, jit=None, **kwargs):
        """Sets the optimizers, by default Adam with the settings of Gulrajani et al.

        Args:
          optimizer: the generator's.
          critic_optimizer: the critic's.
          jit: whether XLA compiles the loop of `fit`; None chooses by the kind of networks.
        """
        super().compile(optimizer=keras.optimizers.get(optimizer or adam()), **kwargs)
        self.critic_optimizer = keras.optimizers.get(critic_optimizer or adam())
        self.jit = loop.prefers_xla(self) if jit is None else jit
        for one, variables in self.optimizers:
            one.build(variables)

    @property
    def optimizers(self):
        """`(optimizer, variables that it trains)` of the generator and of the critic."""
        parts = (self.optimizer, self.pixels), (self.critic_optimizer, self.critic)
        return [(optimizer, part.trainable_variables) for optimizer, part in parts]

    def make_train_function(self, force=False):
        """Makes `fit` run chunks of `batches.chunks` in one compiled loop."""
        if self.train_function is None or force:
            self.train_function = loop.train_function(self, self.train_step, self.jit)
        return self.train_function

    def reseed(self, seed):
        """Restarts the random numbers of training, and the count of the critic's steps, from `seed`, from 0
        to 2^31 - 1."""
        self.state.assign([seed, 0])

    # ---- a step ------------------------------------------------------------------------------------------

    def train_step(self, batch):
        """Takes one step of the critic on a `Batch`, whose `y` are the conditions, and one of the generator
        if it is its turn."""
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        self._learn_critic(batch, seed, 3 * step)
        turn = tf.equal(step % self.critic_steps, self.critic_steps - 1)
        if self.critic_steps == 1:
            self._learn_generator(batch, seed, 3 * step, turn)
        elif replicas.several():
            self._kept_unless(turn, batch, seed, 3 * step)
        else:
            due = turn
            while due:  # at most once; with `if`, XLA would copy all changed variables
                self._learn_generator(batch, seed, 3 * step, turn)
                due = tf.constant(False)
        return replicas.results(self.metrics)

    def critic_loss(self, batch, real, fake, mix):
        """L_D, the weighted mean over the rows.

        Args:
          batch: the `Batch`.
          real: its images as the critic sees them, `[B, D]`.
          fake: generated ones with the same conditions, `[B, D]`; constants.
          mix: u of the penalty, `[B, 1]`, uniform.
        """
        scores, logits = self.judged(tf.concat([real, fake], axis=0), training=True)
        true, false = tf.split(scores, 2)
        rows = false - true + self.penalty_weight * self._penalties(batch, real, fake, mix)
        if logits is not None:
            rows += self.class_weight * _entropy(batch.y, logits[: real.shape[0]])
        return weighted_mean(rows, batch.weight)

    def generator_loss(self, batch, fake):
        """L_G, the weighted mean over generated rows, `[B, D]` as the critic sees them, that have the
        conditions and the weights of the batch."""
        scores, logits = self.judged(fake, training=True)
        rows = -scores
        if logits is not None:
            rows += self.class_weight * _entropy(batch.y, logits)
        return weighted_mean(rows, batch.weight)

    def penalty(self, batch):
        """What is added to L_G; a scalar."""
        return 0.0

    def pixels_now(self, codes):
        """Outputs of `pixels` in training."""
        return self.pixels(codes, training=True)

    def allowed(self, gradients):
        """The generator's gradients as they are applied."""
        return gradients

    def gradient_penalty(self, real, fake, mix):
        """(|grad f(x^)| - 1)^2 of each row `[B]`, at x^ = mix real + (1 - mix) fake; over all pixels."""
        between = mix * real + (1 - mix) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            score = tf.reduce_sum(self.judged(between, training=True)[0])
        slope = tape.gradient(score, between)
        # The root has no gradient at zero, where all units of a critic may be off.
        return tf.square(tf.sqrt(tf.reduce_sum(tf.square(slope), axis=1) + 1e-12) - 1)

    def _penalties(self, batch, real, fake, mix):
        """The gradient penalty of each row `[B]`; 0 for replayed ones if they do not count."""
        replayed = 0 if self.penalises_replayed or batch.drawn is None else batch.drawn.shape[0]
        current = batch.x.shape[0] - replayed
        return tf.pad(self.gradient_penalty(*(part[:current] for part in (real, fake, mix))), [[0, replayed]])

    def _learn_critic(self, batch, seed, number):
        optimizer, variables = self.critic_optimizer, self.critic.trainable_variables
        real, B = self.shown(self._flat(batch.x)), batch.x.shape[0]
        fake = tf.stop_gradient(self._fakes(batch, seed, number + CODES))
        mix = replicas.drawn(functools.partial(random_uniform, seed, number + MIXES), [B, 1])
        with tf.GradientTape() as tape:
            loss = self.critic_loss(batch, real, fake, mix)
        gradients = replicas.gradients(tape, loss, variables, optimizer)
        replicas.apply(optimizer, gradients, variables)
        self._critic_loss.update_state(loss)

    def _learn_generator(self, batch, seed, number, turn):
        variables = self.pixels.trainable_variables
        with tf.GradientTape() as tape:
            fake = self._fakes(batch, seed, number + NEW_CODES)
            loss = self.generator_loss(batch, fake) + self.penalty(batch)
        gradients = self.allowed(replicas.gradients(tape, loss, variables, self.optimizer))
        replicas.apply(self.optimizer, gradients, variables)
        self._generator_loss.update_state(loss, sample_weight=tf.cast(turn, tf.float32))

    def _kept_unless(self, turn, *given):
        """The generator's step without a branch, in which replicas could not wait for each other: it is
        always taken, and undone unless it is its turn."""
        variables = [*self.pixels.variables, *self.optimizer.variables]
        before = [tf.identity(variable) for variable in variables]
        self._learn_generator(*given, turn)
        for variable, old in zip(variables, before, strict=True):
            variable.assign(tf.where(turn, variable, old))

    def _fakes(self, batch, seed, number):
        """Generated rows with the conditions of the batch, as the critic sees them, `[B, D]`."""
        draw = functools.partial(random_normal, seed, number)
        z = replicas.drawn(draw, [batch.x.shape[0], self.latent])
        return self.shown(self.images(self.pixels_now(self._beside(z, batch.y))))

    # ---- images ------------------------------------------------------------------------------------------

    def images(self, outputs):
        """Images in [0, 1], or features, of the outputs of `pixels`."""
        return keras.activations.get(self.activation)(outputs)

    def shown(self, images):
        """Images as the critic sees them: pixels in [-1, 1], features as they are."""
        return 2 * images - 1 if self.activation == "sigmoid" else images

    def generate(self, z, condition=None):
        """Images `[n, ...]` in [0, 1] for codes `[n, Z]`, and classes `[n]` if the GAN is conditional."""
        flat = self.images(self.pixels(self._beside(z, condition)))
        return tf.reshape(flat, [-1, *self.image_shape])

    def judge(self, x):
        """As `judged`, of raw images `[n, ...]`."""
        return self.judged(self.shown(self._flat(x)))

    def judged(self, shown, training=False):
        """Scores `[n]` of flat images as the critic sees them, and logits of their classes `[n, C]`, None if
        the GAN has none."""
        found = self.critic(shown, training=training)
        scores, logits = found if self.conditions else (found, None)
        return scores[:, 0], logits

    def sample(self, n, seed=0, condition=None):
        """`n` images in [0, 1], the same for the same seed; of classes `[n]` if the GAN is conditional."""
        return self.generate(self.codes(n, seed_of(seed), 0), condition)

    def codes(self, n, seed, step, condition=None):
        """`n` codes `[n, Z]` from N(0, I), whatever the class; the same for the same seed and step."""
        return random_normal(seed, step, tf.stack([n, self.latent]))

    def call(self, codes):
        z, *condition = codes if isinstance(codes, list | tuple) else [codes]
        return self.generate(z, *condition)

    @property
    def metrics(self):
        return [self._generator_loss, self._critic_loss]

    def _flat(self, x):
        x = tf.cast(x, tf.float32) * self.scale
        return tf.reshape(x, [-1, tf.TensorShape(self.image_shape).num_elements()])

    def _beside(self, z, condition):
        if not self.conditions:
            return z
        require(condition is not None, "A conditional generator has to be told the classes of its images.")
        return [z, tf.one_hot(condition, self.conditions)]


def adam(learning_rate=1e-4, beta_1=0.0):
    """Adam as in Gulrajani et al., whose first moment is the gradient: the loss is another in each step."""
    require(learning_rate > 0, f"learning_rate is {learning_rate}; it must be above 0.")
    require(0 <= beta_1 < 1, f"beta_1 is {beta_1}; it must be at least 0 and below 1.")
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=0.9)


def _entropy(y, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
