"""Non-negative least squares: against scipy, by its optimality conditions, where columns depend on others."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import nnls

from keras_cl.numerics.nnls import nnls_gram

SIZES = range(1, 21)
COMPILED = (1, 2, 3, 5, 8, 13, 20)  # of these, for XLA compiles every size anew
MODES = ("eager", "graph", "xla")


@functools.cache
def solver(mode, t):
    if mode == "eager":
        return nnls_gram
    signature = [
        tf.TensorSpec([t, t], tf.float64),
        tf.TensorSpec([t], tf.float64),
        tf.TensorSpec([t], tf.bool),
    ]
    return tf.function(nnls_gram, input_signature=signature, jit_compile=mode == "xla")


def solved(A, b, mode="graph", active=None):
    t = A.shape[1]
    active = np.ones(t, bool) if active is None else active
    return solver(mode, t)(*map(tf.constant, (A.T @ A, -A.T @ b, active))).numpy()


def gauss(rng, A, b):
    return A, b


def cone(rng, A, b):
    """All columns in one orthant, so that many are needed and many are left out again."""
    A = np.abs(A)
    return A, A @ np.abs(rng.normal(size=A.shape[1])) + 0.1 * b


def scales(rng, A, b):
    return A * 10.0 ** rng.uniform(-8, 8, A.shape[1]), b


def low_rank(rng, A, b):
    k = max(1, A.shape[1] // 3)
    return A[:, :k] @ rng.normal(size=(k, A.shape[1])), b


def repeated(rng, A, b):
    return A[:, rng.integers(0, A.shape[1], A.shape[1])], b


def opposed(rng, A, b):
    half = A.shape[1] // 2
    A[:, half : 2 * half] = -A[:, :half]
    return A, b


def zeros(rng, A, b):
    A[:, rng.random(A.shape[1]) < 0.5] = 0
    return A, b


def integers(rng, A, b):
    """Ties and exact dependences."""
    return rng.integers(-1, 2, A.shape).astype(float), rng.integers(-1, 2, len(b)).astype(float)


UNIQUE = [gauss, cone, scales]
DEGENERATE = [low_rank, repeated, opposed, zeros, integers]


def problem(family, t, seed):
    rng = np.random.default_rng([t, seed])
    n = 2 * t + 3
    return family(rng, rng.normal(size=(n, t)), rng.normal(size=n))


@pytest.mark.parametrize("mode", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", UNIQUE + DEGENERATE, ids=lambda family: family.__name__)
def test_it_is_what_scipy_finds(family, mode):
    for t in COMPILED if mode == "xla" else SIZES:
        for seed in range(5):
            A, b = problem(family, t, seed)
            u, (expected, _) = solved(A, b, mode), nnls(A, b)
            assert (u >= 0).all()
            # The minimum is one point A u, of one or several u.
            np.testing.assert_allclose(A @ u, A @ expected, rtol=0, atol=1e-13 * (1 + np.linalg.norm(b)))
            if family in UNIQUE:
                length = np.linalg.norm(A, axis=0)
                np.testing.assert_allclose(u * length, expected * length, rtol=1e-11, atol=1e-11)
                np.testing.assert_array_equal(u > 0, expected > 0)


@pytest.mark.parametrize("family", UNIQUE + DEGENERATE, ids=lambda family: family.__name__)
def test_the_optimality_conditions_hold(family):
    for t in SIZES:
        for seed in range(5, 10):
            A, b = problem(family, t, seed)
            u = solved(A, b)
            length = np.maximum(np.linalg.norm(A, axis=0), 1e-300)
            w = A.T @ (b - A @ u) / length / (1 + np.linalg.norm(b))  # along columns of length 1
            assert (u >= 0).all()
            assert w.max() < 1e-13  # no unknown that is 0 wants to be above
            assert np.abs(w[u > 0]).max(initial=0) < 1e-13  # no unknown above 0 wants to move


@pytest.mark.parametrize("closeness", [1e-3, 1e-5, 1e-7, 1e-9, 0.0])
def test_columns_that_are_nearly_one_column_do_no_harm(closeness):
    for t in SIZES:
        for seed in range(5):
            rng = np.random.default_rng([t, seed, 7])
            A = rng.normal(size=(2 * t + 3, 1)) + closeness * rng.normal(size=(2 * t + 3, t))
            b = A @ np.abs(rng.normal(size=t)) + rng.normal(size=len(A))
            u, (expected, _) = solved(A, b), nnls(A, b, maxiter=1000)
            assert (u >= 0).all()
            # Of the Gram matrix only half the digits of a direction are left.
            found, least = (np.sum((A @ one - b) ** 2) for one in (u, expected))
            assert found <= least + 1e-11 * (b @ b)


@pytest.mark.parametrize("mode", MODES)
def test_a_problem_that_is_solved_by_hand(mode):
    # GG' and Gg of g = (1, -1, 2), g_1 = (0, 1, 0), g_2 = (-1, 0, 0.25).
    u = solver(mode, 2)(
        tf.constant([[1.0, 0.0], [0.0, 1.0625]], tf.float64),
        tf.constant([-1.0, -0.5], tf.float64),
        tf.constant([True, True]),
    )
    np.testing.assert_allclose(u, [1, 8 / 17], rtol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_one_unknown_that_comes_in_can_put_another_one_out(mode):
    # The first column is the steepest by far, b without its last entry the sum of the other two.
    A, b = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.5, 0.0, 0.0]]), np.array([1.0, 1.0, -0.1])
    u = solved(A, b, mode)
    assert u[0] == 0
    np.testing.assert_allclose(u[1:], 1, rtol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_where_nothing_pulls_everything_stays_exactly_0(mode):
    A, _ = problem(cone, 6, 0)
    np.testing.assert_array_equal(solved(A, -A.sum(axis=1), mode), np.zeros(6))
    np.testing.assert_array_equal(solved(A, np.zeros(len(A)), mode), np.zeros(6))
    np.testing.assert_array_equal(solved(np.zeros((5, 6)), np.ones(5), mode), np.zeros(6))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
def test_unknowns_that_are_not_there_are_0_and_change_nothing(mode, seed):
    A, b = problem(cone, 7, seed)
    active = np.arange(7) < 4
    everything, u = solved(A, b, mode), solved(A, b, mode, active)
    assert everything[~active].any()  # they would be wanted
    np.testing.assert_array_equal(u[~active], 0)
    np.testing.assert_allclose(u[active], nnls(A[:, active], b)[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-60, 1e-9, 1e9, 1e60])
def test_scale_does_not_matter(scale):
    A, b = problem(cone, 8, 3)
    np.testing.assert_allclose(solved(A, b * scale), solved(A, b) * scale, rtol=1e-10)
    np.testing.assert_allclose(solved(A * scale, b), solved(A, b) / scale, rtol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_number_ends(mode):
    A, b = problem(gauss, 4, 0)
    for bad in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            for u in (
                solved(A, np.where(np.arange(len(b)) == 0, bad, b), mode),
                solved(np.where(np.arange(4) == 1, bad, A), b, mode),
            ):
                assert not (u < 0).any()
