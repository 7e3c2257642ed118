"""Estimate of the time that is left, from the training steps and the pauses between tasks so far."""

import time

import numpy as np


class Remaining:
    """Seconds that are left of several tasks, of this run and of runs after it.

    The compilation is not counted: the first task is measured from the end of its first chunk of steps. What
    follows a task, such as importances, evaluation and export, is counted from the second task on.

    Args:
      sizes: amount of training of each task to come, in any unit.
      clock: function that returns seconds.
    """

    def __init__(self, sizes, clock=time.monotonic):
        self.sizes, self._clock = list(sizes), clock
        self._task, self._fraction = -1, 0.0
        self._units = self._seconds = 0.0
        self._mark = self._ended = None
        self._pauses = []

    def begin(self):
        """Training on the next task begins."""
        now = self._clock()
        if self._ended is not None:
            self._pauses.append(now - self._ended)
        self._task, self._fraction = self._task + 1, 0.0
        self._mark = now if self._task else None

    def reach(self, fraction):
        """A fraction of the training on the task is done."""
        now = self._clock()
        if self._mark is not None:
            self._seconds += now - self._mark
            self._units += (fraction - self._fraction) * self.sizes[self._task]
        self._mark, self._fraction = now, fraction

    def end(self):
        """Training on the task has ended."""
        self._ended, self._fraction = self._clock(), 1.0

    @property
    def done(self):
        """Amount of training that is done."""
        if self._task < 0:
            return 0.0
        return sum(self.sizes[: self._task]) + self._fraction * self.sizes[self._task]

    @property
    def seconds(self):
        """Seconds that are left; None if nothing was measured yet."""
        units = sum(self.sizes) - self.done
        if units > 0 and not self._units:
            return None
        pauses = (len(self.sizes) - 1 - self._task) * (np.mean(self._pauses) if self._pauses else 0.0)
        return (units * self._seconds / self._units if units > 0 else 0.0) + pauses


def told(seconds):
    """A number of seconds as text; empty if it is not known."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit} left"
    return f"about {seconds:.0f} s left"
