"""Long-tailed streams: how many rows a class has, which rows these are, and what stays as it is."""

import numpy as np
import pytest

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.streams.imbalanced import long_tailed


def data_of(counts, side=2):
    """A source with these numbers of training rows of each class, and three test rows of each."""
    parts = [np.repeat(np.arange(len(counts)), rows) for rows in (counts, [3] * len(counts))]
    arrays = [array for y in parts for array in (np.zeros((len(y), side, side), np.uint8), y)]
    return sources.from_arrays(*arrays, name="toy")


def counts_of(stream, part="train"):
    """Training rows of each class, counted in the tasks."""
    y = stream.source.train[1]
    rows = np.concatenate([getattr(task, part).rows for task in stream])
    assert len(np.unique(rows)) == len(rows)
    return np.bincount(y[rows], minlength=len(stream.source.classes)).tolist()


@pytest.mark.parametrize(
    ("rows", "ratio", "expected"),
    [
        (500, 100, [500, 199, 79, 31, 12, 5]),
        (100, 100, [100, 39, 15, 6, 2, 1]),
        (64, 32, [64, 32, 16, 8, 4, 2]),
        (20, 1000, [20, 5, 1, 1, 1, 1]),  # at least one
        (7, 1, [7] * 6),
    ],
)
def test_the_numbers_of_rows_are_the_exponential_profile(rows, ratio, expected):
    assert long_tailed([rows] * 6, range(6), ratio).tolist() == expected
    assert counts_of(streams.imbalanced(data_of([rows] * 6), tasks=3, ratio=ratio)) == expected


def test_the_largest_class_is_as_large_as_all_classes_allow():
    assert long_tailed([80, 100, 5], range(3), 4).tolist() == [20, 10, 5]
    assert long_tailed([100, 100, 100], range(3), 4).tolist() == [100, 50, 25]
    assert counts_of(streams.imbalanced(data_of([80, 100, 5]), sizes=(2, 1), ratio=4)) == [20, 10, 5]


def test_shuffled_sizes_are_the_ordered_ones_in_an_order_that_the_seed_decides():
    made = [
        counts_of(streams.imbalanced(data_of([64] * 6), tasks=3, ratio=32, order="shuffled", seed=seed))
        for seed in (0, 0, 1, 2)
    ]
    assert all(sorted(counts, reverse=True) == [64, 32, 16, 8, 4, 2] for counts in made)
    assert made[0] == made[1]
    assert len({tuple(counts) for counts in made}) == 3


def test_the_tail_is_at_the_end_of_the_stream_whatever_the_order_of_classes():
    stream = streams.imbalanced(data_of([64] * 6), tasks=3, ratio=32, class_order="5,0,4,1,3,2")
    assert [len(task.train) for task in stream] == [96, 24, 6]
    assert counts_of(stream) == [32, 8, 2, 4, 16, 64]


def test_drawn_rows_follow_the_seed():
    def rows(seed):
        return [task.train.rows.tolist() for task in streams.imbalanced(tasks=5, seed=seed)]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)
    assert all(own == sorted(own) for own in rows(0))


def test_test_rows_are_those_of_the_split():
    made, plain = streams.imbalanced(tasks=5), streams.split(tasks=5, scenario="class")
    for task, other in zip(made, plain, strict=True):
        np.testing.assert_array_equal(task.test.rows, other.test.rows)


def test_validation_rows_are_a_share_of_the_drawn_rows_and_leave_one_of_each_class():
    whole, cut = (
        streams.imbalanced(data_of([64] * 6), tasks=3, ratio=64, valid_fraction=fraction)
        for fraction in (0, 0.6)
    )
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(np.union1d(after.train.rows, after.valid.rows), before.train.rows)
    assert counts_of(whole) == [64, 27, 12, 5, 2, 1]
    assert counts_of(cut, "valid") == [38, 16, 7, 3, 1, 0]
    assert counts_of(cut) == [26, 11, 5, 2, 1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 0.5}, "ratio is 0.5; it must be at least 1"),
        ({"order": "orderd"}, "order 'orderd' is not known; .* Did you mean ordered?"),
        ({"sizes": (4, 3)}, "4,3 add up to 7"),
    ],
)
def test_an_imbalance_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.imbalanced(**given)
