"""Real images of the tasks seen, with which generated ones are compared."""

import functools

import numpy as np

from keras_cl.numerics.random import QUALITY, seed_of

MOST = 80_000  # rows of all tasks of a stream together


class RealImages:
    """Rows of the tasks of a stream: all of them, or as many of each task as there is room for.

    Each task is opened once. The draw does not depend on the seed of a run.

    Args:
      stream: the `Stream`.
      most: rows that are kept of all tasks together, of each part.
    """

    def __init__(self, stream, most=MOST):
        self.stream, self._share = stream, -(-most // len(stream))
        self._opened = functools.cache(self._open)

    def rows(self, tasks, part):
        """`(x, y)` of the first `tasks` tasks: raw images, and their output units; `part` as in `split`."""
        opened = [self._opened(index, part) for index in range(tasks)]
        return tuple(np.concatenate(arrays) for arrays in zip(*opened, strict=True))

    def balanced(self, tasks, part, count, seed):
        """Images of `count` of these rows, of all if they are fewer: equally many of each output unit where
        there are enough."""
        x, y = self.rows(tasks, part)
        order = np.random.default_rng(seed_of(seed, tasks, QUALITY)).permutation(len(x))
        return x[order[some_of_each(y[order], count)]]

    def test_rows(self, index):
        """`(x, y)` of the test rows of one task."""
        return self._opened(index, "test")

    def _open(self, index, part):
        x, y = self.stream.split(index, part).open()
        if len(x) <= self._share:
            return np.asarray(x), y
        rng = np.random.default_rng(seed_of(0, index, QUALITY))
        chosen = np.sort(rng.choice(len(x), self._share, replace=False))
        return x[chosen], y[chosen]


def some_of_each(labels, count):
    """Places of `count` of the labels `[n]`, fewer if n is, of as many different ones as there are: the first
    of each, then the second of each, until there are enough; sorted by label."""
    order = np.argsort(labels, kind="stable")
    _, first = np.unique(labels[order], return_index=True)
    turn = np.arange(len(labels)) - np.repeat(first, np.diff([*first, len(labels)]))
    return order[np.sort(np.argsort(turn, kind="stable")[:count])]
