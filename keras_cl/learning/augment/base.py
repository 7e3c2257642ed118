"""Base classes of augmentations: random changes of the images of a step, inside the compiled step.

An augmentation is a function of images and of uniform random numbers, which it is given. So it draws nothing
itself, and equals itself on every device, with and without XLA, and after a resumed run.
"""

import numpy as np
import tensorflow as tf
from scipy import special

from keras_cl.errors import require

POINTS = 4096  # at which the quantiles of a distribution are computed; between them they are interpolated


class Augmentation:
    """Base class of augmentations that change each image by itself."""

    numbers = 0  # uniform numbers that it needs for a row, or for a step if it mixes rows
    mixes = False  # whether it mixes each image, and its label, with those of another row of the step
    in_range = False  # whether it takes images for values from 0 to the largest one

    def require_shape(self, shape):
        """Raises `InputError` if it cannot change images of `shape`, `(height, width, channels)`."""

    def __call__(self, x, u, top):
        """Changed images.

        Args:
          x: raw images `[N, height, width, channels]` of any type of number.
          u: uniform numbers above 0 and below 1, `[N, numbers]` float32.
          top: largest value of an image: 255 for bytes.
        """
        raise NotImplementedError(f"{type(self).__name__} changes no images")


class Mixing(Augmentation):
    """Base class of augmentations that mix pairs of images: the loss is lam CE(y) + (1 - lam) CE(y').

    y' is the label of the other image. lam is drawn once for each step from Beta(alpha, alpha), as in the
    released code of both papers.

    Args:
      alpha: shape of the distribution of lam: 1, uniform; less, mostly near 0 or 1; more, mostly near 1/2.
    """

    mixes = True

    def __init__(self, *, alpha: float = 1.0):
        require(alpha > 0, f"alpha is {alpha}; it must be above 0.")
        self.alpha = alpha
        self._quantiles = special.betaincinv(alpha, alpha, np.linspace(0, 1, POINTS + 1)).astype(np.float32)

    def share(self, uniform):
        """lam, from a uniform number."""
        place = uniform * POINTS
        before = tf.minimum(tf.cast(place, tf.int32), POINTS - 1)
        low, high = (tf.gather(self._quantiles, before + step) for step in (0, 1))
        return low + (place - tf.cast(before, tf.float32)) * (high - low)

    def __call__(self, x, other, u):
        """`(mixed images, share of each image's own label)`.

        Args:
          x: raw images `[N, height, width, channels]`.
          other: the image that each is mixed with.
          u: uniform numbers for the step, `[numbers]`.
        """
        raise NotImplementedError(f"{type(self).__name__} mixes no images")
