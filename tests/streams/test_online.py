"""A pass without tasks: the order of its rows, what is measured when, and what it refuses."""

import json

import numpy as np
import pytest
from helpers import blobs, silent

import keras_cl
from keras_cl import anytime, memories, methods, networks, regimes, sources, streams, train
from keras_cl.check.subject import short_chunks
from keras_cl.devices import ram
from keras_cl.errors import InputError
from keras_cl.settings.config import Config
from keras_cl.sources.lazy import LazyArray

EVERY, BATCH = 2, 4


def data_of(rows=(8, 9, 10, 11)):
    arrays = blobs(rows)
    return sources.from_arrays(*(arrays[f"{a}_{part}"] for part in ("train", "test") for a in "xy"), name="b")


def stream_of(**options):
    return streams.online(data_of(), **{"phases": 2, "every": EVERY, **options})


def er_on(stream, method="ER", memory=None, **options):
    memory = memories.Reservoir(stream, capacity=12) if memory is None else memory  # which is empty
    model = getattr(methods, method)(networks.mlp(stream, hidden=(8,)), memory=memory, **options)
    model.compile("adam", jit=False)
    return model


def learned(model, stream, **options):
    return keras_cl.learn(model, stream, batch_size=BATCH, display=silent(), **options)


# ---- rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchanged", [0, 50])
def test_the_rows_come_once_phase_after_phase_in_a_random_order(exchanged):
    stream = stream_of(exchanged=exchanged, disjoint=0)
    rows, phase = stream.order
    assert sorted(rows) == list(range(38))
    assert (np.diff(phase) >= 0).all()
    for t, part in enumerate(stream.phases):
        assert {*rows[phase == t]} == {*part.train.rows}
        assert (np.diff(rows[phase == t]) < 0).any()
    x, y = stream[0].train.open()
    np.testing.assert_array_equal(y, stream.source.train[1][rows])
    np.testing.assert_array_equal(x, stream.source.train[0][rows])


def test_there_is_one_task_of_all_classes_and_the_order_depends_on_the_seed():
    stream, again, other = stream_of(), stream_of(), stream_of(seed=1)
    assert len(stream) == 1 and stream[0].classes == (0, 1, 2, 3) and stream.class_mask.all()
    np.testing.assert_array_equal(stream.order[0], again.order[0])
    assert (stream.order[0] != other.order[0]).any()
    assert len(stream[0].test) == len(stream.source.test[1])


def test_held_out_rows_are_not_in_the_pass():
    stream = stream_of(valid_fraction=0.25)
    train, valid = {*stream[0].train.rows}, {*stream[0].valid.rows}
    assert not train & valid and train | valid == {*range(38)}


def test_the_batches_have_the_rows_in_the_order_of_the_stream():
    stream = stream_of()
    model = er_on(stream)
    model.begin_task(stream[0])
    expected, found = stream[0].train.open()[1], []
    for chunk, count in model.batches(stream[0], BATCH):
        assert EVERY % chunk.y.shape[0] == 0
        current, weight = chunk.y[:count, :BATCH].numpy(), chunk.weight[:count, :BATCH].numpy()
        found.append(current[weight > 0])
        assert not chunk.task[:, :BATCH].numpy().any()
    np.testing.assert_array_equal(np.concatenate(found), expected)


# ---- measurements ----------------------------------------------------------------------------------------


def test_a_measurement_is_of_the_classes_seen_by_then():
    stream = stream_of()
    first = int((stream.order[1] == 0).sum())  # rows of phase 1
    by_class = {0: (0.5, 10), 1: (1.0, 30), 2: (0.2, 10), 3: (0.6, 10)}
    found = stream.measured(first, by_class)
    assert found == {
        "rows": first,
        "seen_accuracy": pytest.approx(35 / 40),
        "seen_classes": 2,
        "phase": 1,
        "phase_1": pytest.approx(35 / 40),
        "phase_2": None,
    }
    (label,) = {*stream.source.train[1][stream.order[0][first : first + 1]].tolist()}
    found = stream.measured(first + 1, by_class)
    right = 35 + by_class[label][0] * 10
    assert found["seen_accuracy"] == pytest.approx(right / 50)
    assert (found["seen_classes"], found["phase"], found["phase_2"]) == (3, 2, None)
    assert stream.measured(38, by_class)["phase_2"] == pytest.approx(0.4)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("method", ["ER", "DER", "AGEM", "GDumb"])
def test_a_run_is_measured_every_n_steps_and_at_the_end(method, tmp_path):
    stream = stream_of()
    model = er_on(stream, method, memories.Ring(stream, capacity=12))
    with short_chunks():
        done = learned(model, stream, run_dir=tmp_path, export="none")
    records = json.loads((tmp_path / "checkpoints/task_001/results.json").read_text())["epochs"]
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10]
    assert [record["rows"] for record in records] == [8, 16, 24, 32, 38]
    assert records[-1]["seen_accuracy"] == pytest.approx(done.matrix[1, 0])
    assert done.summary == json.loads((tmp_path / "summary.json").read_text())
    assert anytime.summary(records).items() <= done.summary.items()
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"rows", "seen_accuracy", "seen_classes", "phase", "phase_1", "phase_2"} <= {*header}
    assert 0 < len(model.memory) <= 12
    # What is measured on the way does not change what is learned.
    rarely = stream_of(every=100)
    other = er_on(rarely, method, memories.Ring(rarely, capacity=12))
    learned(other, rarely)
    for one, same in zip(model.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.slow
def test_a_run_of_two_seeds_that_was_stopped_ends_like_one_that_was_not(tmp_path):
    def config(name):
        options = {"stream.phases": 2, "stream.every": EVERY, "network.hidden": (8,), "memory.capacity": 40}
        places = {"run_dir": str(tmp_path / name), "export_dir": str(tmp_path / "models")}
        np.savez(tmp_path / "b.npz", **blobs((8, 9, 10, 11)))
        given = {"dataset": str(tmp_path / "b.npz"), "batch_size": BATCH, "seeds": (0, 1), **places}
        return Config(method="er", stream="online", options=options, **given)

    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    train.run(config("whole"), display=silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams.online.__globals__["Online"], "measured", stop)
        with pytest.raises(Stopped):
            train.run(config("part"), display=silent())
    summary = train.run(config("part"), display=silent())
    assert summary["worst_case"]["n"] == 2
    one, other = ((tmp_path / name / "matrix.csv").read_text() for name in ("whole", "part"))
    assert one == other
    for seed in (0, 1):
        first, second = (
            json.loads((tmp_path / f"{name}/seed_{seed}/checkpoints/task_001/results.json").read_text())
            for name in ("whole", "part")
        )
        for ours, theirs in zip(first["epochs"], second["epochs"], strict=True):
            assert {k: v for k, v in ours.items() if k != "seconds"} == {
                k: v for k, v in theirs.items() if k != "seconds"
            }
    exported = [folder.name for folder in (tmp_path / "models/part/seed_0").iterdir() if folder.is_dir()]
    assert exported == ["1"]


def learned_by_gdumb(**options):
    stream = stream_of(**options)
    model = er_on(stream, "GDumb", memories.Balanced(stream, capacity=12), passes=3)
    return model, stream


@pytest.mark.parametrize("measured", [True, False])
def test_gdumb_ends_as_if_it_had_only_learned_its_memory(measured):
    model, stream = learned_by_gdumb()
    if measured:
        learned(model, stream)
        assert model._learn_memory.steps.experimental_get_tracing_count() == 1  # for memories of any size
    else:  # by hand, where `end_task` trains
        model.begin_task(stream[0])
        model.fit(model.batches(stream[0], BATCH), verbose=0)
        model.end_task(stream[0])
    alone = streams.split(data_of(), tasks=1, scenario="class")
    other = er_on(alone, "GDumb", memories.Balanced(alone, capacity=12))
    other.memory.update = lambda task: other.memory.refill(*model.memory.rows())
    other.begin_task(alone[0])
    other.fit(other.batches(alone[0], BATCH), epochs=3, verbose=0)
    for one, same in zip(model.network.get_weights(), other.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_rows_held_out_measure_gdumb_after_it_has_learned(tmp_path):
    model, stream = learned_by_gdumb(valid_fraction=0.25)
    learned(model, stream, run_dir=tmp_path)
    (*_, last) = json.loads((tmp_path / "checkpoints/task_001/results.json").read_text())["epochs"]
    assert last["val_loss"] == pytest.approx(model.evaluate(stream[0].valid, verbose=0)[0], rel=1e-5)


def test_the_loss_of_gdumb_is_that_of_the_coming_rows():
    model, stream = learned_by_gdumb(every=100)
    x, y = stream[0].train.open()
    untrained = model.network(x.astype(np.float32)).numpy()
    entropies = np.log(np.exp(untrained).sum(axis=1)) - untrained[np.arange(len(y)), y]
    model.begin_task(stream[0])
    history = model.fit(model.batches(stream[0], BATCH), verbose=0)
    assert history.history["loss"] == [pytest.approx(entropies.mean(), rel=1e-5)]
    assert model.memory.held().offered == len(x)


# ---- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 5}, "--tasks is 5, and the stream online has no tasks"),
        ({"phases": 0}, "phases is 0"),
        ({"phases": 3}, "do not split into 3 equal tasks; possible: 1, 2, 4"),
        ({"every": 0}, "every is 0; give the steps between two measurements"),
        ({"scenario": "task"}, "The stream online is class-incremental"),
    ],
)
def test_a_stream_that_cannot_be_is_refused_in_one_sentence(given, message):
    with pytest.raises(InputError, match=message):
        stream_of(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 2}, "--epochs is 2, and a stream without tasks is a single pass"),
        ({"iterations": 7}, "--iterations is 7, .* leave --iterations out"),
        ({"early_stopping": 3}, "--early_stopping is 3, .* leave --early_stopping out"),
        ({"eval_every": "epoch"}, "--eval_every is epoch, .* give --stream.every"),
        ({"method": "ewc"}, "ewc learns task by task.* without: agem, der, derpp, er, finetune, gdumb.$"),
        ({"method": "joint"}, "joint trains on all tasks so far, and this stream has no task boundaries"),
        ({"memory": "herding"}, "The memory herding chooses among all rows of a task"),
        ({"method": "finetune", "memory": "vae"}, "The memory vae learns task by task"),
    ],
)
def test_settings_that_need_tasks_are_refused_before_anything_is_read(given, message):
    with pytest.raises(InputError, match=message):
        Config(**{"method": "er", "stream": "online", "dataset": "no/such/file.npz", **given})


def test_a_pass_is_one_epoch_and_a_task_ten():
    assert Config(method="er", stream="online").epochs == 1
    assert Config(method="er", stream="split").epochs == 10


@pytest.mark.parametrize(
    ("options", "ring", "message"),
    [
        ({"weighting": "share"}, {}, "weights rows by the number of tasks; give --method.weighting=mean"),
        ({"offers": "task"}, {}, "offers rows at the end of a task; give --method.offers=step"),
        ({}, {"by": "task"}, "has a cell for each task; give --memory.by=class"),
    ],
)
def test_options_that_need_tasks_are_refused(options, ring, message):
    stream = stream_of()
    model = er_on(stream, memory=memories.Ring(stream, capacity=12, **ring), **options)
    with pytest.raises(InputError, match=f"{message}, and this stream has no task boundaries"):
        learned(model, stream)


@pytest.mark.usefixtures("eagerly")
def test_a_stable_regime_needs_no_boundary():
    stream = stream_of()
    model = methods.Finetune(networks.mlp(stream, hidden=(8,)))
    model.compile("sgd", jit=False, regime=regimes.Stable(decay=0.8))
    summary = learned(model, stream).summary
    assert 0 <= summary["anytime_area"] <= 1 and summary["forgetting"] is None


def test_a_pass_that_memory_does_not_hold_has_the_same_rows(monkeypatch):
    stream = stream_of()
    x, y = stream[0].train.open()
    monkeypatch.setattr(ram, "largest_whole", lambda: 0)
    lazy, same = stream[0].train.open()
    assert isinstance(lazy, LazyArray)
    np.testing.assert_array_equal(lazy, x)
    np.testing.assert_array_equal(same, y)


def test_a_class_without_test_rows_counts_for_nothing():
    stream = stream_of()
    by_class = dict.fromkeys((0, 2, 3), (0.5, 4))
    end = stream.measured(38, by_class)
    assert end["seen_accuracy"] == end["phase_1"] == 0.5
    assert stream.measured(1, {})["seen_accuracy"] is None
