"""A labelled image data set, wherever it comes from."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A labelled image data set, read when its arrays are first asked for.

    Attributes:
      name: short name for results.
      input_shape: shape of one raw image, `(height, width, channels)` or `(features,)`.
      classes: original labels, ascending.
      scale: factor that takes raw values to [0, 1] (1/255 for bytes).
      load: reads `((x_train, y_train), (x_test, y_test))`; x `[n, *input_shape]`, y `[n]` of original labels.
    """

    name: str
    input_shape: tuple[int, ...]
    classes: tuple[int, ...]
    scale: float
    load: Callable[[], tuple]

    @functools.cached_property
    def _arrays(self):
        return self.load()

    @property
    def train(self):
        """`(x, y)` of the training rows."""
        return self._arrays[0]

    @property
    def test(self):
        """`(x, y)` of the test rows."""
        return self._arrays[1]

    @property
    def dtype(self):
        """Data type of the raw images, known before they are read: bytes are scaled, floats are not."""
        return np.dtype(np.float32 if self.scale == 1 else np.uint8)


def scale_of(dtype):
    """The factor to [0, 1] for raw images of `dtype`: bytes are divided by 255, floats taken as they are."""
    return 1 / 255 if np.issubdtype(dtype, np.integer) else 1.0
