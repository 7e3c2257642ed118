r"""Sliced Cramer preservation: preserves the distribution of the outputs instead of the output of each image.

Kolouri et al. 2020 (ICLR, openreview BJge3TNKwH). `keras_cl.importance.cramer` implements the distance.

$$ \Gamma_i = \frac{1}{L} \sum_{l=1}^{L} \left( \frac{\partial\, \xi_l^\top \bar{z}}{\partial \theta_i}
\right)^2 \quad (1), \qquad \mathcal{L} = \mathcal{L}_t
+ \lambda \sum_i \Gamma_i \left(\theta_i - \theta^*_i\right)^2 \quad (2) $$
"""

import numpy as np

from keras_cl.errors import require
from keras_cl.importance.cramer import directions
from keras_cl.importance.moments import drawn
from keras_cl.importance.penalty import Merge, QuadraticPenalty
from keras_cl.importance.sensitivity import MeanSensitivity
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.random import IMPORTANCE, seed_of
from keras_cl.sources.lazy import selected


class SCP(ContinualModel):
    """L = CE_t + strength * sum_i Gamma_i (theta_i - theta*_i)^2   (eq. 2)

    Gamma_i is the mean over L random directions xi_l on the unit sphere of (d (xi_l . zbar) / d theta_i)^2,
    with zbar the mean logits over a task's images (eq. 1): the curvature of the sliced Cramer distance
    between the old and the new outputs. Its expectation is 1/K sum_c (d zbar_c / d theta_i)^2 over the K
    active classes. No labels are needed. Equation numbers are this file's.

    Args:
      network: raw images to logits.
      strength: lambda, weight of the penalty.
      slices: L, number of random directions; 0 for the exact expectation.
      merge: how importances of several tasks are combined: anchors, every task keeps its own anchor; sum, old
        + new; ema, alpha * old + (1 - alpha) * new; replace, only the last task's.
      alpha: weight of the old importance in ema.
      n_samples: rows used for the mean; 0 for all.
    """

    forgets_in = ("class",)
    search = {"strength": (1.0, 1000.0)}

    def __init__(
        self,
        network,
        *,
        strength: float = 100.0,
        slices: int = 0,
        merge: Merge = "ema",
        alpha: float = 0.5,
        n_samples: int = 0,
        **base,
    ):
        require(slices >= 0, f"slices is {slices}; it must not be negative.")
        require(n_samples >= 0, f"n_samples is {n_samples}; it must not be negative.")
        super().__init__(network, **base)
        self.slices, self.n_samples = slices, n_samples
        self.penalty = QuadraticPenalty(network.trainable_variables, strength, merge=merge, alpha=alpha)
        self._sensitivity = MeanSensitivity(self.network)

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.fused(self._update, gradients)
        return self.results(batch, logits)

    def _update(self, gradients):
        self.apply(self.penalty.added_to(gradients))  # gradient of eq. 2

    def end_task(self, task):
        super().end_task(task)
        x, _ = task.train.open()
        rng = np.random.default_rng(seed_of(self.seed, task.index, IMPORTANCE))
        x = selected(x, drawn(rng, len(x), self.n_samples))
        xi = directions(task.stream.class_mask[task.index], self.slices, rng)
        Gamma = self._sensitivity(x, xi, jit=self.jit, progress=self.progress)  # eq. 1
        self.penalty.update(Gamma)
