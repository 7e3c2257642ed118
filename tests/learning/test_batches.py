"""The pipeline of a task: every row once an epoch, in chunks whose shape never changes."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.learning.batches import Batch, chunk_length, chunks

# Rows, batch size and steps a chunk: even, ragged at either end, less than a chunk, one row, one batch.
SIZES = [(24, 4, 3), (25, 4, 3), (23, 4, 3), (13, 4, 5), (1, 4, 2), (4, 4, 1), (7, 1, 3)]
every_size = pytest.mark.parametrize(("rows", "batch_size", "length"), SIZES)


def data(rows, batch_size=4, length=3, seed=0, **options):
    x = np.arange(rows, dtype=np.uint8)[:, np.newaxis] + np.zeros(2, np.uint8)
    y, task = np.arange(rows) + 100, np.arange(rows) % 3
    return chunks(x, y, task, batch_size=batch_size, seed=seed, length=length, **options)


def epoch(dataset):
    """The real steps of one iteration, as a list of `Batch` of NumPy arrays."""
    steps = []
    for chunk, real in dataset:
        steps += [Batch(*(part[k].numpy() for part in chunk[:4])) for k in range(int(real))]
    return steps


def order(dataset):
    return np.concatenate([batch.y[batch.weight > 0] for batch in epoch(dataset)]).tolist()


@every_size
def test_every_row_comes_exactly_once_an_epoch_with_weight_one(rows, batch_size, length):
    dataset = data(rows, batch_size, length)
    for _ in range(3):
        steps = epoch(dataset)
        weight = np.concatenate([batch.weight for batch in steps])
        assert set(weight) <= {0, 1}
        assert weight.sum() == rows
        seen = np.concatenate([batch.y for batch in steps])[weight == 1]
        np.testing.assert_array_equal(np.sort(seen), np.arange(rows) + 100)


@every_size
def test_the_columns_of_a_row_stay_together(rows, batch_size, length):
    for batch in epoch(data(rows, batch_size, length)):
        np.testing.assert_array_equal(batch.x, np.stack([batch.y - 100] * 2, axis=-1))
        np.testing.assert_array_equal(batch.task, (batch.y - 100) % 3)


@every_size
def test_only_the_last_batch_is_padded_and_only_at_its_end(rows, batch_size, length):
    *full, last = epoch(data(rows, batch_size, length))
    assert all(batch.weight.all() for batch in full)
    rest = rows - len(full) * batch_size
    np.testing.assert_array_equal(last.weight, np.arange(batch_size) < rest)


@every_size
def test_an_epoch_has_as_many_steps_as_its_rows_need(rows, batch_size, length):
    dataset = data(rows, batch_size, length)
    steps = -(-rows // batch_size)
    counts = [int(real) for _, real in dataset]
    assert sum(counts) == steps
    assert len(counts) == int(dataset.cardinality()) == -(-steps // length)
    assert all(count == length for count in counts[:-1])


@every_size
def test_steps_beyond_the_real_ones_weigh_nothing(rows, batch_size, length):
    for chunk, real in data(rows, batch_size, length):
        assert not chunk.weight.numpy()[int(real) :].any()


def test_chunk_shapes_and_types_do_not_depend_on_the_number_of_rows():
    specs = {
        tuple((part.shape[0], part.shape[1:], part.dtype) for part in (*chunk[:4], real) if part.shape.rank)
        for rows in (1, 5, 24, 25)
        for chunk, real in data(rows)
    }
    assert specs == {
        (
            (3, tf.TensorShape([4, 2]), tf.uint8),
            (3, tf.TensorShape([4]), tf.int32),
            (3, tf.TensorShape([4]), tf.int32),
            (3, tf.TensorShape([4]), tf.float32),
        )
    }
    assert all(real.dtype == tf.int32 and real.shape.rank == 0 for _, real in data(5))


def test_static_shapes_are_known_so_that_one_trace_serves_every_task():
    first, second = (data(rows).element_spec[0] for rows in (5, 25))
    assert first == second
    assert first.x.shape == (3, 4, 2)


def test_two_epochs_have_different_orders():
    dataset = data(40)
    orders = [tuple(order(dataset)) for _ in range(5)]
    assert len(set(orders)) == 5
    assert tuple(range(100, 140)) not in orders


def test_an_order_is_a_shuffle_and_keeps_no_neighbours_together():
    dataset = data(200, batch_size=20)
    for _ in range(3):
        assert np.sum(np.abs(np.diff(order(dataset))) == 1) < 12  # two are expected


def test_two_datasets_of_the_same_seed_have_the_same_sequence_of_orders():
    one, other = data(40, seed=3), data(40, seed=3)
    assert [order(one) for _ in range(3)] == [order(other) for _ in range(3)]


def test_the_order_depends_on_the_seed_and_not_on_how_it_is_cut_into_chunks():
    assert order(data(40, seed=3)) != order(data(40, seed=4))
    assert order(data(40, length=3)) == order(data(40, length=7))


def test_every_row_may_come_first():
    dataset = data(5)
    first = [order(dataset)[0] for _ in range(40)]
    assert set(first) == set(range(100, 105))


# ---- a number of steps in place of an epoch --------------------------------------------------------------

# Rows, batch size, steps a chunk and steps: even passes and chunks; a rest of rows in every pass; a rest of
# a pass and of a chunk; fewer steps than a pass; less than a chunk; one batch a pass; one row a batch; one.
STEPS = [
    (24, 4, 3, 12), (26, 4, 3, 12), (26, 4, 5, 17), (26, 4, 2, 3), (26, 4, 40, 17), (7, 4, 3, 5),
    (5, 1, 4, 13), (4, 4, 1, 1),
]  # fmt: skip
every_number = pytest.mark.parametrize(("rows", "batch_size", "length", "iterations"), STEPS)


def passes(rows, batch_size, steps):
    """The rows of each pass over the data, as lists; a pass is as many whole batches as the rows make."""
    per_pass = rows // batch_size
    parts = [steps[start : start + per_pass] for start in range(0, len(steps), per_pass)]
    return [np.concatenate([batch.y for batch in part]).tolist() for part in parts]


@every_number
def test_an_iteration_has_exactly_the_steps_asked_for_in_full_chunks_but_the_last(
    rows, batch_size, length, iterations
):
    dataset = data(rows, batch_size, length, iterations=iterations)
    assert int(dataset.cardinality()) == -(-iterations // length)
    for _ in range(2):
        counts = [int(real) for _, real in dataset]
        assert sum(counts) == iterations
        assert len(counts) == int(dataset.cardinality())
        assert all(count == length for count in counts[:-1])


@every_number
def test_every_step_of_an_iteration_is_a_whole_batch_and_what_follows_weighs_nothing(
    rows, batch_size, length, iterations
):
    for chunk, real in data(rows, batch_size, length, iterations=iterations):
        assert chunk.weight.shape == (length, batch_size)
        np.testing.assert_array_equal(
            chunk.weight, np.broadcast_to((np.arange(length) < real)[:, np.newaxis], chunk.weight.shape)
        )


@every_number
def test_no_row_comes_twice_before_too_few_are_left_for_a_batch(rows, batch_size, length, iterations):
    dataset = data(rows, batch_size, length, iterations=iterations)
    for _ in range(3):
        steps = epoch(dataset)
        for drawn in passes(rows, batch_size, steps):
            assert len(set(drawn)) == len(drawn)
            assert set(drawn) <= set(range(100, 100 + rows))
        for batch in steps:  # and the columns of a row stay together
            np.testing.assert_array_equal(batch.x, np.stack([batch.y - 100] * 2, axis=-1))
            np.testing.assert_array_equal(batch.task, (batch.y - 100) % 3)


def test_every_pass_of_every_iteration_has_an_order_of_its_own():
    dataset = data(42, iterations=35)  # three passes of ten batches, and half of one
    drawn = [order for _ in range(4) for order in passes(42, 4, epoch(dataset))]
    assert [len(order) for order in drawn] == [40, 40, 40, 20] * 4
    assert len({tuple(order[:20]) for order in drawn}) == 16
    assert all(np.sum(np.abs(np.diff(order)) == 1) < 12 for order in drawn)  # a shuffle: two are expected


def test_the_rows_that_a_pass_leaves_out_change():
    """Of five rows in batches of four one is left out, each as often as any other."""
    dataset = data(5, iterations=200)
    left_out = [({*range(100, 105)} - {*drawn}).pop() for drawn in passes(5, 4, epoch(dataset))]
    counts = np.bincount(np.array(left_out) - 100, minlength=5)
    assert counts.sum() == 200
    assert (np.abs(counts - 40) < 4 * np.sqrt(200 * 0.2 * 0.8)).all()  # four standard deviations


def test_the_rows_of_given_steps_depend_on_the_seed_and_not_on_the_chunks():
    def orders(**options):
        dataset = data(26, iterations=17, **options)
        return [order(dataset) for _ in range(2)]

    first = orders(seed=3)
    assert first == orders(seed=3, length=7)
    assert first != orders(seed=4)


def test_chunks_look_the_same_with_a_number_of_steps_so_that_one_trace_serves_both():
    specs = [data(rows, **options).element_spec for rows in (9, 25) for options in ({}, {"iterations": 5})]
    assert all(spec == specs[0] for spec in specs)
    assert specs[0][0].x.shape == (3, 4, 2)


# ---- the length of a chunk -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch_size", "row_bytes", "expected"),
    [
        (10, 784, 512),  # MNIST: the largest number of steps is reached first
        (128, 784, 167),  # 16 MiB of images
        (128, 3072, 42),
        (1, 2**30, 1),
        (60000, 784, 1),
        (8, 0, 512),
    ],
)
def test_a_chunk_has_at_most_512_steps_and_about_16_mib(batch_size, row_bytes, expected):
    length = chunk_length(batch_size, row_bytes)
    assert length == expected
    assert isinstance(length, int)
    assert length == 1 or length * batch_size * row_bytes <= 16 * 2**20


def test_padding_repeats_rows_of_the_epoch_as_they_come():
    *_, last = epoch(data(13, batch_size=5, length=4))
    rows = [batch.y for batch in epoch(data(13, batch_size=5, length=4))]
    np.testing.assert_array_equal(last.y[3:], rows[0][:2])  # the first rows of the same epoch, with weight 0
    np.testing.assert_array_equal(last.weight, [1, 1, 1, 0, 0])
