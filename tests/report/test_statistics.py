"""Statistics over seeds against numbers worked by hand, and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from keras_cl.report.statistics import holm, mean_ranks, paired, ranks, summary

pytestmark = pytest.mark.filterwarnings("error")


def near(value):
    return pytest.approx(value, abs=1e-9)


# ---- mean and spread -------------------------------------------------------------------------------------


def test_mean_spread_and_standard_error():
    found = summary([0.2, 0.4, 0.9])  # squares of the deviations from 0.5: 0.09 + 0.01 + 0.16 = 0.26
    assert found == (near(0.5), near(math.sqrt(0.26 / 2)), near(math.sqrt(0.26 / 2) / math.sqrt(3)), 3)
    assert found.sem == near(stats.sem([0.2, 0.4, 0.9]))


def test_what_is_not_defined_is_none():
    assert summary([0.3]) == (0.3, None, None, 1)
    assert summary([]) == (None, None, None, 0)
    assert summary([0.3, None]) == (None, None, None, 2)
    assert summary([None, None]) == (None, None, None, 2)
    assert summary([0.3, 0.3]) == (0.3, 0.0, 0.0, 2)


# ---- paired differences ----------------------------------------------------------------------------------


def test_a_paired_difference_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 2 sqrt(3) with 2 degrees of freedom, for
    which the t distribution function is 1/2 + t / (2 sqrt(2 + t^2))."""
    found = paired({0: 2.0, 1: 4.0, 2: 6.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    t = 2 * math.sqrt(3)
    assert found.p == near(1 - t / math.sqrt(2 + t * t))
    quantile = math.sqrt(2 * 0.95**2 / (1 - 0.95**2))  # of 0.975: solved from the same function
    assert (found.low, found.high) == (near(2 - quantile / math.sqrt(3)), near(2 + quantile / math.sqrt(3)))
    assert (found.mean, found.n, found.left_out, found.reason) == (2.0, 3, (), "")


def test_paired_differences_are_those_of_scipy():
    random = np.random.default_rng(0)
    for n in (2, 3, 5, 30):
        own, others = random.random((2, n))
        found = paired(dict(enumerate(own)), dict(enumerate(others)))
        expected = stats.ttest_rel(own, others)
        assert found.p == near(expected.pvalue) and found.mean == near(np.mean(own - others))
        spread = stats.t.ppf(0.975, n - 1) * np.std(own - others, ddof=1) / math.sqrt(n)
        assert (found.low, found.high) == (near(found.mean - spread), near(found.mean + spread))


def test_pairs_are_of_the_same_seed_and_others_are_left_out():
    found = paired({5: 0.5, 1: 0.9, 3: 0.1}, {1: 0.7, 2: 0.0, 3: 0.2})
    assert (found.n, found.left_out, found.mean) == (2, (2, 5), near((0.2 - 0.1) / 2))
    assert found.p == near(stats.ttest_rel([0.9, 0.1], [0.7, 0.2]).pvalue)


@pytest.mark.parametrize(
    ("own", "others", "mean", "reason"),
    [
        ({0: 0.5}, {0: 0.2}, 0.3, "one pair"),
        ({0: 0.5}, {1: 0.2}, None, "no seed in common"),
        ({}, {}, None, "no seed in common"),
        ({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}, 0.0, "all differences are equal"),
        ({0: 0.5, 1: 0.6}, {0: 0.2, 1: 0.3}, 0.3, "all differences are equal"),
        ({0: 0.3, 1: 0.4, 2: 0.9}, {0: 0.2, 1: 0.3, 2: 0.8}, 0.1, "all differences are equal"),
        ({0: 0, 1: 0}, {0: 0, 1: 0}, 0.0, "all differences are equal"),
        ({0: 0.5, 1: None}, {0: 0.2, 1: 0.3}, None, "not defined"),
    ],
)
def test_without_a_spread_there_is_no_test(own, others, mean, reason):
    found = paired(own, others)
    assert found.reason == reason and (found.low, found.high, found.p) == (None, None, None)
    assert found.mean == (None if mean is None else near(mean))


# ---- correction ------------------------------------------------------------------------------------------


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; none below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == [near(0.03), near(0.06), near(0.06), near(0.02)]


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.02, None, 0.03]) == [None, near(0.04), None, near(0.04)]
    assert holm([]) == [] and holm([None]) == [None] and holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_keeps_the_order_and_never_makes_p_smaller():
    ps = np.random.default_rng(1).random(20).tolist()
    corrected = holm(ps)
    assert all(one >= p for one, p in zip(corrected, ps, strict=True)) and max(corrected) <= 1
    assert np.all(np.diff(np.array(corrected)[np.argsort(ps)]) >= 0)
    assert min(corrected) == near(min(1, 20 * min(ps)))  # that of Bonferroni for the smallest


# ---- ranks -----------------------------------------------------------------------------------------------


def test_ranks_with_ties():
    assert ranks([0.9, 0.7, 0.9, 0.1], "higher") == [1.5, 3, 1.5, 4]
    assert ranks([0.9, 0.7, 0.9, 0.1], "lower") == [3.5, 2, 3.5, 1]
    assert ranks([], "higher") == []


def test_mean_ranks_over_blocks():
    blocks = [{"a": 0.9, "b": 0.5, "c": 0.5}, {"a": 0.1, "b": 0.3, "c": 0.2}]
    assert mean_ranks(blocks, "higher") == {"a": 2.0, "b": 1.75, "c": 2.25}


def test_what_is_not_in_all_blocks_has_no_rank_and_changes_none():
    blocks = [{"a": 0.9, "b": 0.5}, {"b": 0.3, "hat": 0.99, "a": 0.4}]
    assert mean_ranks(blocks, "higher") == {"a": 1.0, "b": 2.0, "hat": None}
    assert mean_ranks([{"a": None, "b": 1.0}], "higher") == {"a": None, "b": 1.0}
    assert mean_ranks([{"a": 1.0}, {"b": 1.0}], "higher") == {"a": None, "b": None}
