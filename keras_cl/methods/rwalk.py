r"""Riemannian walk: penalises changes of weights by a running Fisher information and a path-integral score.

Chaudhry et al. 2018 (arXiv:1801.10112).

$$ F \leftarrow \alpha\, \mathbb{E}\left[g^2\right] + (1 - \alpha) F \quad (1) $$

$$ s_i \leftarrow s_i + \max\left(0, \frac{w_i}{\frac12 F_i D_i^2 + \epsilon}\right), \quad
w_i = -\sum g_i\, d\theta_i \quad (2) $$

$$ S_t = \tfrac12 \left(S_{t-1} + s\right) \quad (3), \qquad \mathcal{L} = \mathcal{L}_t
+ \lambda \sum_i \left(F_i + S_i\right) \left(\theta_i - \theta^*_i\right)^2 \quad (4) $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.importance.moments import normalised
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.methods.base import ContinualModel

Norm = Literal["none", "max", "minmax"]


class RWalk(ContinualModel):
    """L = CE_t + strength * sum_i (F_i + S_i) (theta_i - theta*_i)^2   (eq. 4)

    F, a moving average of the Fisher information, takes in the mean of g^2 every `interval` steps, with g the
    gradient of CE_t (eq. 1). At the same steps s scores the decrease of the loss relative to the distance
    moved in the metric of F, with D the change of a weight since then (eq. 2). At the end of a later task S
    becomes an average (eq. 3); F and S are normalised over all weights. Equation numbers are this file's.

    Args:
      network: raw images to logits.
      strength: lambda, weight of the penalty.
      alpha: weight of the new value in the moving average of F, in (0, 1].
      interval: steps between updates of F and S; remaining steps at the end of a task count too.
      eps: keeps the score finite for weights that hardly moved.
      kl_half: whether the distance is 1/2 F D^2, the second-order KL divergence, or F D^2.
      norm: how F and S are normalised: none; max, divided by the largest entry; minmax, to [0, 1].
    """

    forgets_in = ("class",)
    search = {"strength": (0.1, 100.0)}
    own_loss = "weighs weights by the Fisher information of the softmax, whose loss is the cross entropy"

    def __init__(
        self,
        network,
        *,
        strength: float = 3.0,
        alpha: float = 0.9,
        interval: int = 10,
        eps: float = 1e-3,
        kl_half: bool = True,
        norm: Norm = "minmax",
        **base,
    ):
        require(0 < alpha <= 1, f"alpha is {alpha}; it must be above 0 and at most 1.")
        require(interval >= 1, f"interval is {interval}; it must be at least 1.")
        require(eps >= 0, f"eps is {eps}; it must not be negative.")
        super().__init__(network, **base)
        self.alpha, self.interval, self.eps = alpha, interval, eps
        self.half, self.norm = 0.5 if kl_half else 1.0, pick("norm", norm, get_args(Norm))
        self.penalty = QuadraticPenalty(network.trainable_variables, strength)
        # f and w accumulate over an interval; S holds the scores of earlier tasks plus those of this task.
        self.f, self.w, self.F, self.S, self.start = (
            [tf.Variable(tf.zeros_like(v), trainable=False) for v in network.trainable_variables]
            for _ in range(5)
        )
        self.steps = integers()  # in the current interval
        self.averaged = integers()  # intervals averaged in F

    def begin_task(self, task):
        super().begin_task(task)
        self._begin_interval()

    def train_step(self, batch):
        logits, g = self.task_gradients(batch)  # of the unregularised loss
        self.fused(self._update, g)
        return self.results(batch, logits)

    def _update(self, g):
        before = [tf.identity(theta) for theta in self.trained]
        self.apply(self.penalty.added_to(g))  # gradient of eq. 4
        for f, w, g_i, theta, old in zip(self.f, self.w, g, self.trained, before, strict=True):
            f.assign_add(tf.square(tf.where(tf.math.is_finite(g_i), g_i, 0.0)))  # loss scaling may overflow
            w.assign_sub(tf.math.multiply_no_nan(g_i, theta - old))
        self.steps.assign_add(1)
        while self.steps == self.interval:  # at most once; with `if`, XLA would copy all changed variables
            self._end_interval()

    def end_task(self, task):
        super().end_task(task)
        if self.steps.numpy():
            self._end_interval()
        if self.penalty.tasks.numpy():
            for S in self.S:
                S.assign(S / 2)  # eq. 3: S holds S_{t-1} + s
        F, S = (normalised([v.numpy() for v in values], self.norm) for values in (self.F, self.S))
        self.penalty.update([F_i + S_i for F_i, S_i in zip(F, S, strict=True)])

    def _end_interval(self):
        alpha = tf.where(self.averaged > 0, self.alpha, 1.0)  # the first value is not averaged with zero
        theta = self.network.trainable_variables
        for f, w, F, S, now, start in zip(self.f, self.w, self.F, self.S, theta, self.start, strict=True):
            F.assign(alpha * f / tf.cast(self.steps, tf.float32) + (1 - alpha) * F)  # eq. 1
            distance = self.half * F * tf.square(now - start)
            S.assign_add(tf.maximum(tf.math.divide_no_nan(w, distance + self.eps), 0.0))  # eq. 2
        self.averaged.assign_add(1)
        self._begin_interval()

    def _begin_interval(self):
        for f, w, start, theta in zip(self.f, self.w, self.start, self.trained, strict=True):
            f.assign(tf.zeros_like(f))
            w.assign(tf.zeros_like(w))
            start.assign(theta)
        self.steps.assign(0)
