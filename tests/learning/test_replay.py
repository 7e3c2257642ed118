"""Replay: every step gets exactly what the memory held before it, by a simulation with a dictionary."""

import functools

import numpy as np
import pytest
from helpers import assert_same, blobs, learn

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.batches import MOST, PLANNED, Batch
from keras_cl.learning.memory_index import NOWHERE, last_writers
from keras_cl.learning.replay import Replay
from keras_cl.memories import Balanced, Herding, Reservoir, Ring
from keras_cl.methods import ER, EWC, Finetune
from keras_cl.networks import mlp

SOURCE = sources.from_arrays(**blobs([7, 6, 4, 6, 9, 11], side=3))
SPLIT = streams.split(SOURCE, tasks=3)  # of 13, 10 and 20 rows
PERMUTED = streams.permuted(sources.from_arrays(**blobs([5, 6], side=3)), tasks=3)  # of 11 rows each


class Recorded(ER):
    """Keeps the chunks that were trained on."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []

    def after_steps(self, chunk):
        super().after_steps(chunk)
        self.seen.append((chunk, np.count_nonzero(chunk.weight[:, 0])))


class Twice(ER):
    draws = 2


class Everything(ER):
    """Trains on all tasks so far: rows of a step are of several tasks."""

    def training_tasks(self, task):
        return list(task.seen)


def model_of(stream, memory, method=ER, *, optimizer="adam", seed=1, **options):
    model = method(mlp(stream, hidden=(8,), seed=3), seed=seed, memory=memory, **options)
    model.compile(optimizer, jit=False)
    return model


def weights_of(model):
    return [variable.numpy() for variable in model.network.variables]


def row(x, y, task):
    return np.asarray(x).tobytes(), int(y), int(task)


def rows_held(memory):
    return [row(*parts) for parts in zip(*memory.rows(), strict=True)]


# ---- the simulation --------------------------------------------------------------------------------------


class Simulation:
    """The memory of a model, as a dictionary `{slot: row}` that every step's `stored` is applied to."""

    def __init__(self, model, size):
        self.model, self.size, self.slots = model, size, {}

    def begin(self, task):
        model, memory = self.model, self.model.memory
        self.slots = dict(enumerate(rows_held(memory)))
        rows = (part.train.open() + (part.index,) for part in model.training_tasks(task))
        self.rows = {row(x, y, t) for xs, ys, t in rows for x, y in zip(xs, ys, strict=True)}
        self.held, self.rng = memory.held(), memory.rng(task.index)

    def chunk(self, chunk, real):
        steps = [Batch(*(part[k].numpy() for part in chunk if part is not None)) for k in range(len(chunk.x))]
        for batch in steps[:real]:
            self.check_current(batch)
            self.check_replayed(batch)
            self.store(batch)
        for batch in steps[real:]:
            assert not batch.current.weight.any()
            assert (batch.stored == NOWHERE).all()

    def check_current(self, batch):
        x, y, task, weight, *_ = batch.current
        assert weight[0] == 1
        assert {row(*parts[:3]) for parts in zip(x, y, task, weight, strict=True) if parts[3]} <= self.rows

    def check_replayed(self, batch):
        draws = self.model.draws
        assert len(batch.drawn) == draws * self.size
        for draw in range(draws):
            x, y, task, weight, *_ = batch.replayed(draw, draws)
            drawn = batch.drawn[draw * self.size : (draw + 1) * self.size]
            np.testing.assert_array_equal(weight, drawn != NOWHERE)
            known = drawn[drawn != NOWHERE].tolist()
            assert len(set(known)) == len(known) == min(self.size, len(self.slots))
            for place in np.flatnonzero(drawn != NOWHERE):
                assert row(x[place], y[place], task[place]) == self.slots[drawn[place]]

    def store(self, batch):
        """What a step leaves: where its rows go by the policy, if they are offered one by one."""
        x, y, task, weight, *_ = batch.current
        expected = np.full(len(x), NOWHERE)
        for place in np.flatnonzero(weight if self.model.online else []):
            offered = y[place : place + 1], task[place : place + 1]
            expected[place] = self.model.memory.slots(self.held, *offered, self.rng)[0]
            self.held.put(expected[place : place + 1], *offered)
        kept = last_writers(expected)
        assert np.flatnonzero(batch.stored != NOWHERE).tolist() == kept.tolist()
        assert batch.stored[kept].tolist() == expected[kept].tolist()
        for place in kept:
            self.slots[batch.stored[place]] = row(x[place], y[place], task[place])

    def check_memory(self):
        memory = self.model.memory
        assert dict(enumerate(rows_held(memory))) == self.slots
        assert_same(vars(memory.held()).values(), vars(self.held).values())


RESERVOIR = {"memory": Reservoir, "capacity": 6, "size": 4}
PIPELINES = [
    # Chunks of one step, of some, of more than an epoch; the last batch of an epoch is padded, or none is.
    RESERVOIR | {"length": 1},
    RESERVOIR | {"length": 3},
    RESERVOIR | {"length": 50},
    RESERVOIR | {"length": 3, "batch_size": 1},
    RESERVOIR | {"length": 2, "batch_size": 10},
    RESERVOIR | {"length": 3, "iterations": 7},
    RESERVOIR | {"length": 50, "iterations": 7, "stream": PERMUTED},
    # A memory of one row, one that is never full, draws of all that it can hold.
    RESERVOIR | {"length": 3, "capacity": 1, "size": 1},
    RESERVOIR | {"length": 3, "capacity": 400, "size": 5},
    RESERVOIR | {"length": 3, "size": 6},
    # Two draws; rows of several tasks in a step; rows that are offered at the end of a task only.
    RESERVOIR | {"length": 3, "method": Twice},
    RESERVOIR | {"length": 50, "method": Twice, "size": 6, "batch_size": 3},
    RESERVOIR | {"length": 3, "method": Everything},
    RESERVOIR | {"length": 3, "offers": "task"},
    RESERVOIR | {"length": 50, "offers": "task", "method": Twice, "capacity": 400},
    # Other memories.
    {"memory": Ring, "capacity": 13, "size": 4, "length": 3},
    {"memory": Ring, "capacity": 6, "size": 4, "length": 50, "stream": PERMUTED, "method": Everything},
    {"memory": Balanced, "capacity": 10, "size": 4, "length": 3},
    {"memory": Balanced, "capacity": 7, "size": 4, "length": 50, "method": Everything, "batch_size": 9},
    {"memory": Herding, "capacity": 13, "size": 4, "length": 3, "offers": "task"},
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, marks=[] if i % 3 == 0 else pytest.mark.slow, id=str(i))
        for i, c in enumerate(PIPELINES)
    ],
)
def test_every_step_replays_what_the_memory_held_before_it(case, monkeypatch):
    case = {"stream": SPLIT, "method": ER, "batch_size": 4, "iterations": 0, "offers": "step"} | case
    monkeypatch.setattr("keras_cl.learning.batches.chunk_length", lambda *_: case["length"])
    memory = case["memory"](case["stream"], capacity=case["capacity"], seed=5)
    model = model_of(case["stream"], memory, case["method"], offers=case["offers"], optimizer="sgd")
    simulation, specs = Simulation(model, case["size"]), []
    for task in case["stream"]:
        model.begin_task(task)
        simulation.begin(task)
        data = model.batches(task, case["batch_size"], case["iterations"], case["size"])
        specs.append(data.element_spec)
        for chunk, real in data.repeat(3):
            simulation.chunk(chunk, int(real))
            model.after_steps(chunk)
        simulation.check_memory()
        model.end_task(task)
        assert 0 < len(memory) <= case["capacity"]
    assert specs == [specs[0]] * 3


def test_fit_leaves_in_the_memory_what_was_trained_on_and_traces_once(monkeypatch):
    monkeypatch.setattr("keras_cl.learning.batches.chunk_length", lambda *_: 3)
    memory = Reservoir(SPLIT, capacity=8, seed=2)
    model = model_of(SPLIT, memory, Recorded)
    simulation, shapes = Simulation(model, 5), set()
    for task in SPLIT:
        model.begin_task(task)
        simulation.begin(task)
        data = model.batches(task, 4, replay_batch_size=5)
        for epochs in (2, 1):
            model.fit(data, epochs=epochs, verbose=0)
        assert sum(real for _, real in model.seen) == 3 * -(-len(task.train) // 4)
        for chunk, real in model.seen:
            shapes.add(tuple(tuple(part.shape) for part in chunk if part is not None))
            simulation.chunk(chunk, real)
        model.seen.clear()
        simulation.check_memory()
        model.end_task(task)
    assert memory.held().offered == 3 * (13 + 10 + 20)
    assert shapes == {((3, 9, 3, 3, 1), (3, 9), (3, 9), (3, 9), (3, 4), (3, 5), (3,))}
    assert model.train_function.steps.experimental_get_tracing_count() == 1


# ---- what is drawn ---------------------------------------------------------------------------------------


def after_first_task(method=ER, capacity=4, **options):
    """A model that has the memory of the first task and begins the second."""
    memory = Reservoir(SPLIT, capacity=capacity)
    model = model_of(SPLIT, memory, method, offers="task", **options)
    memory.update(SPLIT[0])
    model.begin_task(SPLIT[1])
    return model


def drawn(model, *sizes):
    data = model.batches(SPLIT[1], *sizes)
    return np.concatenate([chunk.drawn.numpy()[: int(real)] for chunk, real in data])


def test_two_draws_of_a_step_are_independent_and_each_is_uniform():
    """All pairs of one row of four and one row of four: chi-square of 15 degrees of freedom."""
    pairs = drawn(after_first_task(Twice), 1, 3200, 1)
    counts = np.bincount(pairs[:, 0] * 4 + pairs[:, 1], minlength=16)
    assert counts.sum() == 3200
    assert np.square(counts - 200).sum() / 200 < 44.3  # one of ten thousand is above


def test_draws_of_a_step_do_not_depend_on_those_before():
    slots = drawn(after_first_task(), 1, 3201, 1)[:, 0]
    counts = np.bincount(slots[:-1] * 4 + slots[1:], minlength=16)
    assert np.square(counts - 200).sum() / 200 < 44.3


def test_draws_depend_on_the_seed_alone():
    one, other = drawn(after_first_task(seed=1), 1, 50, 2), drawn(after_first_task(seed=2), 1, 50, 2)
    assert (one == drawn(after_first_task(seed=1), 1, 50, 2)).all()
    assert (one != other).any()


def test_as_many_rows_as_the_memory_holds_are_all_of_them_at_every_step():
    model = after_first_task(capacity=13)
    held = sorted(rows_held(model.memory))
    for chunk, real in model.batches(SPLIT[1], 4, replay_batch_size=13):
        for k in range(int(real)):
            x, y, task, weight, *_ = chunk.step(k).replayed()
            assert (weight.numpy() == 1).all()
            got = sorted(row(*parts) for parts in zip(x.numpy(), y.numpy(), task.numpy(), strict=True))
            assert got == held


def test_by_default_a_draw_is_as_large_as_a_batch():
    assert drawn(after_first_task(), 3).shape == (4, 3)
    assert drawn(after_first_task(), 3, 0, 2).shape == (4, 2)


def test_a_draw_larger_than_the_memory_is_refused():
    with pytest.raises(InputError, match="^A step replays 5 rows and the memory has room for 4; give a"):
        after_first_task().batches(SPLIT[1], 5)


# ---- what is not changed, and not copied -----------------------------------------------------------------


def test_a_method_without_a_memory_sees_the_same_rows_and_nothing_else():
    plain, model = model_of(SPLIT, None, Finetune), after_first_task()
    plain.begin_task(SPLIT[1])
    pairs = zip(plain.batches(SPLIT[1], 4).repeat(2), model.batches(SPLIT[1], 4).repeat(2), strict=True)
    for (chunk, real), (mixed, other) in pairs:
        assert int(real) == int(other)
        assert chunk.stored is chunk.drawn is None
        assert (len(chunk.x), len(mixed.x)) == (MOST, PLANNED)  # padding included
        assert_same([part[:PLANNED] for part in chunk[:4]], [part[:, :4] for part in mixed[:4]])
        assert_same(chunk.step(0).current[:4], mixed.step(0).current[:4])


def test_an_empty_memory_leaves_a_plain_step():
    one = model_of(SPLIT, Reservoir(SPLIT, capacity=8), offers="task", optimizer="sgd")
    other = model_of(SPLIT, None, Finetune, optimizer="sgd")
    for model in (one, other):
        list(learn(model, SPLIT[:1], batch_size=4, epochs=2))
    for mine, plain in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(mine, plain, atol=1e-6)
    assert len(one.memory) == 8


@pytest.mark.parametrize("offers", [True, False])
def test_the_pipeline_holds_the_memorys_slots_and_no_other_images(offers):
    memory = Reservoir(SPLIT, capacity=6)
    memory.update(SPLIT[0])
    _, y, own = model_of(SPLIT, memory).training_rows(SPLIT[2])
    replay = Replay(memory, y, own, index=2, size=2, offers=offers)
    (held,) = [value for value in vars(replay).values() if isinstance(value, tuple)]
    assert_same(held, memory.slots_held())
    arrays = [value for value in vars(replay).values() if isinstance(value, np.ndarray)]
    assert all(array.ndim == 1 and len(array) in (6, len(y)) for array in arrays)
    memory.update(SPLIT[1])  # what it holds does not change with the memory
    assert not np.array_equal(held[0], memory.slots_held()[0])


# ---- equal methods ---------------------------------------------------------------------------------------


@functools.cache
def learned(memory, method, **options):
    """A model after two tasks."""
    model = model_of(SPLIT, memory(SPLIT, capacity=8, seed=4), method, **options)
    list(learn(model, SPLIT[:2], batch_size=4, epochs=3))
    return model


@pytest.mark.parametrize(
    ("memory", "method", "options"),
    [
        (Reservoir, ER, {"offers": "task"}),
        (Herding, ER, {"offers": "task"}),
        (Reservoir, EWC, {"strength": 0.0}),
    ],
)
def test_finetune_with_a_memory_is_er_and_ewc_without_a_penalty_bit_for_bit(memory, method, options):
    one, other = learned(memory, Finetune), learned(memory, method, **options)
    assert_same(weights_of(one), weights_of(other))
    assert_same(one.memory.rows(), other.memory.rows())
    if method is EWC:  # there was something to multiply by 0
        assert any(importance.numpy().any() for importance in other.penalty.importance)
