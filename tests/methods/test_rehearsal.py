"""Any method with any memory, and the equalities that tie them to each other."""

import dataclasses
import functools

import numpy as np
import pytest
from helpers import assert_same, blobs, learn, small

from keras_cl.errors import InputError
from keras_cl.memories import Reservoir
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.catalog import generates, possible_memories, usual
from keras_cl.settings.config import SCENARIOS, Config
from keras_cl.settings.notices import expectation


def constants(method):
    return catalog.choice("method", method).constants


possible = possible_memories
STORED = [name for name in catalog.names("memory") if not generates(name)]


TAKING = [name for name in catalog.names("method") if possible(name)]
PAIRS = [(method, memory) for method in TAKING for memory in possible(method)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([5] * 4))
    return str(path)


def settings(dataset, method, memory, **given):
    scenario = constants(method).get("scenarios", SCENARIOS)[-1]
    kept = memory or usual(method)["memory"]
    capacity = {"memory.capacity": 8} if kept in STORED else {}
    options = small(method, memory) | capacity | given.pop("options", {})
    fixed = {"stream": "split", "scenario": scenario, "tasks": 2, "batch_size": 4, "jit": "off"}
    return Config(method=method, memory=memory, dataset=dataset, options=options, **{**fixed, **given})


def made(config, eagerly=True):
    model = make_model(config, make_stream(config), seed=0)
    model.run_eagerly = eagerly
    return model


@functools.cache
def learned(dataset, method, memory, options=(), eagerly=True):
    """A model that learned both tasks; to be looked at, since tests share it."""
    config = settings(dataset, method, memory, options=dict(options))
    model = made(config, eagerly)
    for _ in learn(model, make_stream(config), batch_size=config.batch_size):
        pass
    return model


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("method", "memory"),
    [pair if pair[1] == "reservoir" else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS],
)
def test_any_method_learns_with_any_memory_that_it_can_have(dataset, method, memory):
    online = catalog.load("method", method).online or method == "er"
    if online and not catalog.load("memory", memory).by_row:
        with pytest.raises(InputError, match="chooses among all rows of a task"):
            made(settings(dataset, method, memory))
        return
    model = learned(dataset, method, memory)
    assert all(np.isfinite(weights).all() for weights in model.network.get_weights())
    if model.memory.generates:
        x, y, task = model.memory.generated(20, seed=0, tasks=2)
        assert (len(x), len(model.memory)) == (20, 0)
        return
    x, y, task = model.memory.rows()
    assert len(x) == 8
    assert set(task.tolist()) == {0, 1}
    np.testing.assert_array_equal(task, y // 2)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("method", [name for name in TAKING if not usual(name)["memory"]])
def test_a_memory_changes_what_a_method_learns_from_the_second_task_on(dataset, method):
    with_memory, without = (learned(dataset, method, memory) for memory in ("ring", ""))
    pairs = zip(with_memory.network.get_weights(), without.network.get_weights(), strict=True)
    assert any(np.abs(one - other).max() > 1e-4 for one, other in pairs)
    assert without.memory is None


@pytest.mark.parametrize(
    "method",
    [
        m
        for m, memory in PAIRS
        if memory == "ring" and any(o.name == "strength" for o in catalog.choice("method", m).options)
    ],
)
@pytest.mark.slow
def test_without_its_penalty_a_method_with_a_memory_is_experience_replay_bit_for_bit(dataset, method):
    off = learned(dataset, method, "ring", (("method.strength", 0.0),), eagerly=False)
    er = learned(dataset, "er", "ring", (("method.offers", "task"),), eagerly=False)
    assert_same(off.network.get_weights(), er.network.get_weights())


@pytest.mark.parametrize("method", [name for name in catalog.names("method") if not possible(name)])
def test_a_method_that_can_have_no_memory_says_so_before_data_is_read(method):
    with pytest.raises(InputError, match=f"--memory is ring, and the method {method} can have no memory"):
        settings("no/such/file.npz", method, "ring")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "er", "memory": "resevoir"}, "memory 'resevoir' is not known.*Did you mean reservoir"),
        ({"method": "ewc", "replay_batch_size": 5}, "there is no --memory to replay rows from"),
        ({"method": "gem", "replay_batch_size": 5}, "gem does not replay rows in its steps"),
        ({"method": "er", "replay_batch_size": -1}, "replay_batch_size is -1"),
        ({"method": "gem", "memory": "herding"}, "gem cannot have the memory herding; possible: ring"),
        (
            {"method": "icarl", "memory": "reservoir", "scenario": "class"},
            "icarl cannot have the memory reservoir; possible: balanced, ",
        ),
        ({"method": "er", "options": {"memory.capacty": 3}}, "no option --memory.capacty.*memory.capacity"),
        ({"method": "finetune", "options": {"memory.capacity": 3}}, "no option --memory.capacity"),
        ({"method": "er", "momentum": 0.5, "optimizer": "adam"}, "--momentum is for --optimizer=sgd"),
        ({"method": "er", "momentum": 1.0, "optimizer": "sgd"}, "--momentum is 1.0"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_data_is_read(given, message):
    with pytest.raises(InputError, match=message):
        Config(dataset="no/such/file.npz", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": {"memory.capacity": 3}}, "replays 4 rows and the memory has room for 3"),
        ({"replay_batch_size": 9}, "replays 9 rows and the memory has room for 8"),
        ({"memory": "ring", "options": {"memory.capacity": 3}}, "no row for each of 4 class cells"),
        (
            {"options": {"memory.capacity": 2**31 - 1}},
            "GiB, training holds up to 6 copies",
        ),
    ],
)
def test_a_memory_that_is_too_small_or_large_is_refused_before_training(dataset, given, message):
    with pytest.raises(InputError, match=message):
        made(settings(dataset, "er", **{"memory": "reservoir", **given}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "gem"}, "momentum; this run used adam"),
        ({"method": "agem", "optimizer": "sgd", "momentum": 0.9}, "this run used sgd with momentum"),
        ({"method": "agem", "optimizer": "sgd"}, None),
        ({"method": "er"}, None),
    ],
)
def test_a_run_that_gives_up_a_methods_promise_says_so(given, said):
    sentence = expectation(Config(**given))
    assert (sentence is None) == (said is None)
    assert said is None or said in sentence


def test_momentum_is_that_of_sgd(dataset):
    config = settings(dataset, "finetune", "", optimizer="sgd", momentum=0.9)
    assert made(config).optimizer.momentum == 0.9
    assert dataclasses.replace(config, momentum=0.0).settings["momentum"] == 0.0


@pytest.mark.parametrize("method", [name for name in catalog.names("method") if not possible(name)])
def test_the_constructor_refuses_a_memory_too(dataset, method):
    config = settings(dataset, method, "")
    stream = make_stream(config)
    network = catalog.load("network", config.network)(stream, hidden=(4,))
    with pytest.raises(InputError, match=f"{method} can have no memory"):
        catalog.load("method", method)(network, memory=Reservoir(stream, capacity=8))


def begun(dataset, **options):
    """A model of `er` that begins the first task, its batches, and the task."""
    config = settings(
        dataset, "er", "reservoir", options={f"method.{name}": v for name, v in options.items()}
    )
    model, task = made(config, eagerly=False), make_stream(config)[0]
    model.begin_task(task)
    return model, model.batches(task, 4), task


def test_a_dataset_that_was_read_without_training_on_it_is_refused(dataset):
    model, data, task = begun(dataset)
    next(iter(data))
    with pytest.raises(InputError, match="planned for a memory in another state"):
        model.fit(data, verbose=0)
    model.fit(model.batches(task, 4), verbose=0)
    assert int(model.memory.held().offered) == len(task.train)


def test_rows_that_are_not_there_are_rows_of_the_step_again(dataset):
    """So that batch normalisation sees rows like the others."""
    _, data, _ = begun(dataset, offers="task")
    for chunk, real in data:
        for step in map(chunk.step, range(int(real))):
            assert not step.replayed().weight.numpy().any()
            np.testing.assert_array_equal(step.replayed().x, step.current.x)
