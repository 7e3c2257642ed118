"""Frechet distance of two sets of features, each taken for a Gaussian (Dowson and Landau 1982)."""

import numpy as np

from keras_cl.errors import require


def frechet_distance(features, others):
    """||m - m'||^2 + Tr(S + S' - 2 (S S')^{1/2}), with means m and covariances S (divided by n - 1).

    The distance of Heusel et al. 2017 (arXiv:1706.08500), whose features are those of an Inception network.
    It is 0 for equal moments, and biased upwards by small sets: compare it at equal numbers of rows only.

    Args:
      features: float array `[n, F]`, n at least 2.
      others: float array `[m, F]`, m at least 2.
    """
    for rows in (features, others):
        require(len(rows) >= 2, f"A Frechet distance needs 2 rows in each set, and one has {len(rows)}.")
    moments = [_moments(np.asarray(rows, float)) for rows in (features, others)]
    return gaussian_distance(*moments[0], *moments[1])


def gaussian_distance(mean, covariance, other_mean, other_covariance):
    """The same of two Gaussians: means `[F]` and covariances `[F, F]`, which may be singular."""
    root = _root(covariance)
    # (S S')^{1/2} has the trace of (S^{1/2} S' S^{1/2})^{1/2}, which is symmetric: its eigenvalues are real,
    # and those of singular covariances that rounding made negative are zero.
    cross = np.sqrt(np.linalg.eigvalsh(root @ other_covariance @ root).clip(0)).sum()
    away = np.asarray(mean) - other_mean
    distance = away @ away + np.trace(covariance) + np.trace(other_covariance) - 2 * cross
    return max(0.0, float(distance))


def _moments(rows):
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))


def _root(matrix):
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
