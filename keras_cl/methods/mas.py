"""Memory aware synapses: weights that the outputs are sensitive to are held near their old values.

Aljundi et al. 2018 (arXiv:1711.09601). Left out: the local, Hebbian variant (sec. 4.2).
"""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.importance.moments import Moments, Signals, drawn
from keras_cl.importance.penalty import Merge, QuadraticPenalty
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.random import IMPORTANCE, seed_of


class MAS(ContinualModel):
    """L = CE_t + strength * sum_i Omega_i (theta_i - theta*_i)^2   (eq. 4 of the paper)

    Omega_i = 1/N sum_n |d ||z(x_n)||^2 / d theta_i| is how much a weight moves the squared length of the
    logits z, one image at a time (eqs. 2 and 3). No labels are needed. Only classes that may answer count.

    Args:
      network: raw images to logits.
      strength: lambda, weight of the penalty.
      merge: how importances of several tasks become one. anchors, every task keeps its own anchor; sum, old +
        new; ema, alpha * old + (1 - alpha) * new; replace, only the last task's.
      alpha: weight of the old importance in ema.
      n_samples: rows that sensitivity is measured on; 0 for all, or for 500 where the network has weights
        outside of dense layers without activation, whose gradients cost more.
    """

    forgets_in = ("class",)
    search = {"strength": (0.01, 10.0)}

    def __init__(
        self,
        network,
        *,
        strength: float = 0.1,
        merge: Merge = "sum",
        alpha: float = 0.5,
        n_samples: int = 0,
        **base,
    ):
        require(n_samples >= 0, f"n_samples is {n_samples}; it must not be negative.")
        super().__init__(network, **base)
        self.penalty = QuadraticPenalty(network.trainable_variables, strength, merge=merge, alpha=alpha)
        self._sensitivity = Moments(network, _squared_length, power=1)
        self._n_samples = n_samples or self._sensitivity.usual_samples

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.apply(self.penalty.added_to(gradients))  # gradient of eq. 4
        return self.results(batch, logits)

    def end_task(self, task):
        super().end_task(task)
        x, _ = task.train.open()
        rng = np.random.default_rng(seed_of(self.seed, task.index, IMPORTANCE))
        x = x[drawn(rng, len(x), self._n_samples)]
        Omega = self._sensitivity(x, of_task=(task.stream.class_mask[task.index],))  # eqs. 2, 3
        self.penalty.update(Omega)


def _squared_length(z, mask):
    """d ||z||^2 / d z = 2 z, of the logits that may answer."""
    gradient = tf.where(mask, 2 * z, 0.0)  # selected: a masked logit of -1e9 would blow up the length
    return Signals(lambda m: (gradient, tf.ones_like(z[:, 0])), tf.constant(1))
