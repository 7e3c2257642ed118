"""Blurry boundaries: shares of rows, which classes count where, and when a task is measured."""

import numpy as np
import pytest

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.streams.blurry import blurry_classes


def data_of(classes, rows):
    """A source with equally many training rows of each class, in a mixed order, and two test rows of each."""
    y = [np.random.default_rng(0).permutation(np.repeat(np.arange(classes), n)) for n in (rows, 2)]
    arrays = [array for labels in y for array in (np.zeros((len(labels), 2, 2), np.uint8), labels)]
    return sources.from_arrays(*arrays, name="toy")


def table_of(stream, part="train"):
    """Rows of each class in each task, `[T, C]`."""
    y, count = stream.source.train[1], len(stream.source.classes)
    return np.array([np.bincount(y[getattr(task, part).rows], minlength=count) for task in stream])


@pytest.mark.parametrize(("disjoint", "each"), [(50, 1), (0, 0), (100, 2)])
@pytest.mark.parametrize("exchanged", [10, 30, 100])
def test_shares_of_major_and_minor_rows(disjoint, each, exchanged):
    stream = streams.blurry(data_of(10, 500), disjoint=disjoint, exchanged=exchanged)
    dealt = round(500 * exchanged / 100)
    for t, (task, row) in enumerate(zip(stream, table_of(stream), strict=True)):
        assert task.classes == (2 * t, 2 * t + 1)
        assert (row[[*task.classes[:each]]] == 500).all()
        assert (row[[*task.classes[each:]]] == 500 - dealt + dealt // 5).all()
        minor = [c for c in range(10) if c // 2 != t]
        assert row[minor].tolist() == [dealt // 5 if c % 2 >= each else 0 for c in minor]
        assert len(task.train) == 1000
        assert len(task.test) == 4


def test_every_row_is_in_one_task():
    stream = streams.blurry(exchanged=33, class_order="seeded", seed=4)
    rows = np.concatenate([task.train.rows for task in stream])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(stream.source.train[1])))


def test_numbers_differ_by_one_at_most_where_they_do_not_divide():
    counts = table_of(streams.blurry(data_of(10, 57), disjoint=0, exchanged=20))
    dealt = counts - np.where(np.arange(5)[:, np.newaxis] == np.arange(10) // 2, 57 - 11, 0)
    assert (dealt.sum(axis=0) == 11).all()
    assert np.ptp(dealt, axis=0).max() == 1
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_without_an_exchange_it_is_the_split():
    plain = streams.split(tasks=5, scenario="class", valid_fraction=0.2)
    for given in ({"exchanged": 0}, {"disjoint": 100}):
        made = streams.blurry(valid_fraction=0.2, **given)
        np.testing.assert_array_equal(made.class_mask, plain.class_mask)
        for task, other in zip(made, plain, strict=True):
            for part in ("train", "valid", "test"):
                for ours, theirs in zip(getattr(task, part).open(), getattr(other, part).open(), strict=True):
                    np.testing.assert_array_equal(ours, theirs)


def test_minor_classes_count_in_masks_homes_and_units():
    stream = streams.blurry(data_of(4, 50), tasks=2)
    assert [task.classes for task in stream] == [(0, 1), (2, 3)]
    assert stream.train_classes == ((0, 1, 3), (2, 3, 1))
    np.testing.assert_array_equal(stream.labels, [[0, 1, -1, 3], [-1, 1, 2, 3]])
    np.testing.assert_array_equal(stream.class_mask, np.array([[1, 1, 0, 1], [1, 1, 1, 1]], bool))
    np.testing.assert_array_equal(stream.home, [[0, 0, 1, 0]] * 2)
    for task in stream:
        for part in (task.train, task.test):
            _, units = part.open()
            assert (units >= 0).all()
            assert stream.class_mask[task.index][units].all()
        np.testing.assert_array_equal(task.test.open()[1], stream.source.test[1][task.test.rows])
        np.testing.assert_array_equal(task.train.open()[1], stream.source.train[1][task.train.rows])
    assert "classes 0, 1, trained with rows of 1 more" in repr(stream[0])


def test_a_task_is_measured_as_soon_as_its_major_classes_are_known():
    for disjoint, answered in ((50, [[0, 0], [1, 0], [1, 1]]), (0, [[0, 0], [1, 1], [1, 1]])):
        stream = streams.blurry(data_of(4, 50), tasks=2, disjoint=disjoint)
        found = [[stream.answering(t, after) is not None for t in range(2)] for after in range(3)]
        np.testing.assert_array_equal(found, np.array(answered, bool))


def test_a_task_is_measured_although_a_minor_class_of_it_comes_later():
    data = data_of(3, 10)
    given = {"views": (lambda x: x,) * 2, "input_shape": data.input_shape}
    stream = streams.Stream("own", "class", data, ((0,), (1, 2)), **given, train_classes=((0, 1), (1, 2)))
    assert stream.answering(0, 1) is not None
    assert stream.answering(1, 1) is None
    with pytest.raises(InputError, match=r"Task 1 is tested on the classes \[0\] and trained on \[1\]"):
        streams.Stream("own", "class", data, ((0,), (1, 2)), **given, train_classes=((1,), (1, 2)))
    with pytest.raises(InputError, match="The stream has 2 tasks and train_classes for 1"):
        streams.Stream("own", "class", data, ((0,), (1, 2)), **given, train_classes=((0,),))


def test_disjoint_classes_are_dealt_to_tasks_equally():
    tasks = tuple((2 * t, 2 * t + 1) for t in range(5))
    assert blurry_classes(tasks, 50) == (1, 3, 5, 7, 9)
    assert blurry_classes(tasks, 30) == (1, 3, 5, 6, 7, 8, 9)
    assert blurry_classes(tasks, 0) == tuple(range(10))
    assert blurry_classes(tasks, 100) == ()


def test_the_exchanged_rows_follow_the_seed():
    def rows(seed):
        return [task.train.rows.tolist() for task in streams.blurry(seed=seed)]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


def test_validation_rows_are_a_share_of_each_class_and_are_not_trained_on():
    stream = streams.blurry(data_of(10, 100), disjoint=0, exchanged=20, valid_fraction=0.3)
    train, valid = table_of(stream), table_of(stream, "valid")
    assert (valid.sum(axis=0) == 30).all()
    assert (train.sum(axis=0) == 70).all()
    assert not set(np.concatenate([t.train.rows for t in stream])) & set(
        np.concatenate([t.valid.rows for t in stream])
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"disjoint": 101}, "disjoint is 101 percent; it must be at least 0 and at most 100"),
        ({"exchanged": -1}, "exchanged is -1 percent"),
        ({"scenario": "domain"}, "blurry is class-incremental: .*; give --scenario=class"),
        ({"tasks": 3}, "10 classes of digits do not split into 3 equal tasks"),
    ],
)
def test_a_blurry_stream_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        streams.blurry(**given)


def test_too_few_rows_for_all_tasks_are_refused():
    stream = streams.blurry(exchanged=1)
    with pytest.raises(InputError, match="1 percent of the .* of class 1 are 1, fewer than 5 tasks"):
        len(stream[0].train)
