"""A labelled image data set from any source."""

import dataclasses
from collections.abc import Callable

from keras_cl.errors import require


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A labelled image data set, loaded when its arrays are first used.

    Attributes:
      name: short name for results.
      input_shape: shape of one raw image, `(height, width, channels)`, `(steps, channels)` or `(features,)`.
      classes: original labels, ascending.
      scale: factor from raw values to [0, 1] (1/255 for bytes).
      load: returns `((x_train, y_train), (x_test, y_test))`; x `[n, *input_shape]`, y `[n]` of original
        labels. The arrays can be read-only, and large ones can be mapped from a file.
      class_names: a name for each of `classes`, if they have names, else ().
      shows_progress: whether `load` takes a `Progress` that shows how far it is.
    """

    name: str
    input_shape: tuple[int, ...]
    classes: tuple[int, ...]
    scale: float
    load: Callable[..., tuple]
    class_names: tuple[str, ...] = ()
    shows_progress: bool = False

    def read(self, progress=None):
        """The arrays, as `load` returns them; loaded in the first call.

        Args:
          progress: a `Progress` (see `keras_cl.learning.progress`) that shows how far it is; None for none.
        """
        if "_arrays" not in vars(self):
            arrays = self.load(progress) if self.shows_progress else self.load()
            object.__setattr__(self, "_arrays", arrays)
        return vars(self)["_arrays"]

    @property
    def train(self):
        """`(x, y)` of the training rows."""
        return self.read()[0]

    @property
    def test(self):
        """`(x, y)` of the test rows."""
        return self.read()[1]

    @property
    def dtype(self):
        """Data type of the raw images, known before they are loaded: bytes are scaled, floats are not."""
        import numpy as np  # here, so that `--help` does not wait for it

        return np.dtype(np.float32 if self.scale == 1 else np.uint8)

    def require_pixels(self, what, x=None):
        """Raises `InputError` unless images are pixels, which are from 0 to 1 when they are scaled.

        Args:
          what: what needs pixels, the beginning of the message.
          x: the images in question; None for those of training, of which bytes are not read.
        """
        if (x is None and self.scale == 1 / 255) or (x is not None and not len(x)):
            return
        from keras_cl.sources.lazy import extremes  # here, as below

        low, high = (value * self.scale for value in extremes(self.train[0] if x is None else x))
        require(
            low >= 0 and high <= 1 + 1e-6,
            f"{what}, and those of {self.name} go from {low:g} to {high:g}; scale them first.",
        )


def scale_of(dtype):
    """The factor from raw images of `dtype` to [0, 1]: 1/255 for bytes, 1 for floats."""
    import numpy as np

    return 1 / 255 if np.issubdtype(dtype, np.integer) else 1.0
