"""A labelled image data set from any source."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A labelled image data set, loaded when its arrays are first used.

    Attributes:
      name: short name for results.
      input_shape: shape of one raw image, `(height, width, channels)`, `(steps, channels)` or `(features,)`.
      classes: original labels, ascending.
      scale: factor from raw values to [0, 1] (1/255 for bytes).
      load: returns `((x_train, y_train), (x_test, y_test))`; x `[n, *input_shape]`, y `[n]` of original
        labels.
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
        """Data type of the raw images, known before they are loaded: bytes are scaled, floats are not."""
        return np.dtype(np.float32 if self.scale == 1 else np.uint8)


def scale_of(dtype):
    """The factor from raw images of `dtype` to [0, 1]: 1/255 for bytes, 1 for floats."""
    return 1 / 255 if np.issubdtype(dtype, np.integer) else 1.0
