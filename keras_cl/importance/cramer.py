"""Sliced Cramer distance between two sets of points, and directions to slice along.

Kolouri et al. 2020 (ICLR, openreview BJge3TNKwH).
"""

import numpy as np


def cramer_1d(u, v):
    """Cramer distance int (F_u - F_v)^2 dt between two samples of numbers.

    Args:
      u, v: arrays `[n]` and `[m]`; F_u and F_v are their empirical distribution functions.
    """
    u, v = np.sort(u), np.sort(v)
    t = np.sort(np.concatenate([u, v]))
    F_u, F_v = (np.searchsorted(sample, t[:-1], side="right") / len(sample) for sample in (u, v))
    return float(np.sum((F_u - F_v) ** 2 * np.diff(t)))


def sliced_cramer(U, V, slices):
    """Mean Cramer distance between two sets of points projected on the given directions.

    Args:
      U, V: arrays `[n, K]` and `[m, K]`.
      slices: unit vectors `[L, K]`, see `on_sphere`.
    """
    return float(np.mean([cramer_1d(U @ xi, V @ xi) for xi in slices]))


def on_sphere(count, size, rng):
    """`count` directions `[count, size]`, uniform on the unit sphere."""
    xi = rng.standard_normal((count, size))
    return xi / np.linalg.norm(xi, axis=1, keepdims=True)


def directions(mask, slices, rng):
    """Directions D `[r, C]` with sum_j (D_j . a)^2 = mean over slices of (xi . a)^2 for all vectors a.

    There are at most as many as active classes, however many slices there are: a mean of squares along slices
    is a quadratic form, and a quadratic form has as many axes as dimensions.

    Args:
      mask: bool `[C]`, the active classes.
      slices: number of random slices, or 0 for their expectation, in which (xi . a)^2 is |a|^2 / K.
      rng: NumPy random generator.
    """
    active = np.flatnonzero(mask)
    K = len(active)
    if not slices:
        own = np.eye(K) / np.sqrt(K)  # E xi xi^T = I / K
    else:
        own = on_sphere(slices, K, rng) / np.sqrt(slices)
        if slices > K:
            squares, axes = np.linalg.eigh(own.T @ own)
            own = np.sqrt(np.maximum(squares, 0))[:, np.newaxis] * axes.T
    D = np.zeros((len(own), len(mask)), np.float32)
    D[:, active] = own
    return D
