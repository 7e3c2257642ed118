"""Statistics over seeds: mean and spread, paired differences with a corrected test, mean ranks.

Sources: Student 1908, The probable error of a mean (paired t); Holm 1979, A simple sequentially rejective
multiple test procedure; Demsar 2006, Statistical comparisons of classifiers over multiple data sets (ranks).
A number that is not defined is None, never 0 and never NaN.
"""

from typing import NamedTuple

import numpy as np

from keras_cl import metrics

CONFIDENCE = 0.95
EQUAL = 1e-12  # spread of differences, relative to the values, that is rounding alone


class Summary(NamedTuple):
    """A metric over n seeds.

    Attributes:
      mean: mean; None without a seed, or if the metric is not defined for some.
      std: standard deviation of one seed, with ddof = 1; None for fewer than two seeds.
      sem: standard error of the mean, std / sqrt(n); None for fewer than two seeds.
      n: number of seeds.
    """

    mean: float | None
    std: float | None
    sem: float | None
    n: int


class Difference(NamedTuple):
    """Paired differences of a metric to a baseline: value minus baseline of the same seed.

    Attributes:
      mean: mean difference over the pairs; None without a pair.
      low: lower end of its 95 % confidence interval (t distribution, n - 1 degrees of freedom), or None.
      high: upper end of it, or None.
      p: two-sided p of the paired t-test of no difference, or None.
      n: number of pairs.
      left_out: seeds that only one of the two has.
      reason: why there is no interval and no test, as "one pair"; "" if there are.
      p_holm: p corrected by Holm over the comparisons with the same baseline in a table; None until then.
    """

    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    left_out: tuple[int, ...]
    reason: str
    p_holm: float | None = None


def summary(values):
    """The `Summary` of the values of a metric, one per seed; None stands for not defined."""
    values = list(values)
    nothing = {"mean": None, "std": None, "sem": None, "n": len(values)}
    over = metrics.over_seeds([{"metric": value} for value in values]) if values else {}
    return Summary(**over.get("metric", nothing))


def paired(values, baseline):
    """The `Difference` of two dicts `{seed: value}`, over the seeds that both have.

    Seeds of one of the two alone are left out and named. There is no interval and no test for fewer than two
    pairs, and none if all differences are equal: a t distribution needs a spread.
    """
    seeds = sorted(values.keys() & baseline.keys())
    left_out = tuple(sorted(values.keys() ^ baseline.keys()))
    pairs = [(values[seed], baseline[seed]) for seed in seeds]
    if not pairs:
        return _untested(None, 0, left_out, "no seed in common")
    if any(value is None for pair in pairs for value in pair):
        return _untested(None, len(pairs), left_out, "not defined")
    own, others = np.array(pairs, float).T
    mean = float(np.mean(own - others))
    if len(pairs) == 1:
        return _untested(mean, 1, left_out, "one pair")
    if np.ptp(own - others) <= EQUAL * np.abs(pairs).max():
        return _untested(mean, len(pairs), left_out, "all differences are equal")
    return _tested(own, others, mean, left_out)


def holm(ps):
    """p-values corrected by Holm's step-down procedure, in the order given.

    None stays None and is not counted. The k-th smallest of m is multiplied by m - k + 1, is at least the one
    before it and at most 1. Among all comparisons whose corrected p is at most 0.05 there is any false one
    with a probability of at most 5 %.
    """
    known = [place for place, p in enumerate(ps) if p is not None]
    corrected, last = list(ps), 0.0
    for rank, place in enumerate(sorted(known, key=lambda place: ps[place])):
        last = corrected[place] = min(1.0, max(last, (len(known) - rank) * ps[place]))
    return corrected


def ranks(values, better):
    """Ranks from 1, the best, in one block; equal values share the mean of their ranks.

    Args:
      values: list of numbers.
      better: "higher" or "lower", which values are better.
    """
    from scipy.stats import rankdata

    values = np.asarray(values, float)
    return rankdata(-values if better == "higher" else values, method="average").tolist()


def mean_ranks(blocks, better):
    """The mean rank of each name over blocks (streams, scenarios, data sets).

    Args:
      blocks: list of dicts `{name: value}`, None for a value that is not defined.
      better: "higher" or "lower", which values are better.

    Returns:
      `{name: mean rank}`, None for a name that has no value in some block: those with values in all blocks
      are ranked among themselves.
    """
    names = dict.fromkeys(name for block in blocks for name in block)
    ranked = [name for name in names if all(block.get(name) is not None for block in blocks)]
    found = np.mean([ranks([block[name] for name in ranked], better) for block in blocks], axis=0)
    return {**dict.fromkeys(names), **dict(zip(ranked, found.tolist(), strict=True))}


def _tested(own, others, mean, left_out):
    from scipy.stats import ttest_rel

    found = ttest_rel(own, others)
    low, high = map(float, found.confidence_interval(CONFIDENCE))
    return Difference(mean, low, high, float(found.pvalue), len(own), left_out, "")


def _untested(mean, n, left_out, reason):
    return Difference(mean, None, None, None, n, left_out, reason)
