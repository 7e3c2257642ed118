"""The quadratic penalty that EWC and its relatives share: an importance and an anchor for every weight.

    R(theta) = kappa * strength * sum_i Omega_i (theta_i - theta*_i)^2 + constant

Its gradient is written down, not differentiated: 2 kappa strength Omega (theta - theta*). Importances start
at zero, so that the first task is trained as if there were no penalty, by the same traced step.
"""

import numpy as np
import tensorflow as tf


class QuadraticPenalty(tf.Module):
    """Importance `Omega` and anchor `theta*` of some variables, one tensor each, float32.

    Args:
      variables: the weights theta; what they are when the penalty is made is the first anchor.
      strength: lambda of the papers.
      half: whether kappa is 1/2 (EWC) or 1 (most others).
    """

    def __init__(self, variables, strength, half):
        super().__init__()
        self._variables = list(variables)
        self._factor = strength / 2 if half else strength
        self.importance = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
        self.anchor = [tf.Variable(v, trainable=False) for v in variables]
        self.constant = tf.Variable(0.0, trainable=False)

    def gradient(self):
        """List of tensors like the variables: 2 kappa strength Omega (theta - theta*)."""
        return [
            2 * self._factor * omega * (theta - anchor)
            for theta, omega, anchor in zip(self._variables, self.importance, self.anchor, strict=True)
        ]

    def value(self):
        """The penalty, a scalar."""
        terms = [
            tf.reduce_sum(omega * tf.square(theta - anchor))
            for theta, omega, anchor in zip(self._variables, self.importance, self.anchor, strict=True)
        ]
        return self._factor * (tf.math.add_n(terms) + self.constant)

    def add(self, importance):
        """Adds a quadratic around the current weights; the sum of quadratics is again one.

        sum_k F_k (theta - theta_k)^2 = S (theta - m)^2 + constant with S = sum_k F_k and
        m = sum_k F_k theta_k / S: any number of anchors costs what one costs, in memory and in time, and
        nothing cancels, because theta stays close to m.

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

    def replace(self, importance):
        """Puts `importance` around the current weights in place of all that was there."""
        for theta, omega, anchor, new in zip(
            self._variables, self.importance, self.anchor, importance, strict=True
        ):
            omega.assign(np.asarray(new, np.float32))
            anchor.assign(theta)
        self.constant.assign(0.0)
