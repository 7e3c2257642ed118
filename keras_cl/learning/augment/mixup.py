"""Mixup: every image becomes a weighted mean with another one (Zhang et al. 2018, arXiv:1710.09412)."""

import tensorflow as tf

from keras_cl.learning.augment.base import Mixing


class Mixup(Mixing):
    """x -> lam x + (1 - lam) x', for a random other row x' of the step; the labels alike

    Args:
      alpha: lam is drawn from Beta(alpha, alpha) once a step: 1, uniform; less, mostly near 0 or 1.
    """

    numbers = 1

    def __init__(self, *, alpha: float = 1.0):
        super().__init__(alpha=alpha)

    def __call__(self, x, other, u):
        lam = self.share(u[0])
        return lam * tf.cast(x, tf.float32) + (1 - lam) * tf.cast(other, tf.float32), lam
