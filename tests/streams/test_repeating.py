"""Streams in which classes come back: when, with which rows, and what is counted once."""

import numpy as np
import pytest

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.streams.repeating import first_tasks, occurrences


def table_of(stream):
    """Training rows of each class in each task, `[T, C]`."""
    y = stream.source.train[1]
    return np.array([np.bincount(y[task.train.rows], minlength=10) for task in stream])


def rows_of(stream, part="train"):
    return np.concatenate([getattr(task, part).rows for task in stream])


def test_without_returns_it_is_the_split():
    for given in ({"class_order": "seeded"}, {"valid_fraction": 0.2, "seed": 3}):
        plain = streams.split(tasks=5, scenario="class", **given)
        made = streams.repeating(tasks=5, returns=(0.0,), **given)
        assert made.task_classes == plain.task_classes
        np.testing.assert_array_equal(made.class_mask, plain.class_mask)
        for task, other in zip(made, plain, strict=True):
            for part in ("train", "valid", "test"):
                for ours, theirs in zip(getattr(task, part).open(), getattr(other, part).open(), strict=True):
                    np.testing.assert_array_equal(ours, theirs)


def test_classes_that_always_return_are_in_all_later_tasks():
    stream = streams.repeating(tasks=5, returns=(1.0,))
    assert [task.classes for task in stream] == [tuple(range(2 * t)) for t in range(1, 6)]
    assert stream.home[-1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(stream.class_mask, stream.labels >= 0)


@pytest.mark.parametrize("introduced", ["even", "geometric"])
def test_every_row_is_in_one_task_and_a_class_is_divided_equally(introduced):
    stream = streams.repeating(tasks=5, introduced=introduced)
    np.testing.assert_array_equal(np.sort(rows_of(stream)), np.arange(len(stream.source.train[1])))
    counts = table_of(stream)
    for label, column in enumerate(counts.T):
        own = column[column > 0]
        assert own.max() - own.min() <= 1
        np.testing.assert_array_equal(column > 0, [label in task.classes for task in stream])


def test_probabilities_of_first_tasks_and_of_returns():
    rng = np.random.default_rng(0)
    first = first_tasks(100_000, 4, 0.5, rng)
    np.testing.assert_allclose(np.bincount(first) / len(first), np.array([8, 4, 2, 1]) / 15, atol=0.005)
    uniform = first_tasks(100_000, 4, 0.0, rng)
    np.testing.assert_allclose(np.bincount(uniform) / len(uniform), np.full(4, 0.25), atol=0.005)
    table = occurrences(np.zeros(50_000, int), 3, (0.3,), rng)
    assert table[:, 0].all()
    np.testing.assert_allclose(table[:, 1:].mean(axis=0), 0.3, atol=0.01)


def test_classes_may_return_with_probabilities_of_their_own():
    stream = streams.repeating(tasks=5, returns=(1.0,) + (0.0,) * 9)
    assert (table_of(stream) > 0).sum(axis=0).tolist() == [5] + [1] * 9


def test_every_task_has_a_class_where_classes_are_drawn():
    for seed in range(20):
        stream = streams.repeating(tasks=5, introduced="geometric", returns=(0.1,), p=0.3, seed=seed)
        assert all(task.classes for task in stream)
        assert set().union(*stream.task_classes) == set(range(10))


def test_drawn_rows_are_equally_many_of_each_class_and_come_back():
    stream = streams.repeating(tasks=5, returns=(0.7,), rows_per_task=101)
    counts = table_of(stream)
    assert counts.sum(axis=1).tolist() == [101] * 5
    for row in counts:
        assert np.ptp(row[row > 0]) <= 1
    assert all(len(np.unique(task.train.rows)) == 101 for task in stream)
    assert len(np.unique(rows_of(stream))) < 505
    whole = streams.repeating(tasks=5, rows_per_task=10_000)
    y = whole.source.train[1]
    for task in whole:
        np.testing.assert_array_equal(task.train.rows, np.flatnonzero(np.isin(y, task.classes)))


def test_validation_rows_are_never_trained_on():
    for given in ({}, {"rows_per_task": 200}):
        stream = streams.repeating(tasks=5, valid_fraction=0.2, **given)
        assert all(len(task.valid) for task in stream)
        assert not np.intersect1d(rows_of(stream), rows_of(stream, "valid")).size


def test_the_stream_follows_the_seed():
    def made(seed, **given):
        stream = streams.repeating(tasks=5, introduced="geometric", seed=seed, **given)
        return stream.task_classes, [task.train.rows.tolist() for task in stream]

    for given in ({}, {"rows_per_task": 90}):
        assert made(0, **given) == made(0, **given)
        assert made(0, **given)[0] != made(1, **given)[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"returns": (1.5,)}, "returns is 1.5; a probability must be at least 0 and at most 1"),
        ({"returns": ()}, "0 returns are given for 10 classes of digits; give one, or one each"),
        ({"p": -0.1}, "p is -0.1; a probability"),
        ({"rows_per_task": -1}, "rows_per_task is -1; it must not be negative"),
        ({"introduced": "evn"}, "introduced 'evn' is not known; .* Did you mean even?"),
        ({"scenario": "task"}, "repeating is class-incremental: .*; give --scenario=class"),
        ({"tasks": 3}, "10 classes of digits do not split into 3 equal tasks"),
        ({"tasks": 0}, "at least one task, not 0"),
        (
            {"tasks": 9, "introduced": "geometric", "returns": (0.0,), "p": 0.9},
            "one of 9 tasks never had",
        ),
        ({"tasks": 10**6, "introduced": "geometric"}, "give fewer tasks"),
    ],
)
def test_a_repetition_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.repeating(**given)


def test_a_class_with_fewer_rows_than_tasks_is_named():
    arrays = [np.zeros((8, 2, 2), np.uint8), np.repeat([0, 1], 4)] * 2
    stream = streams.repeating(sources.from_arrays(*arrays, name="few"), tasks=2, returns=(1.0,))
    assert [len(task.train) for task in stream] == [2, 6]
    few = sources.from_arrays(*(array[3:] for array in arrays), name="few")
    stream = streams.repeating(few, tasks=2, returns=(1.0,))
    with pytest.raises(InputError, match="Class 0 has 1 training rows for 2 tasks; give fewer returns"):
        len(stream[0].train)
