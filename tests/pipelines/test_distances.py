"""Distances of distributions: worked numbers, and SciPy's where it has them."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import statistics_pb2

from pipelines.validation.distances import jensen_shannon, l_infinity


def histogram(*buckets, num_nan=0):
    """A histogram of `(low, high, count)`."""
    found = statistics_pb2.Histogram(num_nan=num_nan)
    for low, high, count in buckets:
        found.buckets.add(low_value=low, high_value=high, sample_count=count)
    return found


def test_l_infinity_of_worked_numbers():
    # 0.5, 0.3, 0.2 and 0.4, 0.6: the differences are 0.1, -0.3 and 0.2
    distance, label = l_infinity({0: 50, 1: 30, 2: 20}, {0: 4, 1: 6})
    assert distance == pytest.approx(0.3)
    assert label == 1
    assert l_infinity({0: 1}, {1: 1})[0] == 1
    assert l_infinity({0: 1, 1: 2}, {0: 10, 1: 20})[0] == 0


def test_divergence_of_worked_numbers():
    # P = (3/4, 1/4), Q = (1/4, 3/4), M = (1/2, 1/2): 3/4 log2(3/2) + 1/4 log2(1/2)
    first, second = histogram((0, 1, 3), (1, 2, 1)), histogram((0, 1, 1), (1, 2, 3))
    assert jensen_shannon(first, second) == pytest.approx(0.75 * np.log2(1.5) - 0.25)
    assert jensen_shannon(first, first) == 0
    assert jensen_shannon(histogram((0, 1, 5)), histogram((1, 2, 7))) == 1


def test_divergence_is_that_of_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.integers(0, 9, (2, 20))
    made = [histogram(*((place, place + 1, count) for place, count in enumerate(x))) for x in (p, q)]
    assert jensen_shannon(*made) == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def test_buckets_are_divided_evenly_where_boundaries_differ():
    # [0, 4) with 8 becomes 2, 2, 4 over the boundaries 0, 1, 2, 4; Q has 2, 2, 0
    first, second = histogram((0, 4, 8)), histogram((0, 1, 2), (1, 2, 2))
    assert jensen_shannon(first, second) == pytest.approx(
        jensenshannon([0.25, 0.25, 0.5], [0.5, 0.5, 0], base=2) ** 2
    )


def test_buckets_of_one_value_agree_only_with_each_other():
    assert jensen_shannon(histogram((3, 3, 5)), histogram((3, 3, 9))) == 0
    assert jensen_shannon(histogram((3, 3, 5)), histogram((2, 4, 5))) == 1


@pytest.mark.parametrize(
    "extra", [{"num_nan": 1}, {"buckets": [(np.inf, np.inf, 1)]}], ids=["NaN", "infinity"]
)
def test_values_that_are_no_numbers_agree_with_nothing(extra):
    odd = histogram((0, 1, 3), *extra.pop("buckets", ()), **extra)
    expected = jensenshannon([3, 1, 0], [3, 0, 1], base=2) ** 2
    assert jensen_shannon(odd, odd) == pytest.approx(expected)
