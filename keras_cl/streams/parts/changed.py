"""Streams whose images are changed when a task is opened, by more than a function of the images."""

import dataclasses
import functools

from keras_cl.streams.base import Split, Stream

KEPT = 2**28  # bytes of changed test images that are kept


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Changed(Stream):
    """A stream with a method `changed` for its rows.

    Training rows are changed each time that a task is opened; small test data are changed once, as evaluation
    opens those of T tasks after each of T tasks.
    """

    def unchanged(self, index, part):
        """The `Split` of task `index` before the change of images."""
        return super().split(index, part)

    def changed(self, x, index, rows, part):
        """Images as task `index` shows them.

        Args:
          x: raw images; a `LazyArray` if the changed ones are too large to be read as a whole.
          index: index of the task.
          rows: their indices in the source's arrays, ascending.
          part: "train" or "test", these arrays.
        """
        raise NotImplementedError

    def split(self, index, part):
        plain = self.unchanged(index, part)
        opened = functools.partial(self._opened, plain, index, part)
        return Split(plain.rows, opened, index, functools.partial(opened, unread=True))

    def _opened(self, plain, index, part, unread=False):
        if part == "test" and index in self._kept:
            return self._kept[index]
        x, y = plain.unread() if unread or self.too_large(plain.rows) else plain.open()
        # Validation rows are among those of training, which have their numbers.
        opened = self.changed(x, index, plain.rows, "test" if part == "test" else "train"), y
        if part == "test" and not unread and len(self) * opened[0].nbytes <= KEPT:
            self._kept[index] = opened
        return opened

    @functools.cached_property
    def _kept(self):
        return {}
