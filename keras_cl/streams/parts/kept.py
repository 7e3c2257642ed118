"""Test images as the tasks of a stream show them, kept from one evaluation to the next."""

import numpy as np

MOST = 2**28  # bytes of the test images of all tasks


class Kept:
    """Opened test rows by task, as long as their stream is there; read-only, as evaluations share them.

    Evaluation opens those of T tasks after each of T tasks, and permuting
    images anew counts beside a small network.

    Args:
      tasks: number of tasks of the stream.
    """

    def __init__(self, tasks):
        self._tasks, self._opened = tasks, {}

    def get(self, index, part):
        """`(x, y)` of the part "train", "valid" or "test" of a task; None if they are not kept."""
        return self._opened.get(index) if part == "test" else None

    def taken(self, index, part, raw, x, y):
        """`(x, y)`, images and output units of a part of a task; kept if they are test rows, the images are
        not the `raw` ones themselves, and as many of all tasks take at most `MOST` bytes."""
        few = self._tasks * x.nbytes <= MOST
        if part == "test" and few and not np.may_share_memory(x, raw):
            x.setflags(write=False)
            y.setflags(write=False)
            self._opened[index] = x, y
        return x, y
