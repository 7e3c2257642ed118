"""Sources of images and labels: embedded digits, tensorflow-datasets, or your own arrays."""

from keras_cl.errors import pick
from keras_cl.sources import digits, npz, tfds
from keras_cl.sources.base import Source

__all__ = ["Source", "from_arrays", "source"]


def from_arrays(x_train, y_train, x_test, y_test, name="arrays", signals=False):
    """A `Source` of arrays in memory.

    Args:
      x_train, x_test: images `[n, height, width]` or `[n, height, width, channels]`, volumes `[n, depth,
        height, width, channels]`, signals `[n, steps, 1]` or rows `[n, features]`, bytes (scaled by 1/255) or
        floats (not scaled).
      y_train, y_test: integer labels `[n]`; every test label must occur in training.
      name: name in messages and results.
      signals: whether arrays of three axes are signals `[n, steps, channels]` and no images.

    Raises:
      InputError: names the array and what is wrong with it.
    """
    return npz.checked(name, x_train, y_train, x_test, y_test, signals)


def source(name, *, data_dir="", cache_dir=""):
    """The `Source` called `name`.

    Args:
      name: "digits", a tensorflow-datasets name in `tfds.SHAPES`, or the path of an .npz file; a `Source` is
        returned unchanged.
      data_dir: folder of prepared tensorflow-datasets; empty for the default of that library.
      cache_dir: folder for decoded arrays; empty for `~/.cache/keras_cl`.

    Raises:
      InputError: for an unknown name or an unusable file.
    """
    if isinstance(name, Source):
        return name
    name = str(name)
    if name == "digits":
        return digits.digits()
    if name.endswith(".npz"):
        return npz.npz(name)
    pick("dataset", name, ["digits", *tfds.SHAPES, "path/to/file.npz", "path/to/file.py"])
    return tfds.tfds(name, data_dir=data_dir, cache_dir=cache_dir)
