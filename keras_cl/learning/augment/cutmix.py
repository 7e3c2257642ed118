"""CutMix: replaces a box of each image by that of another image (Yun et al. 2019, arXiv:1905.04899)."""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.augment.base import Mixing


class CutMix(Mixing):
    """Pastes a box of relative area 1 - lam of a random other row of the step; the labels by their pixels

    All images of a step have the same box. It is cut at the edges, and the share of the own label is that of
    the pixels that are left.

    Args:
      alpha: lam is drawn from Beta(alpha, alpha) once a step: 1, uniform; less, mostly near 0 or 1.
      probability: probability that the images of a step are mixed at all; the released code has 0.5 for
        CIFAR.
    """

    numbers = 4

    def __init__(self, *, alpha: float = 1.0, probability: float = 0.5):
        super().__init__(alpha=alpha)
        require(0 < probability <= 1, f"probability is {probability}; it must be above 0 and at most 1.")
        self.probability = probability

    def __call__(self, x, other, u):
        side = tf.sqrt(1 - self.share(u[1]))
        side = tf.where(u[0] < self.probability, side, 0.0)
        rows, columns = (_inside(length, side, u[2 + axis]) for axis, length in enumerate(x.shape[1:3]))
        box = rows[:, tf.newaxis] & columns
        mixed = tf.where(box[..., tf.newaxis], other, x)
        return mixed, 1 - tf.reduce_mean(tf.cast(box, tf.float32))


def _inside(length, side, middle):
    """Whether each pixel of a line is in the box `[length]`, which is `side` times as long."""
    half = tf.floor(tf.floor(length * side) / 2)
    middle, place = tf.floor(middle * length), tf.range(length, dtype=tf.float32)
    return (place >= middle - half) & (place < middle + half)
