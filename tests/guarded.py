"""A stream that shows a method nothing but the task it is in."""

from keras_cl.streams.base import Stream


class Guarded(Stream):
    """A stream that shows the training rows of the task `allowed` alone, and no test rows."""

    allowed = 0

    def split(self, index, part):
        assert part == "train" and index == Guarded.allowed, f"the {part} rows of task {index} were read"
        return super().split(index, part)


def guarded(plain):
    """The guarded stream of another, whose tasks have one view each."""
    return Guarded(
        plain.name, plain.scenario, plain.source, plain.task_classes, plain.views, plain.input_shape
    )


def one_by_one(stream):
    """Parts of a guarded stream of one task each, while it shows that task."""
    for task in stream:
        Guarded.allowed = task.index
        yield stream[task.index : task.index + 1]
