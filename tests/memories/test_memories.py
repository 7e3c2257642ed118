"""Which rows each policy keeps, against naive samplers that take one row at a time."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same, blobs

from keras_cl import sources, streams
from keras_cl.generators.memory import GenerativeMemory
from keras_cl.learning.memory_index import NOWHERE
from keras_cl.memories import Balanced, Herding, Reservoir, Ring
from keras_cl.memories.base import Memory
from keras_cl.memories.herding import herded
from keras_cl.methods.rtf import Feedback

SOURCE = sources.from_arrays(**blobs([8, 9, 10, 11, 12, 13], side=2))
STREAM = streams.split(SOURCE, tasks=3)  # six cells, of units 0, 1; 2, 3; 4, 5

POLICIES = {
    "reservoir": lambda capacity: Reservoir(STREAM, capacity=capacity),
    "ring of classes": lambda capacity: Ring(STREAM, capacity=capacity),
    "ring of tasks": lambda capacity: Ring(STREAM, capacity=capacity, by="task"),
    "balanced": lambda capacity: Balanced(STREAM, capacity=capacity),
}
every_policy = pytest.mark.parametrize("policy", POLICIES)


def offering(count, seed, sorted_by_task=True):
    """Output units and tasks of some rows, with some cells much more often than others."""
    rng = np.random.default_rng(seed)
    y = rng.choice(6, count, p=rng.dirichlet(np.ones(6)))
    y = np.concatenate([y[y // 2 == t] for t in range(3)]) if sorted_by_task else y
    return y, y // 2


def offer(memory, y, task, pieces=(), seed=0):
    """The slots that rows get, offered up to each of `pieces` and then the rest; and what is held then."""
    held, rng, slots = memory.held(), np.random.default_rng(seed), []
    for part in zip(np.split(y, pieces), np.split(task, pieces), strict=True):
        slots.append(memory.slots(held, *part, rng))
        held.put(slots[-1], *part)
    return np.concatenate(slots), held


# ---- a memory that is offered one row at a time, in plain Python -----------------------------------------


class Naive:
    """Slots `{slot: (number, task, unit)}` of rows that are offered one by one."""

    def __init__(self, memory, rng):
        self.memory, self.rng, self.slots, self.seen = memory, rng, {}, set()
        self.offered = 0

    def offer(self, unit, task):
        slot = getattr(self, type(self.memory).__name__.lower())(unit, task)
        if slot != NOWHERE:
            self.slots[slot] = (self.offered, task, unit)
        self.offered += 1
        return slot

    def cell(self, *wanted):
        """Slots of a task's rows, or of a task's and a unit's."""
        return sorted(slot for slot, (_, *cell) in self.slots.items() if tuple(cell[: len(wanted)]) == wanted)

    def reservoir(self, unit, task):
        j = int(self.rng.random() * (self.offered + 1))
        if self.offered < self.memory.capacity:
            return self.offered
        return j if j < self.memory.capacity else NOWHERE

    def ring(self, unit, task):
        by_class = self.memory.share == self.memory.capacity // 6
        own = self.cell(task, unit) if by_class else self.cell(task)
        if len(own) < self.memory.share:
            return len(self.slots)
        return min(own, key=self.slots.get)

    def balanced(self, unit, task):
        """The greedy sampler of GDumb."""
        self.seen.add((task, unit))
        if len(self.cell(task, unit)) >= self.memory.capacity / len(self.seen):
            return NOWHERE
        if len(self.slots) < self.memory.capacity:
            return len(self.slots)
        sizes = {cell: len(self.cell(*cell)) for cell in sorted(self.seen)}
        largest = [cell for cell, size in sizes.items() if size == max(sizes.values())]
        loser = self.cell(*largest[self.rng.integers(len(largest))])
        return loser[self.rng.integers(len(loser))]


@every_policy
@pytest.mark.parametrize("sorted_by_task", [True, False])
@pytest.mark.parametrize("capacity", [6, 7, 13, 20, 60])
def test_rows_get_the_slots_that_a_naive_sampler_gives_them(policy, sorted_by_task, capacity):
    for seed in range(4):
        memory = POLICIES[policy](capacity)
        y, task = offering(70, seed, sorted_by_task)
        naive = Naive(memory, np.random.default_rng(seed))
        expected = [naive.offer(*row) for row in zip(y.tolist(), task.tolist(), strict=True)]
        slots, held = offer(memory, y, task, seed=seed)
        assert slots.tolist() == expected
        assert {
            s: row
            for s, row in enumerate(zip(held.number, held.task, held.y, strict=True))
            if s < held.filled
        } == naive.slots


@every_policy
def test_rows_offered_at_once_or_in_pieces_get_the_same_slots(policy):
    rng = np.random.default_rng(5)
    for seed in range(12):
        memory = POLICIES[policy](6 + 2 * seed)
        y, task = offering(90, seed, sorted_by_task=seed % 2)
        slots, held = offer(memory, y, task)
        for pieces in (range(1, 90), range(7, 90, 7), np.sort(rng.integers(0, 91, 6)), [45]):
            others, after = offer(memory, y, task, pieces)
            assert_same([others], [slots])
            assert_same(vars(after).values(), vars(held).values())


@every_policy
@pytest.mark.parametrize("capacity", [6, 13, 40])
def test_slots_in_use_are_the_first_ones_at_any_time(policy, capacity):
    for seed in range(5):
        y, task = offering(80, seed, sorted_by_task=seed % 2)
        memory = POLICIES[policy](capacity)
        slots, _ = offer(memory, y, task)
        used = set()
        for slot in slots[slots != NOWHERE]:
            used.add(int(slot))
            assert used == set(range(len(used)))
        assert len(used) <= capacity


@every_policy
def test_no_rows_get_no_slots_and_slots_depend_on_the_generator_alone(policy):
    memory, (y, task) = POLICIES[policy](10), offering(60, 1, sorted_by_task=False)
    assert memory.slots(memory.held(), y[:0], task[:0], np.random.default_rng(0)).shape == (0,)
    assert_same(offer(memory, y, task, seed=3)[:1], offer(memory, y, task, seed=3)[:1])
    if not policy.startswith("ring"):  # which has no choice
        assert (offer(memory, y, task, seed=3)[0] != offer(memory, y, task, seed=4)[0]).any()
    assert len(memory) == 0  # asking for slots changes nothing


@every_policy
def test_updates_of_a_stream_hold_rows_as_they_are_each_once(policy):
    memory, images = POLICIES[policy](18), set()
    for task in STREAM:
        memory.update(task)
        x, y = task.train.open()
        images |= {(row.tobytes(), int(unit), task.index) for row, unit in zip(x, y, strict=True)}
        rows = [(x.tobytes(), int(unit), int(own)) for x, unit, own in zip(*memory.rows(), strict=True)]
        assert len(rows) == len(memory) <= 18
        assert set(rows) <= images
        held = memory.held().number[: len(memory)]
        assert len(set(held.tolist())) == len(rows)
    assert memory.held().offered == 63
    tasks = np.bincount(memory.rows()[2], minlength=3)
    assert (tasks == 6).all() or policy == "reservoir"


# ---- reservoir -------------------------------------------------------------------------------------------


def reservoirs(runs, offered, capacity=5):
    """Slots `[runs, offered]` of many independent runs."""
    memory, rng = Reservoir(STREAM, capacity=capacity), np.random.default_rng(0)
    held, zeros = memory.held(), np.zeros(offered, int)
    return np.stack([memory.slots(held, zeros, zeros, rng) for _ in range(runs)])


def contents(slots, capacity=5):
    """The row in each slot `[runs, capacity]`."""
    rows = np.zeros((len(slots), capacity), int)
    for number, column in enumerate(slots.T):
        run = np.flatnonzero(column != NOWHERE)
        rows[run, column[run]] = number
    return rows


def test_each_row_is_held_with_the_same_probability_in_any_slot():
    """10^4 runs of 5 of 20 rows: each is held in a quarter of them. Chi-square of 19 degrees of freedom has
    43.8 and less but in one of a thousand cases; here, without replacement, its scale is 1 - 5/20."""
    rows = contents(reservoirs(10_000, 20))
    counts = np.bincount(rows.ravel(), minlength=20)
    assert counts.sum() == 50_000
    assert np.square(counts - 2500).sum() / 2500 < 43.8 * 0.75
    assert (np.abs(counts / 10_000 - 0.25) < 0.02).all()  # 4.6 standard deviations
    for slot in range(5):  # a later row is in any of the slots, each as often; the first ones in their own
        late = np.bincount(rows[:, slot], minlength=20)[5:]
        assert np.square(late - 500).sum() / 500 < 42.6  # of 14 degrees of freedom, one of ten thousand


def test_the_first_rows_stay_in_order_while_there_is_room():
    for offered in range(6):
        assert (reservoirs(3, offered) == np.arange(offered)).all()


def test_the_row_after_the_last_free_slot_is_dropped_once_in_capacity_plus_one():
    """Its slot is drawn with the upper bound included: an exclusive one would always store it."""
    slot = reservoirs(20_000, 6)[:, 5]
    counts = np.bincount(slot + 1, minlength=6)
    assert np.square(counts - 20_000 / 6).sum() / (20_000 / 6) < 25.7  # of 5, one of ten thousand


# ---- ring ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "capacity", "share"), [("class", 20, 3), ("class", 6, 1), ("task", 20, 6)])
def test_each_cell_of_a_ring_holds_its_last_rows_in_the_order_in_which_they_came(by, capacity, share):
    memory = Ring(STREAM, capacity=capacity, by=by)
    assert memory.share == share
    y, task = offering(90, 3, sorted_by_task=False)
    for count in (0, 1, 5, 20, 60, 90):
        _, held = offer(memory, y[:count], task[:count])
        cells = [(u // 2, u) for u in range(6)] if by == "class" else [(t,) for t in range(3)]
        for cell in cells:
            came = np.flatnonzero((task[:count] == cell[0]) & ((y[:count] == cell[-1]) | (by == "task")))
            assert held.number[held.cell(*cell)].tolist() == came[-share:].tolist()
            assert (held.task[held.cell(*cell)] == cell[0]).all()


# ---- balanced --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [6, 10, 11, 17, 40])
def test_cells_that_come_one_after_another_are_held_as_often_but_for_one(capacity):
    y = np.repeat(np.arange(6), 50)
    for cells in range(1, 7):
        _, held = offer(Balanced(STREAM, capacity=capacity), y[: 50 * cells], y[: 50 * cells] // 2)
        assert held.filled == capacity
        counts = np.bincount(held.y, minlength=6)
        assert not counts[cells:].any()
        assert counts[:cells].max() - counts[:cells].min() <= 1


def test_the_row_that_makes_room_is_of_a_largest_cell_and_any_of_its_rows_may():
    y, evicted, memory = np.repeat([0, 1, 2], [5, 5, 1]), [], Balanced(STREAM, capacity=10)
    for seed in range(300):
        slots, _ = offer(memory, y, y // 2, seed=seed)
        assert slots[:10].tolist() == list(range(10))
        evicted.append(slots[10])
    counts = np.bincount(evicted, minlength=10)
    assert np.square(counts - 30).sum() / 30 < 33.7  # of 9 degrees of freedom, one of ten thousand


def test_of_two_largest_cells_each_makes_room_as_often():
    y, lost, memory = np.repeat([0, 1, 2], [9, 9, 1]), [], Balanced(STREAM, capacity=6)
    for seed in range(400):
        _, held = offer(memory, y, y // 2, seed=seed)
        lost.append(np.bincount(held.y, minlength=3).tolist())
    assert all(sorted(counts) == [1, 2, 3] for counts in lost)
    assert 140 < sum(counts[0] == 2 for counts in lost) < 260  # six standard deviations


def test_a_cell_keeps_all_its_rows_up_to_its_quota_and_none_above_it_while_it_is_alone():
    _, held = offer(Balanced(STREAM, capacity=8), np.zeros(20, int), np.zeros(20, int))
    assert held.number.tolist() == list(range(8))
    y = np.array([0, 1] * 10)  # of two cells each has a quota of 4
    slots, _ = offer(Balanced(STREAM, capacity=8), y, y // 2)
    assert slots.tolist() == [*range(8), *[NOWHERE] * 12]


# ---- herding ---------------------------------------------------------------------------------------------


def test_the_order_of_three_features_by_hand():
    assert herded(np.array([[1, 0], [0, 1], [0.6, 0.8]]), 3).tolist() == [2, 0, 1]


def features(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 3)) + 1


@pytest.mark.parametrize("seed", range(5))
def test_the_first_exemplars_of_many_are_those_of_few_and_none_comes_twice(seed):
    phi = features(15, seed)
    order = herded(phi, 15)
    assert sorted(order) == list(range(15))
    assert all(herded(phi, m).tolist() == order[:m].tolist() for m in range(16))
    assert herded(phi, 40).tolist() == order.tolist()
    assert herded(np.ones((4, 2)), 4).tolist() == [0, 1, 2, 3]  # ties are no reason to take one again


@pytest.mark.parametrize("shape", [(30, 3), (200, 64), (150, 300)])
def test_the_order_is_that_of_the_distances_to_the_mean(shape):
    phi = np.maximum(np.random.default_rng(0).normal(size=shape), 0).astype(np.float32)
    unit = phi / np.maximum(np.linalg.norm(phi.astype(float), axis=1, keepdims=True), 1e-12)
    mu, order = unit.mean(axis=0), []
    for k in range(1, 31):
        distance = np.square(mu - (unit + unit[order].sum(axis=0)) / k).sum(axis=1)
        distance[order] = np.inf
        order.append(int(distance.argmin()))
    assert herded(phi, 30).tolist() == order


@pytest.mark.parametrize("seed", range(5))
def test_every_exemplar_brings_the_mean_closest(seed):
    phi = features(12, seed)
    phi /= np.linalg.norm(phi, axis=1, keepdims=True)
    mu, order = phi.mean(axis=0), herded(phi, 12).tolist()
    for k in range(12):
        distance = [np.linalg.norm(mu - phi[[*order[:k], p]].mean(axis=0)) for p in order[k:]]
        assert distance[0] <= min(distance) + 1e-12
    np.testing.assert_allclose(phi[order].mean(axis=0), mu, atol=1e-12)


def test_the_scale_of_each_feature_does_not_matter_and_zeros_are_no_fault():
    phi = features(15)
    scale = np.random.default_rng(1).uniform(0.01, 100, (15, 1))
    assert herded(phi, 9).tolist() == herded(phi * scale, 9).tolist()
    assert herded(np.zeros((3, 2)), 2).tolist() == [0, 1]
    assert herded(phi.astype(np.float16), 9).shape == (9,)


def test_cells_have_equal_shares_and_old_ones_keep_their_first_exemplars():
    memory, lists = Herding(STREAM, capacity=25), {}

    def see(x):
        return x.reshape(len(x), -1).astype(np.float32)

    for task, share in zip(STREAM, (12, 6, 4), strict=True):
        memory.update(task, see)
        x, y = task.train.open()
        for unit in np.unique(y).tolist():
            own = x[y == unit]
            lists[task.index, unit] = own[herded(see(own), share)]
        assert len(memory) == sum(min(share, len(rows)) for rows in lists.values())
        rows, held = memory.rows()[0], memory.held()
        for cell, own in lists.items():
            assert_same([rows[held.cell(*cell)]], [own[:share]])
    assert {len(memory.held().cell(*cell)) for cell in lists} == {4}


# ---- classes that come back ------------------------------------------------------------------------------


def returning(scenario):
    """Class 1 is in both tasks."""
    shape = SOURCE.input_shape
    return streams.Stream("returning", scenario, SOURCE, ((0, 1), (1, 2)), (lambda x: x,) * 2, shape)


@pytest.mark.parametrize(("scenario", "cells"), [("task", 4), ("domain", 4), ("class", 3)])
def test_a_class_that_comes_back_is_one_cell_if_classes_accumulate(scenario, cells):
    stream = returning(scenario)
    for policy in (Balanced, Herding, Reservoir):
        assert policy(stream, capacity=12).cells == cells


@pytest.mark.parametrize("policy", [Balanced, Herding])
def test_a_class_that_comes_back_has_the_share_of_one_class(policy):
    stream = returning("class")
    memory = policy(stream, capacity=12)
    for task in stream:
        memory.update(task, lambda x: np.reshape(x, (len(x), -1)).astype(float))
    _, y, task = memory.rows()
    np.testing.assert_array_equal(np.bincount(y), [4, 4, 4])
    assert set(task[y == 0]) == {0}
    assert set(task[y == 2]) == {1}


def test_herding_takes_no_image_twice_when_all_rows_of_a_class_come_back():
    stream = returning("class")
    memory = Herding(stream, capacity=24)
    for task in stream:
        memory.update(task, lambda x: np.reshape(x, (len(x), -1)).astype(float))
    x, y, _ = memory.rows()
    assert len(np.unique(x[y == 1], axis=0)) == np.count_nonzero(y == 1) == 8


def test_a_ring_holds_a_class_that_comes_back_for_each_of_its_tasks():
    stream = returning("class")
    memory = Ring(stream, capacity=12)
    for task in stream:
        memory.update(task)
    _, y, task = memory.rows()
    cells, counts = np.unique(np.stack([task, y]), axis=1, return_counts=True)
    np.testing.assert_array_equal(cells.T, [[0, 0], [0, 1], [1, 1], [1, 2]])
    np.testing.assert_array_equal(counts, 3)


# ---- in a traced step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [Memory, GenerativeMemory, Feedback])
@pytest.mark.parametrize("name", ["mixed", "learn"])
def test_autograph_can_convert_what_a_step_asks_of_a_memory(memory, name):
    tf.autograph.to_graph(getattr(memory, name))  # a function that it cannot convert warns in every run
