"""Crop: shifts an image by a few pixels in each direction; what comes in from outside is black."""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.augment.base import Augmentation
from keras_cl.numerics.random import below


class Crop(Augmentation):
    """Pads an image with zeros and cuts out a part of its old size, every place with equal probability

    Args:
      padding: pixels that are added at each edge; an image is shifted by at most as many.
    """

    numbers = 2

    def __init__(self, *, padding: int = 4):
        require(padding >= 1, f"padding is {padding}; it must be at least 1.")
        self.padding = padding

    def __call__(self, x, u, top):
        H, W = x.shape[1:3]
        edges = [self.padding, self.padding]
        first = below(2 * self.padding + 1, u)[:, tf.newaxis]
        rows, columns = first[..., 0] + tf.range(H), first[..., 1] + tf.range(W)
        x = tf.gather(tf.pad(x, [[0, 0], edges, edges, [0, 0]]), rows, axis=1, batch_dims=1)
        return tf.gather(x, columns, axis=2, batch_dims=1)
