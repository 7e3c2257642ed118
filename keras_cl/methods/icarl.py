r"""iCaRL: replays exemplars of every class with distillation and classifies by the nearest mean of exemplars.

Rebuffi et al. 2017 (arXiv:1611.07725). Not implemented: means over mirrored images, weight decay.

$$ \ell(\theta) = \frac{1}{|D|} \sum_{(x, y) \in D} \sum_c \mathrm{BCE}\left(\sigma(z_c(x)), q_c\right)
\qquad \text{(algorithm 3)} $$

$$ q_c = \sigma(z^{t-1}_c(x) / T) \text{ of old classes}, \qquad q_c = [c = y] \text{ of new ones} $$

$$ y^* = \arg\min_c \lVert \varphi(x) - \mu_c \rVert, \qquad
\mu_c = \frac{1}{|P_c|} \sum_{p \in P_c} \varphi(p) \qquad \text{(algorithm 1)} $$
"""

from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.learning.batches import weighted_mean
from keras_cl.learning.features import classified_by_means
from keras_cl.learning.layers import frozen_copy, in_blocks, logits_of
from keras_cl.memories.herding import normalised
from keras_cl.methods.base import ContinualModel
from keras_cl.sources.lazy import joined

Reduction = Literal["sum", "mean"]


class ICaRL(ContinualModel):
    """L = mean over the rows of D_t and of the memory of  sum_c BCE(sigmoid(z_c), target_c)  (algorithm 3)

    The target of an old class is sigmoid(z_c / T) of the network after the previous task. The target of a
    class of the task, also of one that comes back, is 1 for the row's own class and 0 otherwise. The
    predicted class is the one whose exemplars have the nearest mean feature, y* = argmin_y ||phi(x) - mu_y||
    (algorithm 1); features and means are scaled to length 1. During a task, its new classes have no mean yet
    and are not predicted; `evaluate` then goes by the logits.

    Args:
      network: raw images to logits; phi is the input of its last dense layer.
      reduction: how the BCE is reduced over classes: sum, as in van de Ven's code; mean, as in the released
        code.
      temperature: T, divides the logits of the old network in the targets, and no others: 1, as in the
        paper; 2, as in van de Ven's code.
    """

    scenarios = ("class",)
    usual = {"memory": "herding"}
    memories = ("balanced", "herding", "ring")  # those that store rows of every class
    answers_at_end = True
    gives_probabilities = False
    no_curvature = "answers by distances to means"
    own_loss = "trains with binary cross entropies"
    search = {"temperature": [1.0, 2.0]}
    draws = 0  # exemplars are part of the epoch, like the rows of the task

    def __init__(self, network, *, reduction: Reduction = "sum", temperature: float = 1.0, **base):
        self.reduction = pick("reduction", reduction, get_args(Reduction))
        require(temperature > 0, f"temperature is {temperature}; it must be above 0.")
        self.T = temperature
        super().__init__(classified_by_means(network), **base)
        require(self.memory is not None, "icarl keeps its exemplars in a memory; give it one.")
        self.teacher, self._teach = frozen_copy(network)
        self.taught = integers()  # tasks that the teacher has learned: t - 1
        self._trained_logits = tf.function(lambda x: network(x), reduce_retracing=True)

    def training_rows(self, task):
        new, old = super().training_rows(task), self.memory.rows()
        return tuple(joined(pair) for pair in zip(new, old, strict=True))  # D = D_t and exemplars

    def train_step(self, batch):
        answering, shown = (tf.gather(table, self.task) for table in (self._class_mask, self._shown_classes))
        old = tf.gather(self._class_mask, tf.maximum(self.taught, 1) - 1)
        old = tf.logical_and(old, self.taught > 0)
        old = tf.logical_and(old, ~shown)  # a class that comes back is learned again
        q = tf.sigmoid(self.teacher(batch.x, training=False) / self.T)
        own = batch.labelled(lambda y: tf.one_hot(y, len(answering)))
        target = tf.where(old, q, own)
        with tf.GradientTape() as tape:
            z = logits_of(self.network, batch.x, batch.task, training=True)
            BCE = tf.nn.sigmoid_cross_entropy_with_logits(target, z)
            BCE = tf.reduce_sum(tf.where(answering, BCE, 0.0), axis=1)
            if self.reduction == "mean":
                BCE /= tf.cast(tf.math.count_nonzero(answering), tf.float32)
            L = weighted_mean(BCE, batch.weight)
            L = tf.math.add_n([L, *self.network.losses])
        self.apply(self.gradients(tape, L))
        return self.results(batch, self._masked(z, batch.task))

    def _scores(self, x, task):
        return in_blocks(self._trained_logits, x) if self.in_task else super()._scores(x, task)

    def end_task(self, task):
        super().end_task(task)
        x, y, _ = self.memory.rows()
        phi = normalised(self.features(x))
        means = self.network.layers[-1].means
        mu = np.zeros(means.shape)
        for unit in np.unique(y):
            mu[unit] = phi[y == unit].mean(axis=0)
        means.assign(normalised(mu))
        self._teach()
        self.taught.assign(task.number)
