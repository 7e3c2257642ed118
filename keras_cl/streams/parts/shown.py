"""What streams, tasks and slices of a stream say about themselves."""

from collections.abc import Sequence

SHOWN = 5  # classes and tasks that a representation lists


def said(classes):
    """Some class labels in few words."""
    more = f" ({len(classes)} of them)" if len(classes) > SHOWN else ""
    return f"{'class' if len(classes) == 1 else 'classes'} {listed(classes)}{more}"


def listed(values):
    """The first of some values, separated by commas."""
    return ", ".join(map(str, values[:SHOWN])) + (", ..." if len(values) > SHOWN else "")


def counted(number, thing):
    return f"{number} {thing}{'' if number == 1 else 's'}"


class Part(Sequence):
    """Some tasks of a stream, in order; each keeps its index in the stream."""

    def __init__(self, stream, indices):
        self._stream, self._indices = stream, indices

    def __len__(self):
        return len(self._indices)

    def __repr__(self):
        numbers = listed([index + 1 for index in self._indices])
        return f"<{counted(len(self), 'task')} of {self._stream.name}: {numbers or 'none'}>"

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Part(self._stream, self._indices[index])
        return self._stream[self._indices[index]]
