"""The quadratic penalty of EWC and related methods: an importance and an anchor for every weight.

    R(theta) = kappa * strength * sum_i Omega_i (theta_i - theta*_i)^2 + constant

Its gradient is in closed form: 2 kappa strength Omega (theta - theta*). Importances start at zero, so that
the same traced step trains the first task without a penalty.
"""

from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import pick, require

# How importances of several tasks are combined: "anchors" keeps every task's own anchor (exactly, as the sum
# of their quadratics); all others have one anchor, the latest weights.
Merge = Literal["anchors", "sum", "ema", "replace"]


class QuadraticPenalty(tf.Module):
    """Importance `Omega` and anchor `theta*` of some variables, float32.

    Args:
      variables: the weights theta; their values at creation are the first anchor.
      strength: lambda of the papers.
      half: whether kappa is 1/2 (EWC) or 1 (most others).
      merge: anchors; sum, old + new; ema, alpha * old + (1 - alpha) * new, the first one unscaled; replace.
      alpha: weight of the old importance in ema, in [0, 1].
      uniform: whether a tensor has one importance for all its weights instead of one for each.
    """

    def __init__(self, variables, strength, *, half=False, merge="replace", alpha=0.5, uniform=False):
        super().__init__()
        require(strength >= 0, f"strength is {strength}; it must not be negative.")
        require(0 <= alpha <= 1, f"alpha is {alpha}; it must be at least 0 and at most 1.")
        self._variables, self._alpha = list(variables), alpha
        self._merge = pick("merge", merge, get_args(Merge))
        self._factor = strength / 2 if half else strength
        shapes = [[] if uniform else v.shape for v in variables]
        self.importance = [tf.Variable(tf.zeros(shape), trainable=False) for shape in shapes]
        self.anchor = [tf.Variable(v, trainable=False) for v in variables]
        self.constant = tf.Variable(0.0, trainable=False)
        self.tasks = integers()  # number of updates

    def gradient(self):
        """List of tensors like the variables: 2 kappa strength Omega (theta - theta*)."""
        return [
            2 * self._factor * omega * (theta - anchor)
            for theta, omega, anchor in zip(self._variables, self.importance, self.anchor, strict=True)
        ]

    def added_to(self, gradients):
        """Gradients of the loss plus those of the penalty."""
        return [g + pull for g, pull in zip(gradients, self.gradient(), strict=True)]

    def value(self):
        """The penalty, a scalar."""
        terms = [
            tf.reduce_sum(omega * tf.square(theta - anchor))
            for theta, omega, anchor in zip(self._variables, self.importance, self.anchor, strict=True)
        ]
        return self._factor * (tf.math.add_n(terms) + self.constant)

    def update(self, importance):
        """Ends a task: combines its importance with the old one by the rule `merge`, at the current weights.

        Args:
          importance: list of non-negative arrays like the variables.
        """
        if self._merge == "anchors":
            self.add(importance)
            return
        weights = {"sum": (1, 1), "ema": (self._alpha, 1 - self._alpha), "replace": (0, 1)}
        old, new = weights[self._merge] if self.tasks.numpy() else (0, 1)
        self.replace([old * a.numpy() + new * b for a, b in zip(self.importance, importance, strict=True)])

    def add(self, importance):
        """Adds a quadratic around the current weights; a sum of quadratics is a quadratic.

        sum_k F_k (theta - theta_k)^2 = S (theta - m)^2 + constant with S = sum_k F_k and m = sum_k F_k
        theta_k / S: any number of anchors needs the memory and time of one. There is no cancellation, because
        theta stays close to m.

        Args:
          importance: list of non-negative arrays like the variables.
        """
        constant = float(self.constant.numpy())
        for theta, omega, anchor, new in zip(
            self._variables, self.importance, self.anchor, importance, strict=True
        ):
            old, center, at = (v.numpy().astype(np.float64) for v in (omega, anchor, theta))
            new = np.asarray(new, np.float64)
            total = old + new
            share = np.divide(new, total, out=np.ones_like(total), where=total > 0)
            constant += float(np.sum(old * share * (at - center) ** 2))
            omega.assign(total.astype(np.float32))
            anchor.assign((center + share * (at - center)).astype(np.float32))
        self.constant.assign(constant)
        self.tasks.assign_add(1)

    def replace(self, importance):
        """Replaces all quadratics by one with `importance` around the current weights."""
        for omega, new in zip(self.importance, importance, strict=True):
            omega.assign(np.asarray(new, np.float32))
        self.constant.assign(0.0)
        self.tasks.assign_add(1)
        self.move()

    def move(self):
        """Makes the current weights the anchor."""
        for theta, anchor in zip(self._variables, self.anchor, strict=True):
            anchor.assign(theta)
