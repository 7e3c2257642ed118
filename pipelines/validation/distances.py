"""Distances of distributions, as TensorFlow Data Validation defines them for statistics."""

import numpy as np


def l_infinity(first, second):
    """The largest difference of the frequency of a value: `(distance, value)`.

    Args:
      first: `{value: count}`.
      second: `{value: count}`; a value that it does not have has the count 0.

    Returns:
      Distance in [0, 1], and the value with this difference.
    """
    values = sorted({*first, *second})
    tables = [np.array([counts.get(value, 0) for value in values], float) for counts in (first, second)]
    difference = np.abs(np.subtract(*(table / max(table.sum(), 1) for table in tables)))
    return float(difference.max()), values[int(difference.argmax())]


def jensen_shannon(first, second):
    """The Jensen-Shannon divergence of two histograms to base 2, approximate if their buckets differ.

    It is `(KL(P, M) + KL(Q, M)) / 2` with `M = (P + Q) / 2` (Lin 1991), over the union of the boundaries of
    both; the values of a bucket count as evenly spread over it. NaN and infinite values agree with nothing.

    Args:
      first: `tensorflow_metadata.proto.v0.statistics_pb2.Histogram` of type STANDARD.
      second: as `first`.

    Returns:
      Divergence in [0, 1], in bits.
    """
    p, q = _aligned(first, second)
    p, q = p / max(p.sum(), 1), q / max(q.sum(), 1)
    middle = (p + q) / 2
    return min((_kullback_leibler(p, middle) + _kullback_leibler(q, middle)) / 2, 1.0)


def _kullback_leibler(p, q):
    used = p > 0
    return float(np.sum(p[used] * np.log2(p[used] / q[used])))


def _aligned(*histograms):
    """The counts of two histograms in common buckets, with buckets of one value and of no number apart."""
    tables = [np.array([(b.low_value, b.high_value, b.sample_count) for b in h.buckets]) for h in histograms]
    tables = [table.reshape(-1, 3) for table in tables]
    finite = [np.isfinite(table[:, :2]).all(axis=1) for table in tables]
    wide = [table[kept & (table[:, 0] < table[:, 1])] for table, kept in zip(tables, finite, strict=True)]
    points = [table[kept & (table[:, 0] == table[:, 1])] for table, kept in zip(tables, finite, strict=True)]
    edges = np.unique(np.concatenate([table[:, :2].ravel() for table in wide]))
    places = np.unique(np.concatenate([table[:, 0] for table in points]))
    alone = [
        table[~kept, 2].sum() + h.num_nan for table, kept, h in zip(tables, finite, histograms, strict=True)
    ]
    return (
        np.concatenate([_spread(wide[0], edges), _at(points[0], places), [alone[0], 0]]),
        np.concatenate([_spread(wide[1], edges), _at(points[1], places), [0, alone[1]]]),
    )


def _spread(table, edges):
    """Counts between `edges` of buckets `[(low, high, count)]` that follow one another."""
    if not len(table):
        return np.zeros(max(len(edges) - 1, 0))
    below = np.concatenate([[0], np.cumsum(table[:, 2])])
    return np.diff(np.interp(edges, np.append(table[:, 0], table[-1, 1]), below))


def _at(table, places):
    """Counts at `places` of buckets of one value."""
    counts = np.zeros(len(places))
    np.add.at(counts, np.searchsorted(places, table[:, 0]), table[:, 2])
    return counts
