"""Which rows of a data set belong to a task, and which of them are held out for validation."""

import numpy as np


def of_classes(y, task_classes):
    """The rows of every task, all rows of its classes: list of index arrays, ascending.

    Args:
      y: labels `[n]`.
      task_classes: the labels of every task.
    """
    return [np.flatnonzero(np.isin(y, classes)) for classes in task_classes]


def held_out(y, used, labels, fraction, rng):
    """Boolean array `[n]`: a random `fraction` of the `used` rows of each class, rounded.

    At least one row of a class is left. The choice is made once for all tasks, so that a row which several
    tasks show is held out in all of them or in none.

    Args:
      y: labels `[n]`.
      used: boolean array `[n]`, the rows that any task shows.
      labels: the classes, in the order in which they are drawn.
      fraction: fraction of each class, in [0, 1).
      rng: NumPy generator.
    """
    chosen = np.zeros(len(y), bool)
    for label in labels if fraction else ():
        rows = np.flatnonzero((y == label) & used)
        count = min(round(fraction * len(rows)), max(len(rows) - 1, 0))
        chosen[rng.choice(rows, count, replace=False)] = True
    return chosen
