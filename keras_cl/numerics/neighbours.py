"""Nearest rows by Euclidean distance."""

import numpy as np

BLOCK = 4000  # rows compared at once


def nearest(x, others, k=1, scale=1.0):
    """The k rows of `others` nearest to each row of `x`: `(distances [n, k], indices [n, k])`, nearest first.

    Args:
      x: array `[n, ...]`.
      others: array `[m, ...]` of rows of the same shape, m at least k.
      k: number of neighbours.
      scale: factor of all entries, so that bytes need not be copied as floats.
    """
    x = _flat(x, scale)
    found = np.full([len(x), 0], np.inf), np.zeros([len(x), 0], int)
    for start in range(0, len(others), BLOCK):
        block = _flat(others[start : start + BLOCK], scale)
        squares = (block**2).sum(axis=1) - 2 * x @ block.T  # and that of x, the same for all
        places = np.broadcast_to(np.arange(start, start + len(block)), squares.shape)
        both = [np.concatenate(parts, axis=1) for parts in zip(found, (squares, places), strict=True)]
        found = _first(*both, k)
    chosen = found[1]
    # Again from differences, so that an equal row is at distance 0.
    near = np.stack([np.linalg.norm(_flat(others[rows], scale) - x, axis=1) for rows in chosen.T], axis=1)
    return _first(near, chosen, k)


def _first(values, places, k):
    """The k smallest values of each row, ascending, and their places."""
    if values.shape[1] > k:
        some = np.argpartition(values, k - 1, axis=1)[:, :k]
        values, places = (np.take_along_axis(part, some, axis=1) for part in (values, places))
    order = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(places, order, axis=1)


def _flat(x, scale):
    return np.asarray(x, np.float32).reshape(len(x), -1) * np.float32(scale)
