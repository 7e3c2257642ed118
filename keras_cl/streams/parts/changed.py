"""Streams whose images are changed when a task is opened, by more than a function of the images."""

import dataclasses
import functools

from keras_cl.streams.base import Split, Stream
from keras_cl.streams.parts.kept import Kept


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Changed(Stream):
    """A stream with a method `changed` for its rows: training rows are changed each time that a task is
    opened, small test data once (see `Kept`)."""

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
        if not unread and (kept := self._kept_changes.get(index, part)):
            return kept
        lazy = unread or self.too_large(plain.rows)
        x, y = plain.unread() if lazy else plain.open()
        # Validation rows are among those of training, which have their numbers.
        shown = self.changed(x, index, plain.rows, "test" if part == "test" else "train")
        return (shown, y) if lazy else self._kept_changes.taken(index, part, x, shown, y)

    @functools.cached_property
    def _kept_changes(self):
        return Kept(len(self))
