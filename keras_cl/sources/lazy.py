"""Images that are read when rows of them are asked for: what a task is opened as that memory should not hold.

`x[rows]` is a NumPy array, as of a data set of HDF5. What chooses rows, changes images or puts arrays one
after the other before that reads nothing: `selected`, `mapped`, `joined`.
"""

import numpy as np

from keras_cl.errors import require
from keras_cl.sources.ahead import reader

BLOCK = 16 * 2**20  # bytes that are read at once where all rows are gone through


class LazyArray:
    """Images `[n, ...]` of which a block at a time is in memory.

    `np.asarray(x)` reads all of them.

    Args:
      read: function of row numbers `[m]` that returns the images of these rows `[m, ...]`.
      rows: the numbers of the rows, in their order.
      shape: shape of an image.
      dtype: data type of the images.
    """

    def __init__(self, read, rows, shape, dtype):
        self.read, self.rows = read, np.asarray(rows)
        self.shape, self.dtype = (len(self.rows), *shape), np.dtype(dtype)

    @classmethod
    def of(cls, base, rows, view, shape):
        """Rows of an array, which can be mapped from a file.

        Args:
          base: array `[N, ...]`.
          rows: row numbers `[n]` in it.
          view: function from a block of its images to as many of the given `shape`, each by itself.
          shape: shape of an image after the view.
        """
        read = reader(base)
        return cls(lambda numbers: view(read(numbers)), rows, shape, base.dtype)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def nbytes(self):
        """Bytes of all images, if they were read."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<LazyArray of the shape {self.shape}, {self.dtype}>"

    def __getitem__(self, rows):
        """NumPy array of some images: `rows` is a number, a slice, a mask or numbers in an array."""
        require(
            not isinstance(rows, tuple),
            "A LazyArray gives whole images: x[rows]; np.asarray(x) reads all of them.",
        )
        numbers = self.rows[rows]
        return self.read(numbers.reshape(-1)).reshape(*numbers.shape, *self.shape[1:])

    def __array__(self, dtype=None, copy=None):
        require(copy is not False, "The images of a LazyArray are read: there is no array without a copy.")
        found = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for rows in blocks(self):
            found[rows] = self[rows]
        return found


def blocks(x):
    """Slices of the rows of images `x`, of about `BLOCK` bytes each."""
    size = max(1, BLOCK * len(x) // max(1, x.nbytes))
    return (slice(start, start + size) for start in range(0, len(x), size))


def images_of(x):
    """Images that a user gave: a `LazyArray` as it is, everything else as a NumPy array."""
    return x if isinstance(x, LazyArray) else np.asarray(x)


def selected(x, rows):
    """`x[rows]`, of which nothing is read if `x` is a `LazyArray`."""
    if isinstance(x, LazyArray):
        return LazyArray(x.read, x.rows[rows], x.shape[1:], x.dtype)
    return x[rows]


def mapped(x, view, shape, dtype):
    """`view(x)`, block by block when it is read.

    Args:
      x: a `LazyArray`.
      view: function from a block of images to as many others, each by itself.
      shape, dtype: of an image after the view.
    """
    return LazyArray(lambda numbers: view(x.read(numbers)), x.rows, shape, dtype)


def joined(arrays):
    """The arrays one after the other; a `LazyArray` if one of them is."""
    arrays = list(arrays)
    if not any(isinstance(part, LazyArray) for part in arrays):
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    ends = np.cumsum([len(part) for part in arrays])
    dtype = np.result_type(*[part.dtype for part in arrays])

    def read(numbers):
        found, place = np.empty((len(numbers), *shape), dtype), np.searchsorted(ends, numbers, "right")
        for part in np.unique(place):
            here = np.flatnonzero(place == part)
            found[here] = arrays[part][numbers[here] - ends[part] + len(arrays[part])]
        return found

    shape = arrays[0].shape[1:]
    return LazyArray(read, np.arange(ends[-1]), shape, dtype)


def extremes(x):
    """The lowest and the highest value of images `x`, in one pass by blocks."""
    found = [(block.min(), block.max()) for block in (x[rows] for rows in blocks(x))]
    lows, highs = zip(*found, strict=True)
    return float(np.min(lows)), float(np.max(highs))
