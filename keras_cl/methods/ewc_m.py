r"""EWC on a generator (EWC-M): penalises changes of a conditional GAN's weights by their Fisher information.

Seff et al. 2017 (arXiv:1705.08395), with the critic's score in place of log D, which a Wasserstein GAN has
none of. Generated images of earlier classes train the network, and not the generator.

$$ \mathcal{L}_G(\theta) = \mathcal{L}_{\mathrm{GAN}}(\theta) + \frac{\lambda}{2} \sum_{k < t} \sum_i
F_{k,i} \left(\theta_i - \theta^*_{k,i}\right)^2 $$

$$ F_{k,i} = \mathbb{E}_{z, c \in C_k} \left[ \left( \frac{\partial f(G(z, c))}{\partial \theta_i}
\right)^2 \right]_{\theta = \theta^*_k} $$
"""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.importance.moments import Moments, Signals
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.methods.dgr import DGR
from keras_cl.numerics.random import IMPORTANCE, random_normal, seed_of


class _Scored:
    """The critic's scores `[n, 1]` of a generator's images, as a network whose weights are the generator's.

    Args:
      generator: a conditional `keras_cl.generators.GAN`.
    """

    def __init__(self, generator):
        self._generator = generator
        self.trainable_variables = generator.pixels.trainable_variables

    def draws(self, n, units, seed):
        """`n` codes z, each beside a class, `[n, latent + conditions]`; equally many of each class."""
        z = random_normal(seed, 0, [n, self._generator.latent])
        c = tf.one_hot(np.resize(units, n), self._generator.conditions)
        return tf.concat([z, c], axis=1).numpy()

    def __call__(self, codes, training=False):
        latent = self._generator.latent
        z, c = codes[:, :latent], codes[:, latent:]
        images = self._generator.images(self._generator.pixels([z, c], training=training))
        return self._generator.critic(self._generator.shown(images), training=training)[0]


class EWCM(DGR):
    """L_G = L_GAN + strength/2 * sum_{k<t} sum_i F_{k,i} (theta_i - theta*_{k,i})^2

    F_k is the mean over draws (z, c) of the squared gradient of the critic's score of the image G(z, c), for
    classes c of task k at its end. The sum over earlier tasks is stored as one quadratic, so time and memory
    do not grow with the number of tasks. The critic is free. The network learns from the rows of the task and
    from generated ones of earlier classes, whose label is the class that was requested.

    Args:
      network: raw images to logits; a functional or sequential model, which is copied.
      strength: lambda, weight of the penalty of the generator's weights.
      online: keep only the last anchor, and a Fisher of all classes so far, instead of all anchors.
      n_samples: draws (z, c) used for the Fisher.
    """

    scenarios = ("class",)
    usual = {"memory": "gan", "memory.conditional": True, "memory.labels": "condition"}
    memories = ("gan",)
    search = {"strength": (10.0, 1e5)}
    protects = "generator"

    def __init__(
        self, network, *, strength: float = 1000.0, online: bool = False, n_samples: int = 1000, **base
    ):
        super().__init__(network, **base)
        require(n_samples >= 1, f"n_samples is {n_samples}; it must be at least 1.")
        self.memory.require_conditions(self.name)
        self._one_anchor, self._n_samples = online, n_samples
        self._scored = _Scored(self.memory.generator)
        self.penalty = QuadraticPenalty(
            self._scored.trainable_variables, strength, half=True, merge="anchors"
        )
        self._fisher = Moments(self._scored, _signals, power=2)
        self.memory.protect(lambda batch: self.penalty.value())

    def begin_task(self, task):
        super().begin_task(task)
        classes = len(self._classes(task))
        require(
            self._n_samples >= classes,
            f"n_samples is {self._n_samples}, fewer than the {classes} classes that they are draws of.",
        )

    def end_task(self, task):
        super().end_task(task)
        seed = seed_of(self.seed, task.index, IMPORTANCE)
        codes = self._scored.draws(self._n_samples, self._classes(task), seed)
        F = self._fisher(codes, jit=self.jit, progress=self.progress)
        (self.penalty.replace if self._one_anchor else self.penalty.update)(F)

    def _classes(self, task):
        """Output units whose images the Fisher information at the end of a task is of."""
        if self._one_anchor:
            return self.memory.conditions(task.number)
        return np.flatnonzero(task.stream.labels[task.index] >= 0)


def _signals(scores):
    return Signals(lambda m: (tf.ones_like(scores), tf.ones_like(scores[:, 0])), tf.constant(1))
