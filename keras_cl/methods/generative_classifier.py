r"""Generative classifier: trains a small VAE for each class and predicts the class of highest likelihood.

Van de Ven, Li and Tolias 2021 (arXiv:2104.10093). Not implemented: VAEs on features of a pretrained network,
and a prior from class frequencies.

$$ y^* = \arg\max_c \log p(x \mid c) \quad \text{(eq. 1, uniform prior over classes)} $$

$$ \mathcal{L}_c(x) = -\mathbb{E}_{z \sim q_c(z \mid x)}\left[ \log p_c(x \mid z) \right]
+ \mathrm{KL}\left(q_c(z \mid x)\, \Vert\, p(z)\right) $$
"""

import numpy as np
import tensorflow as tf

from keras_cl.devices.replicas import results
from keras_cl.errors import require
from keras_cl.learning.batches import total
from keras_cl.learning.layers import MASKED
from keras_cl.methods.base import ContinualModel
from keras_cl.networks.class_vaes import ClassVAEs


class GenerativeClassifier(ContinualModel):
    """y* = argmax_c log p(x|c) (eq. 1, uniform prior over classes), where p(x|c) is the VAE of class c

    Each VAE learns only from the rows of its class, L_c = -ELBO_c(x), so no class changes another. Weights of
    classes outside of the task stay unchanged, whatever the optimizer's state.

    Args:
      network: raw images to log p(x|c), as returned by `keras_cl.networks.class_vaes`.
    """

    scenarios = ("task", "class")
    usual = {"network": "class_vaes"}
    memories = ()
    no_curvature = "answers by the likelihood of images"
    own_loss = "trains with the likelihood of images"
    no_mixing = "learns the images of each class"

    def __init__(self, network, **base):
        super().__init__(network, **base)
        require(
            isinstance(self.network.layers[-1], ClassVAEs),
            f"generative_classifier takes the network class_vaes, one generator per class, and not "
            f"{network.name}.",
        )

    def begin_task(self, task):
        super().begin_task(task)
        own = task.stream.labels >= 0
        units = np.full((len(own), own.sum(axis=1).max()), -1, np.int32)
        for t, mine in enumerate(own):
            units[t, : mine.sum()] = np.flatnonzero(mine)
        self._units = tf.constant(units)  # [T, W]: the units of each task

    def train_step(self, batch):
        units = tf.gather(self._units, self.task)
        mine = tf.cast(batch.y == units[:, tf.newaxis], tf.float32) * batch.weight  # [W, B]
        with tf.GradientTape() as tape:
            L = self.network.layers[-1].objective(self._pixels(batch.x), units)
            L_c = tf.math.divide_no_nan(total(L * mine), total(mine))
            loss = tf.reduce_sum(L_c)
        self._apply_to(units, self.gradients(tape, loss))
        return self._shown(batch, -L, mine, units)

    def _apply_to(self, units, gradients):
        """Applies the optimizer's step to the weights `[C, ...]` of the classes `units` only."""
        before = [tf.identity(theta) for theta in self.trained]
        self.apply(gradients)
        ours = tf.reduce_any(tf.one_hot(units, len(self._class_mask[0])) > 0, axis=0)
        for theta, old in zip(self.trained, before, strict=True):
            theta.assign(tf.where(tf.reshape(ours, [-1] + [1] * (len(theta.shape) - 1)), theta, old))

    def _pixels(self, x):
        for layer in self.network.layers[1:-1]:
            x = layer(x)
        return x

    def row_losses(self, y, logits, training=True):
        return -tf.gather(logits, y, batch_dims=1)  # -log p(x|y), which -ELBO bounds

    def _shown(self, batch, scores, mine, units):
        """Updates the metrics: mean -ELBO under the own class, accuracy among the task's classes."""
        rows = tf.reduce_sum(mine, axis=0)
        self._loss.update_state(-tf.reduce_sum(scores * mine, axis=0), rows)
        best = tf.argmax(tf.where(units[:, tf.newaxis] >= 0, scores, MASKED), axis=0)
        correct = tf.gather(units, best) == batch.y
        self._accuracy.update_state(tf.cast(correct, tf.float32), batch.weight)
        own = tf.one_hot(units, len(self._class_mask[0]))  # [W, C]
        for metric in self.own_metrics:
            logits = tf.where(tf.reduce_any(own > 0, axis=0), tf.matmul(scores, own, True), MASKED)
            metric.update_state(batch.y, logits, sample_weight=batch.weight)
        return results(self.metrics)
