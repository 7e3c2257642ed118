"""Eigenvalues and trace of a symmetric matrix that is known only by its products with vectors.

A matrix H `[P, P]` is a function `product` of a vector `[P]` that returns H v. Vectors and sums are float64,
so that a float32 product is the only relevant rounding.
"""

import numpy as np

STEPS, TOL = 100, 1e-5


def power(product, size, k, *, seed, steps=STEPS, tol=TOL):
    """The k largest eigenvalues and their eigenvectors, by power iteration: v <- Hv / ||Hv||, lambda = v.Hv.

    Eigenvectors that were found are projected out of every product, which deflates H and removes rounding
    errors. The iteration finds the eigenvalue of largest magnitude. If it is negative, the iteration runs
    again on H - lambda I, which has no negative eigenvalue left, and lambda is added back. The iteration
    stops too early if two eigenvalues have opposite signs and nearly the same magnitude, or if it converges
    slowly; `lanczos` has neither problem.

    Args:
      product: function of a float64 vector `[P]`, H v.
      size: P.
      k: number of eigenvalues, at most P.
      seed: seed of the initial vectors.
      steps: largest number of products per eigenvalue.
      tol: relative change at which an eigenvalue has converged.

    Returns:
      `(values [k], vectors [k, P])`, the largest one first.
    """
    rng = np.random.default_rng(seed)
    values, vectors, shift = [], np.empty((0, size)), 0.0
    for _ in range(k):
        value, vector = _dominant(product, shift, vectors, rng, steps, tol)
        if value < 0:
            shift -= value
            value, vector = _dominant(product, shift, vectors, rng, steps, tol)
        values.append(value - shift)
        vectors = np.vstack([vectors, vector])
    order = np.argsort(values)[::-1]  # close eigenvalues may be found out of order
    return np.array(values)[order], vectors[order]


def lanczos(product, size, k, *, seed, steps=STEPS, tol=TOL):
    """The k largest eigenvalues and their eigenvectors, by Lanczos with full re-orthogonalisation.

    Q'HQ = T is tridiagonal in an orthonormal basis Q of m vectors. The outermost eigenvalues theta of T
    converge first to those of H, and beta_m |s_m| bounds their error, with s_m the last entry of the
    eigenvector of T. If H has an eigenvalue several times, copies after the first may be missed.

    Args:
      product, size, k, seed: as in `power`.
      steps: largest number of products, m; values that have not converged by then are returned as they are.
      tol: error bound, relative to the largest magnitude, at which an eigenvalue has converged.

    Returns:
      `(values [k], vectors [k, P])`, the largest one first.
    """
    rng = np.random.default_rng(seed)
    m = min(max(steps, k), size)
    Q, T = np.zeros((m, size)), np.zeros((m, m))
    q = _random(rng, Q[:0])
    for j in range(m):
        Q[j] = q
        w = product(q)
        T[j, j] = q @ w
        w = _without(Q[: j + 1], w)
        theta, S = np.linalg.eigh(T[: j + 1, : j + 1])
        scale, beta = np.abs(theta).max(), np.linalg.norm(w)
        exhausted = beta <= 1e-6 * scale  # only rounding is left
        if j + 1 >= k and not exhausted and np.all(beta * np.abs(S[-1, -k:]) <= tol * scale):
            break
        if j + 1 < m:
            q = _random(rng, Q[: j + 1]) if exhausted else w / beta
            T[j, j + 1] = T[j + 1, j] = 0.0 if exhausted else beta
    best = slice(None, -k - 1, -1)
    return theta[best], S[:, best].T @ Q[: len(theta)]


def trace(product, size, *, seed, probes):
    """Mean of v.Hv over random v with entries -1 and 1 (Hutchinson 1989), and its standard error.

    Args:
      product, size: as in `power`.
      seed: seed of the vectors.
      probes: number of vectors, at least 2.
    """
    rng = np.random.default_rng(seed)
    signs = (rng.choice([-1.0, 1.0], size) for _ in range(probes))
    draws = [v @ product(v) for v in signs]
    return np.mean(draws), np.std(draws, ddof=1) / np.sqrt(probes)


def _dominant(product, shift, found, rng, steps, tol):
    """The eigenpair of H + shift I with the largest magnitude, orthogonal to the vectors in `found`."""
    v, value = _random(rng, found), np.inf
    for _ in range(steps):
        before, w = value, _without(found, product(v) + shift * v)
        value, length = v @ w, np.linalg.norm(w)
        if length == 0 or abs(value - before) <= tol * abs(value):
            break
        v = w / length
    return value, v


def _random(rng, found):
    """A random vector of length 1, orthogonal to the orthonormal vectors in `found`."""
    v = _without(found, rng.standard_normal(found.shape[1]))
    return v / np.linalg.norm(v)


def _without(found, v):
    """v minus its projection on the orthonormal vectors in `found`; twice, because of rounding."""
    for _ in range(2):
        v = v - found.T @ (found @ v)
    return v
