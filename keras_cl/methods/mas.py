r"""Memory aware synapses: penalises changes of weights in proportion to the sensitivity of the outputs.

Aljundi et al. 2018 (arXiv:1711.09601). Not implemented: the local, Hebbian variant (sec. 4.2).

$$ \Omega_i = \frac{1}{N} \sum_n \left| \frac{\partial \lVert z(x_n) \rVert_2^2}{\partial \theta_i} \right|
\quad \text{(eqs. 2, 3)}, \qquad \mathcal{L} = \mathcal{L}_t
+ \lambda \sum_i \Omega_i \left(\theta_i - \theta^*_i\right)^2 \quad \text{(eq. 4)} $$
"""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.importance.moments import Moments, Signals, drawn
from keras_cl.importance.penalty import Merge, QuadraticPenalty
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.random import IMPORTANCE, seed_of
from keras_cl.sources.lazy import selected


class MAS(ContinualModel):
    """L = CE_t + strength * sum_i Omega_i (theta_i - theta*_i)^2   (eq. 4 of the paper)

    Omega_i = 1/N sum_n |d ||z(x_n)||^2 / d theta_i| is the sensitivity of the squared norm of the logits z to
    a weight, averaged over single images (eqs. 2 and 3). Only active classes count. No labels are needed.

    Args:
      network: raw images to logits.
      strength: lambda, weight of the penalty.
      merge: how importances of several tasks are combined: anchors, every task keeps its own anchor; sum, old
        + new; ema, alpha * old + (1 - alpha) * new; replace, only the last task's.
      alpha: weight of the old importance in ema.
      n_samples: rows used for the sensitivity; 0 for all, or for 500 if the network has layers whose
        gradients of single rows are slow: recurrent ones, embeddings, own operations on weights.
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
        self._n_samples = n_samples

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.fused(self._update, gradients)
        return self.results(batch, logits)

    def _update(self, gradients):
        self.apply(self.penalty.added_to(gradients))  # gradient of eq. 4

    def end_task(self, task):
        super().end_task(task)
        x, _ = task.train.open()
        rng = np.random.default_rng(seed_of(self.seed, task.index, IMPORTANCE))
        chosen = drawn(rng, len(x), self._n_samples or self._sensitivity.usual_samples(x))
        answering = task.stream.class_mask[task.index]
        how = {"of_task": (answering,), "jit": self.jit, "progress": self.progress}
        Omega = self._sensitivity(selected(x, chosen), **how)  # eqs. 2, 3
        self.penalty.update(Omega)


def _squared_length(z, mask):
    """d ||z||^2 / d z = 2 z, for the logits of active classes."""
    gradient = tf.where(mask, 2 * z, 0.0)  # not `MASKED`: -1e9 would dominate the norm
    return Signals(lambda m: (gradient, tf.ones_like(z[:, 0])), tf.constant(1))
