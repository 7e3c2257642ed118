"""Eigenvalues and trace of a symmetric matrix that is known by its products with vectors alone.

A matrix H `[P, P]` is a function `product` of a vector `[P]` that returns H v. Vectors and sums are float64,
so that a product in float32 is the only rounding that counts.
"""

import numpy as np

STEPS, TOL = 100, 1e-5


def power(product, size, k, *, seed, steps=STEPS, tol=TOL):
    """The k largest eigenvalues, and their vectors, by power iteration: v <- Hv / ||Hv||, lambda = v.Hv.

    Found vectors are taken out of every product again, which deflates H and undoes rounding at once. What is
    found is largest by magnitude; where that is negative, the iteration is run again on H - lambda I, which
    has no negative eigenvalue left, and lambda is added back. Two eigenvalues of opposite sign and nearly the
    same magnitude, or a change that is small because it is slow, end it too early: `lanczos` has neither
    fault.

    Args:
      product: function of a float64 vector `[P]`, H v.
      size: P.
      k: how many, at most P.
      seed: of the first vectors.
      steps: products for each at most.
      tol: relative change of an eigenvalue at which it counts as found.

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
    order = np.argsort(values)[::-1]  # those close to each other may be found in another order
    return np.array(values)[order], vectors[order]


def lanczos(product, size, k, *, seed, steps=STEPS, tol=TOL):
    """The k largest eigenvalues, and their vectors, by Lanczos' method with full re-orthogonalisation.

    Q'HQ = T is tridiagonal in an orthonormal basis Q of m vectors; the outermost eigenvalues theta of T are
    the first that come near those of H, and beta_m |s_m| bounds how far they are, with s_m the last entry of
    the eigenvector of T. Of an eigenvalue that H has several times, copies after the first may be missed.

    Args:
      product, size, k, seed: as of `power`.
      steps: products at most, m; what is not found by then is given as it is.
      tol: bound, relative to the largest magnitude, at which an eigenvalue counts as found.

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
        exhausted = beta <= 1e-6 * scale  # what is left is rounding
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
      product, size: as of `power`.
      seed: of the vectors.
      probes: how many, at least 2.
    """
    rng = np.random.default_rng(seed)
    signs = (rng.choice([-1.0, 1.0], size) for _ in range(probes))
    draws = [v @ product(v) for v in signs]
    return np.mean(draws), np.std(draws, ddof=1) / np.sqrt(probes)


def _dominant(product, shift, found, rng, steps, tol):
    """The eigenpair of H + shift I with the largest magnitude, orthogonal to the vectors found."""
    v, value = _random(rng, found), np.inf
    for _ in range(steps):
        before, w = value, _without(found, product(v) + shift * v)
        value, length = v @ w, np.linalg.norm(w)
        if length == 0 or abs(value - before) <= tol * abs(value):
            break
        v = w / length
    return value, v


def _random(rng, found):
    """A random vector of length 1, orthogonal to the orthonormal vectors found."""
    v = _without(found, rng.standard_normal(found.shape[1]))
    return v / np.linalg.norm(v)


def _without(found, v):
    """v less its part in the space of the orthonormal vectors found; twice, for what rounding left."""
    for _ in range(2):
        v = v - found.T @ (found @ v)
    return v
