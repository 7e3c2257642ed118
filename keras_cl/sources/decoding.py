"""Decodes the stored images of a data set in batches, so that memory stays bounded."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.sources.images import batch_rows, fitted
from keras_cl.sources.reading import Reading

DAMAGED = "is no image that can be decoded"
MOST_ROWS = 1024  # decoded at a time


@dataclasses.dataclass(frozen=True)
class Rows:
    """The images of one part of a data set, as they are stored.

    Attributes:
      name: what they are, in messages.
      encoded: function that returns a `tf.data.Dataset` of `(content of an image file, label)`.
      where: function of the number of a row that returns its name for messages.
      count: number of rows.
      shape: that of the images, once they are decoded as `reading` asks for.
      channels: of the images as they are decoded; 0 for those that the file has.
      reading: the options.
      progress: the `Progress` that shows how far it is; None for none.
      exact: whether `count` is no estimate.
    """

    name: str
    encoded: Callable
    where: Callable[[int], str]
    count: int
    shape: tuple[int, int, int]
    reading: Reading
    channels: int = 0
    progress: object = None
    exact: bool = True

    def decoded(self, left_out):
        """Yields arrays `(x [n, *shape] uint8, y [n] int32)` of the rows in their order.

        Args:
          left_out: list to which the names of rows are added that cannot be decoded and are left out.

        Raises:
          InputError: for a row that cannot be decoded, unless they are left out, or has another shape.
        """
        if self.progress is None:
            yield from self._decoded(left_out, lambda amount: None)
            return
        with self.progress.phase(f"decoding of {self.name}", self.count) as advance:
            yield from self._decoded(left_out, advance)

    def _decoded(self, left_out, advance):
        following, rows = 0, 0
        for index, images, alike, shapes, labels in self._batches():
            self._miss(np.setdiff1d(np.arange(following, index[-1] + 1), index), left_out)
            if not alike.all():
                first = np.flatnonzero(~alike)[0]
                raise InputError(self._unlike(self.where(int(index[first])), tuple(shapes[first].tolist())))
            advance(int(index[-1]) + 1 - following)
            following, rows = int(index[-1]) + 1, rows + len(index)
            yield images, labels.astype(np.int32)
        if self.exact:
            self._miss(range(following, self.count), left_out)
        require(rows, f"There is nothing in {self.name}.")

    def _batches(self):
        """Yields `(numbers of the rows, images, whether their shapes are right, their shapes, labels)`.

        Rows that cannot be decoded are passed over, which costs time, and begins where one is met.
        """
        import tensorflow as tf

        following = 0
        for passing_over in (False, True):
            try:
                for batch in self._pipeline(following, passing_over).as_numpy_iterator():
                    yield batch
                    following = int(batch[0][-1]) + 1
                return
            except tf.errors.OpError as error:
                if passing_over:  # no row but the file
                    reason = f"{type(error).__name__}: {error.message.splitlines()[0].rstrip('.'):.200}"
                    raise InputError(f"{self.name} cannot be read: {reason}.") from error

    def _pipeline(self, first, passing_over):
        """Data set of what `_batches` yields, from a row on."""
        import tensorflow as tf

        def decode(index, row):
            image = tf.io.decode_image(row[0], self.channels, expand_animations=False)
            found = tf.shape(image)
            image = fitted(image, self.reading)
            alike = tf.reduce_all(tf.shape(image) == self.shape)
            image = tf.cond(alike, lambda: image, lambda: tf.zeros(self.shape, tf.uint8))
            return index, tf.ensure_shape(image, self.shape), alike, found, row[1]

        rows = min(MOST_ROWS, batch_rows(self.shape))
        with tf.device("CPU:0"):
            data = self.encoded().enumerate().skip(first)
            if passing_over:
                # Errors of the reader are none of the image, and come again and again.
                data = data.flat_map(
                    lambda *row: tf.data.Dataset.from_tensors(row).map(decode).ignore_errors()
                )
            else:
                data = data.map(decode, tf.data.AUTOTUNE, deterministic=True)
            return data.batch(rows).prefetch(1)

    def _miss(self, missing, left_out):
        """Leaves rows out, or refuses to."""
        if len(missing) and not self.reading.skip_damaged:
            first = self.where(int(missing[0]))
            raise InputError(f"{first} {DAMAGED}; --skip_damaged leaves such images out.")
        left_out += [self.where(int(index)) for index in missing]

    def _unlike(self, name, shape):
        """A message about an image of another shape."""
        if self.reading.resizing == "pad":
            return f"{name} has {_size(shape)}: --resizing=pad makes no image smaller; give another resizing."
        if not self.reading.size and shape[:2] != self.shape[:2]:
            said = f"{name} has {_size(shape)} and others have {_size(self.shape)}"
            return f"{said}; give --image_size=32 or another size for all."
        said = f"{name} has {_channels(shape)} and others have {_channels(self.shape)}"
        return f"{said}; give --color_mode=grayscale or rgb for all."


def require_classes(name, arrays, count, names=()):
    """Raises `InputError` unless the training and the test rows of a data set have the same classes.

    A class without any rows is none of them: the task that has it says so.

    Args:
      name: of the data set.
      arrays: `((x_train, y_train), (x_test, y_test))`.
      count: number of classes, which have the labels from 0 on.
      names: of the classes, if they have names.
    """
    counts = [np.bincount(y, minlength=count) for _, y in arrays]
    for here, there, said in ((0, 1, "test"), (1, 0, "training")):
        missing = np.flatnonzero((counts[here] > 0) & (counts[there] == 0)).tolist()
        told = [f"{label} ({names[label]})" if names else str(label) for label in missing[:3]]
        require(
            not missing, f"{name} has no {said} rows of {len(missing)} of its classes: {', '.join(told)}."
        )


def first_shape(contents, reading):
    """Shape `(height, width, channels)` of the first image that can be decoded among the contents of files,
    as it is after `reading`; None if none can."""
    import tensorflow as tf

    for content in contents:
        try:
            with tf.device("CPU:0"):
                image = tf.io.decode_image(content, expand_animations=False)
                return tuple(fitted(image, reading).shape)
        except tf.errors.OpError:
            continue
    return None


def _size(shape):
    return f"{shape[0]}x{shape[1]} pixels"


def _channels(shape):
    return {1: "grey pixels", 2: "grey pixels with alpha", 3: "colours"}.get(shape[2], "colours with alpha")
