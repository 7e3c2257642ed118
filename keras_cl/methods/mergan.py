r"""Memory replay GAN: a conditional generator keeps its classes by replay, or by alignment to its own copy.

Wu et al. 2018 (arXiv:1809.02058). The paper scores generated images with a classifier trained on real ones;
here the accuracies are those of a network that learns from the rows of the task and from generated ones.

$$ \mathcal{L}_{\mathrm{align}} = \mathcal{L}_{\mathrm{GAN}}(D_t) + \frac{\lambda}{2 k} \sum_{j=1}^{k}
\sum_{i=1}^{\lfloor B/k \rfloor} \left\| G(z_i, j) - G_{t-1}(z_i, j) \right\|^2 $$

$$ \mathcal{L}_{\mathrm{joint}} = \mathcal{L}_{\mathrm{GAN}}\left(D_t \cup \{(G_{t-1}(z, j), j)\}\right) $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.learning.batches import total, weighted_mean
from keras_cl.methods.dgr import DGR
from keras_cl.numerics.random import REPLAY, seed_of

Replay = Literal["joint", "align"]
Reduction = Literal["sum", "mean"]


class MeRGAN(DGR):
    """L_G = L_GAN(D_t) + strength/(2k) sum_j sum_i ||G(z_i, j) - G_{t-1}(z_i, j)||^2, or L_GAN(D_t, G_{t-1})

    The network learns from the rows of the task and from generated ones of the k earlier classes, whose label
    is the class that was requested; G_{t-1} is the generator at the end of the previous task.

    Args:
      network: raw images to logits; a functional or sequential model, which is copied.
      replay: how the generator keeps earlier classes: align, it learns from the rows of the task alone and
        stays near G_{t-1} for the same z and class; joint, it learns from images of G_{t-1} too.
      strength: lambda, weight of align; 0 for a generator that forgets.
      reduction: how align weighs the mean squared distance of two images: sum, by strength/2 times B/k,
        rounded down, for B rows of a batch, as does the sum in the paper over B/k images of each class; mean,
        by the strength itself, whatever the batch and the number of classes.
      penalise_replayed: whether joint has the critic's gradient penalty on images of G_{t-1} too; if not, on
        the rows of the task alone.
    """

    scenarios = ("class",)
    usual = {"memory": "gan", "memory.conditional": True, "memory.labels": "condition"}
    memories = ("gan",)
    search = {"strength": (1e-4, 1e-1)}
    protects = "generator"

    def __init__(
        self,
        network,
        *,
        replay: Replay = "align",
        strength: float = 1e-3,
        reduction: Reduction = "sum",
        penalise_replayed: bool = False,
        **base,
    ):
        super().__init__(network, **base)
        require(strength >= 0, f"strength is {strength}; it must not be negative.")
        pick("replay", replay, get_args(Replay))
        self.strength, self.reduction = strength, pick("reduction", reduction, get_args(Reduction))
        self.draw = integers(name="draw")  # seed of the codes at which G and G_{t-1} are compared
        self.earlier = integers(name="earlier")  # k
        self.memory.require_conditions(self.name)
        self.memory.generator.penalises_replayed = penalise_replayed
        if replay == "align":
            self.memory.protect(self.alignment)

    def begin_task(self, task):
        super().begin_task(task)
        self.draw.assign(seed_of(self.seed, task.index, REPLAY))
        self.earlier.assign(len(self.memory.conditions(task.index)) if task.index else 0)

    def alignment(self, batch):
        """L_RA, for as many codes as a batch has rows; pixels are in [-1, 1], as in the paper."""
        generator, B = self.memory.generator, batch.x.shape[0]
        codes, *_ = self.memory.codes(B, self.draw, generator.state[1], tf.maximum(self.task, 1))
        pair = (generator.images(pixels(codes)) for pixels in (generator.pixels, self.memory.pixels))
        images, old = map(generator.shown, pair)
        distance = tf.reduce_sum(tf.square(images - tf.stop_gradient(old)), axis=1)
        one = tf.ones(B)
        return self.weight(total(one), self.earlier) * weighted_mean(distance, one)

    def weight(self, rows, k):
        """Weight of the mean squared distance for `rows` codes and k earlier classes; 0 if there are none."""
        per_class = tf.maximum(tf.floor(rows / tf.cast(k, rows.dtype)), 1.0)
        weight = self.strength / 2 * per_class if self.reduction == "sum" else self.strength
        return tf.where(k > 0, weight, 0.0)
