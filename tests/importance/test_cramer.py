"""The Cramer distance against its other formula and worked numbers, and directions against their slices."""

import math

import numpy as np
import pytest
from scipy import stats

from keras_cl.importance import cramer
from keras_cl.importance.cramer import cramer_1d, directions, on_sphere, sliced_cramer


def by_differences(u, v):
    """E|U - V| - E|U - U'| / 2 - E|V - V'| / 2, means over all pairs: the distance without its integral."""

    def mean(a, b):
        return np.abs(np.subtract.outer(a, b)).mean()

    return mean(u, v) - mean(u, u) / 2 - mean(v, v) / 2


def samples(seed, with_ties):
    """Two samples of numbers, in no order, mostly of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, 2)
    return [rng.integers(0, 5, n) if with_ties else rng.normal(size=n) for n in sizes]


def points(seed, n=6, m=9, size=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, size)), 0.5 + rng.normal(size=(m, size))


def circle(count):
    """Directions evenly around half a circle, which are as good as all."""
    angle = np.arange(count) * np.pi / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


# ---- two samples of numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("a, b", [(0, 1), (2.5, -1), (3, 3)])
@pytest.mark.parametrize("n, m", [(1, 1), (2, 5)])
def test_point_masses_are_as_far_as_the_points(a, b, n, m):
    assert cramer_1d(np.full(n, a), np.full(m, b)) == pytest.approx(abs(a - b), rel=1e-15)


@pytest.mark.parametrize("distance", [cramer_1d, by_differences])
def test_three_numbers_and_three_others_are_two_ninths_apart(distance):
    assert distance(np.array([0, 1, 3]), np.array([0.5, 2, 2.5])) == pytest.approx(2 / 9, rel=1e-14)


@pytest.mark.parametrize("with_ties", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_the_integral_is_the_formula_of_differences(seed, with_ties):
    u, v = samples(seed, with_ties)
    kept = u.copy(), v.copy()
    assert cramer_1d(u, v) == pytest.approx(by_differences(u, v), rel=1e-12, abs=1e-14)
    assert cramer_1d(u, v) == pytest.approx(cramer_1d(v, u), rel=1e-14)
    np.testing.assert_array_equal(u, kept[0])
    np.testing.assert_array_equal(v, kept[1])


@pytest.mark.parametrize("seed", range(3))
def test_one_sample_is_at_distance_zero_however_often_it_is_told(seed):
    u, _ = samples(seed, with_ties=True)
    assert cramer_1d(u, u[::-1]) == 0
    assert cramer_1d(u, np.repeat(u, 3)) == 0  # the same distribution


# ---- two sets of points ----------------------------------------------------------------------------------


def test_the_sliced_distance_is_the_mean_over_slices():
    U, V = points(0)
    slices = on_sphere(5, 3, np.random.default_rng(1))
    want = np.mean([by_differences(U @ xi, V @ xi) for xi in slices])
    assert sliced_cramer(U, V, slices) == pytest.approx(want, rel=1e-12)


def test_the_sliced_distance_is_zero_for_the_same_set_and_for_no_other():
    U, _ = points(2)
    slices = on_sphere(20, 3, np.random.default_rng(3))
    assert sliced_cramer(U, U[np.random.default_rng(4).permutation(len(U))], slices) == 0
    for row in range(len(U)):
        other = U.copy()
        other[row] += (0, 0.01, 0)
        assert sliced_cramer(U, other, slices) > 0
    shuffled = np.stack([U[:, 0], np.roll(U[:, 1], 1), U[:, 2]], axis=1)  # the same along every axis
    assert sliced_cramer(U, shuffled, slices) > 0.01


def test_all_slices_of_a_plane_see_two_points_at_two_thirds_of_their_distance_or_so():
    a, b = np.array([[1.0, 2.0]]), np.array([[4.0, -2.0]])  # the mean of |cos| is 2 / pi
    assert sliced_cramer(a, b, circle(10_000)) == pytest.approx(2 / math.pi * 5, rel=1e-6)


def test_a_rotation_changes_nothing_where_all_directions_are_seen():
    U, V = points(5, size=2)
    slices, turn = circle(12), np.pi / 12 * 5
    Q = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    distance = sliced_cramer(U, V, slices)
    assert sliced_cramer(U @ Q.T, V @ Q.T, slices) == pytest.approx(distance, rel=1e-12)
    stretched = U * [2, 0.5], V * [2, 0.5]
    assert sliced_cramer(*stretched, slices) != pytest.approx(distance, rel=0.01)


def test_a_rotation_changes_nothing_in_expectation():
    U, V = points(6)
    Q, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    each = [
        [sliced_cramer(A, B, xi[np.newaxis]) for xi in on_sphere(2000, 3, np.random.default_rng(seed))]
        for A, B, seed in ((U, V, 8), (U @ Q.T, V @ Q.T, 9))
    ]
    error = math.hypot(*(np.std(one) / math.sqrt(2000) for one in each))
    means = np.mean(each, axis=1)
    assert abs(means[0] - means[1]) <= 4 * error < 0.1 * means[0]


# ---- slices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count, size", [(1, 4), (3, 10), (10, 3), (5, 5), (7, 1)])
def test_a_slice_has_length_one_over_the_classes(count, size):
    slices = on_sphere(count, size, np.random.default_rng(0))
    assert slices.shape == (count, size)
    np.testing.assert_allclose(np.sum(slices**2, axis=1), 1, rtol=1e-14)


def test_slices_of_a_plane_are_uniform_in_angle():
    x, y = on_sphere(20_000, 2, np.random.default_rng(1)).T
    counts, _ = np.histogram(np.arctan2(y, x), bins=16, range=(-np.pi, np.pi))
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4


def test_slices_of_space_are_uniform_in_every_coordinate():
    slices = on_sphere(20_000, 3, np.random.default_rng(2))  # a hat box of Archimedes along any axis
    for axis in (*np.eye(3), np.full(3, 3**-0.5)):
        assert stats.kstest(slices @ axis, stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_slices_are_repeatable_by_their_generator():
    first, again, other = (on_sphere(4, 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


# ---- directions ------------------------------------------------------------------------------------------

MASKS = {
    "all": np.ones(5, bool),
    "some": np.array([True, False, True, True, False]),
    "one": np.array([False, True, False]),
}
of_masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


@pytest.fixture
def drawn(monkeypatch):
    """The slices that were drawn."""
    known = []

    def spied(*arguments):
        known.append(on_sphere(*arguments))
        return known[-1]

    monkeypatch.setattr(cramer, "on_sphere", spied)
    return known


def mean_square(slices, a):
    return np.mean((slices @ a) ** 2)


@of_masks
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 50, 1000])
def test_squares_along_directions_add_to_the_mean_square_along_slices(drawn, mask, count):
    D = directions(mask, count, np.random.default_rng(count))
    (slices,) = drawn
    assert slices.shape == (count, mask.sum())
    assert D.dtype == np.float32
    assert D.shape == (min(count, mask.sum()), len(mask))
    assert not D[:, ~mask].any()
    for a in np.random.default_rng(0).normal(size=(5, len(mask))):
        got, want = np.sum((D.astype(float) @ a) ** 2), mean_square(slices, a[mask])
        assert got == pytest.approx(want, rel=1e-5, abs=1e-6 * np.sum(a**2))


@of_masks
def test_without_slices_the_mean_is_the_expectation(drawn, mask):
    D = directions(mask, 0, np.random.default_rng(0))
    K = mask.sum()
    assert D.dtype == np.float32
    assert D.shape == (K, len(mask))
    assert not D[:, ~mask].any()
    assert not drawn
    for a in np.random.default_rng(1).normal(size=(5, len(mask))):
        assert np.sum((D.astype(float) @ a) ** 2) == pytest.approx(np.sum(a[mask] ** 2) / K, rel=1e-6)


def test_many_slices_come_near_to_their_expectation():
    mask = MASKS["all"]
    D = directions(mask, 100_000, np.random.default_rng(3)).astype(float)
    # Each entry of xi xi^T has a standard deviation below 0.25 in five dimensions.
    np.testing.assert_allclose(D.T @ D, np.eye(5) / 5, atol=4 * 0.25 / math.sqrt(100_000))


def test_directions_of_equal_slices_are_real_numbers(monkeypatch):
    # All slices are one: four of the five axes have the square 0, which rounding may make negative.
    one = on_sphere(1, 5, np.random.default_rng(4))
    monkeypatch.setattr(cramer, "on_sphere", lambda count, size, rng: np.repeat(one, count, axis=0))
    D = directions(MASKS["all"], 30, np.random.default_rng(0)).astype(float)
    assert np.all(np.isfinite(D))
    np.testing.assert_allclose(D.T @ D, one.T @ one, atol=1e-6)
