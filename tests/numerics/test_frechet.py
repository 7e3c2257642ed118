"""Frechet distance of Gaussians: closed forms, and sets whose covariances are singular."""

import numpy as np
import pytest
import scipy.linalg

from keras_cl.errors import InputError
from keras_cl.numerics.frechet import frechet_distance, gaussian_distance


def rows(seed, n=300, F=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, F)) @ rng.normal(size=(F, F)) + rng.normal(size=F)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (([0.0], [[1.0]]), ([3.0], [[4.0]]), 9 + (1 - 2) ** 2),
        (([1.0, 2.0], np.diag([1.0, 9.0])), ([1.0, 0.0], np.diag([4.0, 1.0])), 4 + 1 + 4),
        (([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]]), ([0.0, 0.0], np.eye(2)), (3**0.5 - 1) ** 2),
        (([0.0, 0.0], np.zeros((2, 2))), ([1.0, 1.0], np.diag([4.0, 0.0])), 2 + 4),
    ],
    ids=["one dimension", "diagonal", "commuting", "singular"],
)
def test_gaussians_have_the_distance_of_the_closed_form(first, second, expected):
    first, second = ([np.array(part) for part in one] for one in (first, second))
    assert gaussian_distance(*first, *second) == pytest.approx(expected, abs=1e-12)
    assert gaussian_distance(*second, *first) == pytest.approx(expected, abs=1e-12)


def test_it_is_that_of_the_square_root_of_the_product():
    x, y = rows(0), rows(1)
    S, others = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(S @ others).real
    away = x.mean(axis=0) - y.mean(axis=0)
    assert frechet_distance(x, y) == pytest.approx(away @ away + np.trace(S + others - 2 * root), rel=1e-9)


def test_equal_sets_have_none_and_a_shift_has_its_square():
    x = rows(0)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + [0, 0, 3, 4, 0]) == pytest.approx(25, abs=1e-9)


def test_fewer_rows_than_features_and_units_that_are_always_zero_are_no_trouble():
    x = np.concatenate([rows(0, n=8, F=20), np.zeros((8, 4))], axis=1).astype(np.float32)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-4)
    assert np.isfinite(frechet_distance(x, 1e-8 * x)) and frechet_distance(x, 2 * x) > 1


def test_one_row_has_no_covariance():
    with pytest.raises(InputError, match="needs 2 rows in each set, and one has 1"):
        frechet_distance(rows(0), rows(0)[:1])
