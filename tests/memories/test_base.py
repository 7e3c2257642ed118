"""What every memory is: rows in slots, of which the last writer has it; draws of distinct rows; refusals."""

import os
from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.generators import GAN, VAE
from keras_cl.learning.batches import Batch
from keras_cl.learning.memory_index import NOWHERE, MemoryIndex, distinct, last_writers
from keras_cl.memories import Balanced, GANMemory, Herding, Reservoir, Ring, VAEMemory
from keras_cl.regimes import Plain, Regime

SOURCE = sources.from_arrays(**blobs([12] * 4, side=2))
STREAM = streams.split(SOURCE, tasks=2)
FLOATS = streams.split(sources.from_arrays(**blobs([12] * 4, side=2, dtype=np.float32)), tasks=2)


def rows_of(count, seed=0, stream=STREAM):
    """`(x, y, task)` of some rows that are all different."""
    rng = np.random.default_rng(seed)
    x = rng.permutation(256)[:count].astype(stream.source.dtype)
    x = np.broadcast_to(x.reshape(-1, 1, 1, 1), (count, *stream.input_shape))
    return x, rng.integers(4, size=count), rng.integers(2, size=count)


def filled(count, capacity=None):
    memory = Reservoir(STREAM, capacity=capacity or count)
    rows = rows_of(count)
    memory.write(np.arange(count), *rows)
    return memory, rows


def chi_square(counts):
    """Statistic of counts that are expected to be equal."""
    counts = np.asarray(counts, float).ravel()
    return np.square(counts - counts.mean()).sum() / counts.mean()


# ---- writing ---------------------------------------------------------------------------------------------


def test_a_new_memory_holds_nothing():
    memory = Reservoir(STREAM, capacity=5)
    assert len(memory) == 0
    assert [len(part) for part in memory.rows()] == [0, 0, 0]
    assert (memory.held().filled, memory.held().offered) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_slot_has_its_last_writer_and_the_others_what_they_had(seed):
    rng = np.random.default_rng(seed)
    memory, slot_of = Reservoir(STREAM, capacity=6), {}
    memory.write(np.arange(6), *rows_of(6, seed=99))
    slot_of.update(enumerate(zip(*rows_of(6, seed=99), range(6), strict=True)))
    for turn in range(4):
        slots, rows = rng.integers(NOWHERE, 6, size=11), rows_of(11, seed=turn)
        for place, slot in enumerate(slots):
            if slot != NOWHERE:
                slot_of[slot] = (*(part[place] for part in rows), 6 + 11 * turn + place)
        memory.write(slots, *rows)
        held = memory.held()
        got = (*memory.rows(), held.number)
        assert_same(got, [np.stack([slot_of[s][i] for s in range(6)]) for i in range(4)])
        assert (len(memory), held.offered) == (6, 6 + 11 * (turn + 1))


def test_slots_in_use_grow_to_the_highest_one_and_unkept_rows_are_counted():
    memory = Reservoir(STREAM, capacity=5)
    x, y, task = rows_of(4)
    memory.write(np.array([0, 1, NOWHERE, 0]), x, y, task)
    assert (len(memory), memory.held().offered) == (2, 4)
    assert_same(memory.rows(), [part[[3, 1]] for part in (x, y, task)])
    memory.write(np.full(3, NOWHERE), *rows_of(3, seed=1))
    assert (len(memory), memory.held().offered) == (2, 7)
    assert_same(memory.rows(), [part[[3, 1]] for part in (x, y, task)])


def test_writing_no_row_changes_nothing():
    memory, rows = filled(3)
    memory.write(np.zeros(0, int), *(part[:0] for part in rows))
    assert_same(memory.rows(), rows)
    assert memory.held().offered == 3


def test_refilling_replaces_all_even_by_fewer_rows():
    memory, _ = filled(5)
    few = rows_of(2, seed=7)
    memory.refill(*few)
    assert len(memory) == 2
    assert_same(memory.rows(), few)
    memory.refill(*(part[:0] for part in few))
    assert len(memory) == 0


@pytest.mark.parametrize("stream", [STREAM, FLOATS])
def test_rows_are_kept_as_they_come_raw_and_bit_for_bit(stream):
    memory, task = Reservoir(stream, capacity=24), stream[1]
    memory.update(task)
    x, y, own = memory.rows()
    all_x, all_y = task.train.open()
    assert x.dtype == all_x.dtype == stream.source.dtype

    def lines(x, y):
        return sorted((line.tobytes(), int(unit)) for line, unit in zip(x, y, strict=True))

    assert lines(x, y) == lines(all_x, all_y)
    assert (own == 1).all()


def test_what_is_handed_out_is_a_copy_that_writing_does_not_change():
    memory, rows = filled(6)
    snapshot, constants = memory.slots_held(), tuple(map(tf.constant, memory.slots_held()))
    held, own_rows = memory.held(), memory.rows()
    before = [np.copy(part) for part in (held.y, held.task, held.number)]
    memory.write(np.arange(6), *rows_of(6, seed=5))
    for copy in (snapshot, constants, own_rows):
        assert_same(copy, rows)
    assert_same([held.y, held.task, held.number], before)
    held.put(np.array([0]), np.array([3]), np.array([1]))  # and the memory does not change with the copy
    assert_same(memory.rows(), rows_of(6, seed=5))
    assert memory.held().offered == 12


def test_a_cells_slots_come_the_longest_held_first():
    y, task, number = np.array([[2, 0, 2, 2, 2, 2], [1, 1, 1, 0, 1, 1], [9, 1, 4, 0, 5, 2]])
    held = MemoryIndex(y, task, number, filled=5, offered=10)
    assert held.cell(1, 2).tolist() == [2, 4, 0]
    assert held.cell(1).tolist() == [1, 2, 4, 0]
    assert held.cell(0, 0).tolist() == []


def test_an_update_offers_each_row_once_in_an_order_that_seed_and_task_decide():
    def kept(seed, task):
        memory = Reservoir(STREAM, capacity=24, seed=seed)
        memory.update(STREAM[task])
        assert memory.held().offered == 24
        return memory.rows()[0].tobytes()

    assert kept(1, 0) == kept(1, 0)
    assert len({kept(1, 0), kept(2, 0), kept(1, 1)}) == 3


def test_taking_a_chunk_leaves_out_padding_and_what_was_replayed():
    """Two steps of three rows, of which the last is padding, and of one replayed row; and a step of none."""
    x, y, task = rows_of(12)
    x, y, task = x.reshape(3, 4, *STREAM.input_shape), y.reshape(3, 4), task.reshape(3, 4)
    weight = np.float32([[1, 1, 1, 1], [1, 1, 0, 1], [0, 0, 0, 1]])
    stored = np.array([[0, -1, 1], [0, 2, -1], [-1, -1, -1]])
    memory = Reservoir(STREAM, capacity=5)
    memory.take(Batch(*map(tf.constant, (x, y, task, weight, stored, np.zeros((3, 1), int), [0, 3, 5]))))
    steps, places = [1, 0, 1], [0, 2, 1]
    assert_same(memory.rows(), [part[steps, places] for part in (x, y, task)])
    assert memory.held().offered == 5
    assert memory.held().number[:3].tolist() == [3, 2, 4]


# ---- batches of what is held -----------------------------------------------------------------------------


def taken(dataset, count):
    return [Batch(*(None if p is None else p.numpy() for p in batch)) for batch in dataset.take(count)]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_batches_are_endless_and_of_distinct_rows_that_are_held(size):
    memory, (x, y, task) = filled(7, capacity=9)
    known = {image.tobytes(): (unit, own) for image, unit, own in zip(x, y, task, strict=True)}
    dataset = memory.batches(size)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    batches = taken(dataset, 150)
    for batch in batches:
        images = [image.tobytes() for image in batch.x]
        assert len(set(images)) == size
        assert [known[image] for image in images] == list(zip(batch.y, batch.task, strict=True))
        assert (batch.weight == 1).all()
    counts = [sum((batch.x == image).all((1, 2, 3)).any() for batch in batches) for image in x]
    assert np.sum(counts) == 150 * size
    assert chi_square(counts) < 30  # of 6 degrees of freedom, and less because rows are distinct


def test_batches_depend_on_the_seed_alone_and_begin_anew_with_every_iteration():
    memory, _ = filled(7)
    one = memory.batches(3, seed=4)
    first = np.stack([batch.y for batch in taken(one, 130)])
    assert_same(first, [batch.y for batch in taken(one, 130)])
    assert_same(first, [batch.y for batch in taken(memory.batches(3, seed=4), 130)])
    assert (first != [batch.y for batch in taken(memory.batches(3, seed=5), 130)]).any()
    assert (first[:64] != first[64:128]).any()


def test_batches_are_of_what_was_held_when_they_were_asked_for():
    memory, rows = filled(4)
    dataset = memory.batches(4)
    memory.write(np.arange(4), *rows_of(4, seed=8))
    for batch in taken(dataset, 3):
        assert sorted(batch.x[:, 0, 0, 0]) == sorted(rows[0][:, 0, 0, 0])


# ---- draws -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("among", "count", "bound"), [(5, 2, 33.7), (6, 3, 49.6), (4, 1, 21.1), (5, 4, 23.5)]
)
def test_every_subset_is_drawn_as_often(among, count, bound):
    """Chi-square below the quantile of one in ten thousand, of 9, 19, 3 and 4 degrees of freedom."""
    chosen = distinct(np.random.default_rng(0), np.full(20000, among), count)
    assert chosen.shape == (20000, count)
    subsets = [tuple(sorted(row)) for row in chosen.tolist()]
    counts = [subsets.count(subset) for subset in combinations(range(among), count)]
    assert sum(counts) == 20000
    assert chi_square(counts) < bound


def test_as_many_as_there_are_is_all_of_them_and_of_fewer_each_once():
    among = np.arange(8).repeat(20)
    chosen = distinct(np.random.default_rng(1), among, 5)
    for row, there in zip(chosen, among, strict=True):
        drawn = row[row != NOWHERE]
        assert len(set(drawn)) == len(drawn) == min(5, there)
        assert set(drawn) <= set(range(there))


def test_the_same_generator_draws_the_same_and_goes_on():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    assert_same(distinct(one, np.full(9, 8), 3), distinct(other, np.full(9, 8), 3))
    assert (distinct(one, np.full(9, 8), 3) != distinct(np.random.default_rng(3), np.full(9, 8), 3)).any()


@pytest.mark.parametrize("seed", range(20))
def test_last_writers_are_those_that_no_later_one_replaces(seed):
    slots = np.random.default_rng(seed).integers(NOWHERE, 5, size=seed)
    expected = [i for i, slot in enumerate(slots) if slot != NOWHERE and slot not in slots[i + 1 :]]
    assert last_writers(slots).tolist() == expected


# ---- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [Reservoir, Ring, Balanced, Herding])
@pytest.mark.parametrize("capacity", [0, -3])
def test_a_memory_without_room_is_refused(memory, capacity):
    with pytest.raises(InputError, match=f"^The memory's capacity is {capacity}; it must be at least 1.$"):
        memory(STREAM, capacity=capacity)


def test_a_memory_that_the_machine_cannot_hold_is_refused():
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with pytest.raises(InputError, match="^A memory of .* GiB; give a smaller --memory.capacity.$"):
        Reservoir(STREAM, capacity=there // 4)  # four bytes a row


@pytest.mark.parametrize(
    ("memory", "options", "cells"),
    [(Balanced, {}, 4), (Herding, {}, 4), (Ring, {}, 4), (Ring, {"by": "task"}, 2)],
)
def test_a_memory_with_fewer_rows_than_cells_is_refused(memory, options, cells):
    text = rf"has no row for each of {cells} .*; give at least --memory\.capacity={cells}\.$"
    with pytest.raises(InputError, match=text):
        memory(STREAM, capacity=cells - 1, **options)
    assert memory(STREAM, capacity=cells, **options).capacity == cells


def test_a_cell_that_is_not_known_is_refused():
    with pytest.raises(InputError, match="^by 'clas' is not known; .* Did you mean class?"):
        Ring(STREAM, by="clas")


def test_a_batch_of_more_rows_than_are_held_is_refused():
    memory, _ = filled(4, capacity=9)
    with pytest.raises(InputError, match="^The memory holds 4 rows, fewer than a batch of 5.$"):
        memory.batches(5)


def test_room_for_fewer_rows_than_a_draw_is_refused():
    memory = Reservoir(STREAM, capacity=4)
    memory.require_room(4)
    with pytest.raises(InputError, match="^A step replays 5 rows and the memory has room for 4; "):
        memory.require_room(5)


def test_a_memory_that_sees_whole_tasks_does_not_take_rows_as_they_come():
    memory = Herding(STREAM, capacity=8)
    assert not memory.by_row
    with pytest.raises(NotImplementedError, match="Herding does not take rows as they come"):
        memory.slots(memory.held(), np.zeros(1, int), np.zeros(1, int), np.random.default_rng(0))
    with pytest.raises(InputError, match="chooses by features"):
        memory.update(STREAM[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("make", "option"),
    [
        (Reservoir, "capacity"),
        (VAEMemory, "beta"),
        (VAEMemory, "temperature"),
        (GANMemory, "learning_rate"),
        (VAE, "weight_decay"),
        (GAN, "penalty_weight"),
        (GAN, "class_weight"),
        (Regime, "factor"),
        (Plain, "floor"),
    ],
)
def test_options_from_python_are_finite_too(make, option, value):
    given = () if issubclass(make, Regime) else (STREAM,)
    with pytest.raises(InputError, match=f"^{option} is {value}; it must be a finite number.$"):
        make(*given, **{option: value})
