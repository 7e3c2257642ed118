"""Colour jitter: changes brightness, contrast and saturation of each image at random.

As torchvision's ColorJitter, which SimCLR takes (Chen et al. 2020, arXiv:2002.05709), but always in this
order, and without hue.
"""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.augment.base import Augmentation

GREY = (0.2989, 0.587, 0.114)  # shares of red, green and blue


class Jitter(Augmentation):
    """x -> clip(b x), then clip(m + c (x - m)), then clip(g + s (x - g))

    m is the mean of the grey image g. b, c and s are uniform from 1 - the option, at least 0, to 1 + the
    option; an option of 0 changes nothing. Values stay between 0 and the largest one of the data set. A grey
    image has no saturation.

    Args:
      brightness: largest change of the factor of all values.
      contrast: largest change of the factor of differences from the mean.
      saturation: largest change of the factor of differences from grey.
    """

    numbers = 3
    in_range = True

    def __init__(self, *, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4):
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            require(value >= 0, f"{name} is {value}; it must not be negative.")
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation

    def require_shape(self, shape):
        require(
            shape[-1] in (1, 3),
            f"jitter is for grey images and for red, green and blue; these images have {shape[-1]} channels.",
        )

    def __call__(self, x, u, top):
        changes = tf.constant([self.brightness, self.contrast, self.saturation])
        low, high = tf.maximum(1 - changes, 0.0), 1 + changes
        factors = (low + u * (high - low))[:, tf.newaxis, tf.newaxis]
        b, c, s = (factors[..., place : place + 1] for place in range(3))
        x = tf.clip_by_value(tf.cast(x, tf.float32) * b, 0.0, top)
        mean = tf.reduce_mean(_grey(x), axis=[1, 2], keepdims=True)
        x = tf.clip_by_value(mean + c * (x - mean), 0.0, top)
        grey = _grey(x)
        return x if x.shape[-1] == 1 else tf.clip_by_value(grey + s * (x - grey), 0.0, top)


def _grey(x):
    return x if x.shape[-1] == 1 else tf.reduce_sum(x * tf.constant(GREY), axis=-1, keepdims=True)
