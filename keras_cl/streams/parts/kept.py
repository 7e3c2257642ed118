"""Test images as the tasks of a stream show them, kept from one evaluation to the next."""

MOST = 2**28  # bytes of the test images of all tasks


class Kept:
    """Opened test rows by task, as long as their stream is there; read-only, as evaluations share them.

    Evaluation opens those of T tasks after each of T tasks; for a small network it takes a tenth more time if
    images are permuted anew.

    Args:
      tasks: number of tasks of the stream.
    """

    def __init__(self, tasks):
        self._tasks, self._opened = tasks, {}

    def get(self, index):
        """`(x, y)` of the task; None if they are not kept."""
        return self._opened.get(index)

    def take(self, index, x, y):
        """Keeps images and output units of a task, if as many of all tasks take at most `MOST` bytes."""
        if self._tasks * x.nbytes <= MOST:
            x.setflags(write=False)
            y.setflags(write=False)
            self._opened[index] = x, y
