"""Cutout: covers a square of each image (DeVries and Taylor 2017, arXiv:1708.04552)."""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.augment.base import Augmentation
from keras_cl.numerics.random import below


class Cutout(Augmentation):
    """Covers a square whose centre is any pixel with equal probability; at an edge a part of it is outside

    Args:
      size: side of the square in pixels; the paper has 16 for CIFAR-10 and 8 for CIFAR-100.
      fill: value of covered pixels, from 0, black, to 1; the paper has the mean of the data set.
    """

    numbers = 2

    def __init__(self, *, size: int = 8, fill: float = 0.0):
        require(size >= 1, f"size is {size}; it must be at least 1.")
        require(0 <= fill <= 1, f"fill is {fill}; it must be at least 0 and at most 1.")
        self.size, self.fill = size, fill

    def require_shape(self, shape):
        height, width = shape[:2]
        require(
            self.size < min(height, width),
            f"cutout covers {self.size} x {self.size} pixels, and the images have {height} x {width}; give a "
            f"smaller --augment.cutout.size.",
        )

    def __call__(self, x, u, top):
        H, W = x.shape[1:3]
        rows, columns = self._covered(H, u[:, 0]), self._covered(W, u[:, 1])
        square = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
        filled = self.fill * top
        return tf.where(square, tf.cast(tf.round(filled) if x.dtype.is_integer else filled, x.dtype), x)

    def _covered(self, length, uniform):
        """Whether each pixel of a line is covered `[N, length]`."""
        first = below(length, uniform)[:, tf.newaxis] - self.size // 2
        place = tf.range(length)
        return (place >= first) & (place < first + self.size)
