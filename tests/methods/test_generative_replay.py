"""Generative replay: how many images are generated before a task, what its rows are, and what is refused."""

import functools
import math

import numpy as np
import pytest
from helpers import assert_same, blobs, learn

from keras_cl.errors import InputError
from keras_cl.methods.generative_replay import GenerativeReplay
from keras_cl.numerics.random import REPLAY, seed_of
from keras_cl.numerics.schedules import images_to_generate
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

pytestmark = pytest.mark.usefixtures("eagerly", "any_order")
B, OWN = 4, 6  # rows of a batch, and of a task
LISTED = (7, 0, 9, 3)
GROWTH = {
    "constant": (2000, 2000, 2000, 2000),
    "linear": (2000, 4000, 6000, 8000),
    "sublinear": (2000, 2828, 3464, 4000),
    "log": (2000, 3386, 4197, 4773),
    "list": LISTED,
}
every_schedule = pytest.mark.parametrize("schedule", GROWTH)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Function of a type of images that gives the path of ten classes of three rows."""

    @functools.cache
    def path(dtype):
        file = tmp_path_factory.mktemp("data") / "blobs.npz"
        np.savez(file, **blobs([OWN // 2] * 10, dtype=dtype))
        return str(file)

    return path


def settings(dataset, method="generative_replay", *, options=None, **given):
    path = dataset if isinstance(dataset, str) else dataset(np.uint8)
    own = {"memory.hidden": (8,), "memory.latent": 2, "memory.epochs": 2, "method.images": 20}
    own = {"network.hidden": (6,)} | (own if method == "generative_replay" else {}) | (options or {})
    fixed = {"stream": "split", "scenario": "class", "batch_size": B, "jit": "off"}
    return Config(method=method, dataset=path, options=own, **{**fixed, **given})


def made(config, seed=0):
    """A model and its stream; copies of network and generator have large weights, for images of all kinds."""
    stream = make_stream(config)
    model = make_model(config, stream, seed)
    model.run_eagerly = True
    if model.memory is not None:
        for copy in (model.memory.solver, model.memory.pixels):
            weights = np.random.default_rng(5)
            copy.set_weights([weights.normal(size=w.shape).astype(np.float32) for w in copy.get_weights()])
    return model, stream


def begun(number, dataset, seed=0, **given):
    """A model that begins a task, the task, and the rows that it is going to learn."""
    model, stream = made(settings(dataset, **given), seed)
    task = stream[number - 1]
    model.begin_task(task)
    return model, task, model.training_rows(task)


# ---- how many ----------------------------------------------------------------------------------------------


@every_schedule
def test_the_number_of_images_follows_the_schedule(schedule):
    found = [images_to_generate(schedule, done, 2000, 0.5, LISTED) for done in range(5)]
    assert found == [0, *GROWTH[schedule]]
    assert all(type(number) is int for number in found)


@pytest.mark.parametrize(("power", "fourth"), [(0.1, 2297), (0.25, 2828), (0.9, 6964)])
def test_a_sublinear_schedule_has_the_power_that_is_asked_for(power, fourth):
    assert images_to_generate("sublinear", 4, 2000, power, ()) == fourth


@pytest.mark.parametrize(
    ("schedule", "total"), [("constant", 68_000), ("linear", 80_000), ("sublinear", 72_292)]
)
def test_five_tasks_of_12000_rows_learn_from_the_known_number(schedule, total):
    assert sum(12_000 + images_to_generate(schedule, done, 2000, 0.5, ()) for done in range(5)) == total


@every_schedule
def test_a_task_has_its_own_rows_and_as_many_generated_ones_as_the_schedule_says(dataset, schedule):
    options = {"method.schedule": schedule, "method.images": 10, "method.listed": LISTED}
    model, stream = made(settings(dataset, options=options))
    for task in stream:
        model.begin_task(task)
        rows = model.training_rows(task)
        more = images_to_generate(schedule, task.index, 10, 0.5, LISTED)
        assert [len(part) for part in rows] == [OWN + more] * 3
        assert_same([part[:OWN] for part in rows[:2]], task.train.open())
        assert set(rows[2][:OWN].tolist()) == {task.index}


def test_without_images_every_task_is_that_of_fine_tuning_bit_for_bit(dataset):
    networks = []
    for method in ("generative_replay", "finetune"):
        options = {"method.images": 0} if method == "generative_replay" else {}
        model, stream = made(settings(dataset, method, options=options))
        for _ in learn(model, stream[:2], batch_size=B):
            pass
        networks.append(model.network.get_weights())
    assert_same(*networks)


# ---- what they are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["task", "class"])
@pytest.mark.parametrize("number", [2, 3])
def test_generated_rows_have_classes_of_earlier_tasks(dataset, scenario, number):
    options = {"method.images": 300}
    _, task, (_, y, own) = begun(number, dataset, scenario=scenario, options=options)
    old = {unit for one in task.seen[:-1] for unit in one.classes}
    assert len(set(y[OWN:].tolist())) > 1 and set(y[OWN:].tolist()) <= old
    assert set(own[OWN:].tolist()) <= set(range(task.index))
    if scenario == "task":
        np.testing.assert_array_equal(own[OWN:], y[OWN:] // 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_generated_images_have_the_type_of_the_tasks_own(dataset, dtype):
    model, task, (x, y, own) = begun(3, dataset(dtype))
    assert (x.dtype, x.shape[1:]) == (dtype, (4, 4, 1))
    images, *labels = model.memory.generated(len(x) - OWN, seed_of(0, task.index, REPLAY), task.index)
    expected = np.floor(images + 0.5) if dtype == np.uint8 else images  # to the nearest byte
    np.testing.assert_array_equal(x[OWN:], expected.astype(dtype))
    assert_same((y[OWN:], own[OWN:]), labels)
    assert expected.max() > (250 if dtype == np.uint8 else 0.9) and np.ptp(expected) > expected.max() / 2


def test_the_set_is_drawn_once_a_task(dataset, monkeypatch):
    (model, stream), calls = made(settings(dataset)), []
    generated = model.memory.generated

    def counted(n, seed, tasks):
        calls.append((n, seed, tasks))
        return generated(n, seed, tasks)

    monkeypatch.setattr(model.memory, "generated", counted)
    for task in stream[:3]:
        model.begin_task(task)
        first = model.training_rows(task)
        data = model.batches(task, B)
        model.fit(data, epochs=2, verbose=0)
        assert_same(model.training_rows(task), first)
        model.end_task(task)
    assert [(n, tasks) for n, _, tasks in calls] == [(0, 0), (20, 1), (28, 2)]
    assert len({seed for _, seed, _ in calls}) == 3


def test_a_set_depends_on_the_seed_and_the_task_alone(dataset):
    model, task, first = begun(2, dataset)
    model.begin_task(task)
    assert_same(model.training_rows(task), first)
    assert_same(begun(2, dataset)[2], first)
    _, _, other = begun(2, dataset, seed=1)
    assert np.abs(other[0][OWN:].astype(float) - first[0][OWN:]).max() > 20
    assert len(np.unique(first[0][OWN:], axis=0)) > 15


@pytest.mark.slow
def test_a_set_is_kept_no_longer_than_its_task(dataset):
    model, stream = made(settings(dataset))
    for _ in learn(model, stream[:1], batch_size=B):
        pass
    model.begin_task(stream[1])
    triples = [v for v in vars(model).values() if isinstance(v, tuple) and len(v) == 3]
    held = [v for v in triples if np.shape(v[0])[:1] == (20,)]
    assert len(held) == 1
    model.batches(stream[1], B)
    model.end_task(stream[1])
    assert not any(value is held[0] for value in vars(model).values())
    assert len(model.memory) == 0


# ---- who learns them ---------------------------------------------------------------------------------------


def in_any_order(x, y):
    return sorted((int(label), image.tobytes()) for label, image in zip(y, x, strict=True))


def test_network_and_generator_learn_the_own_and_the_generated_rows_alike(dataset):
    model, task, (x, y, _) = begun(3, dataset)
    data = model.batches(task, B)
    rows = []
    for chunk, _ in data:
        assert chunk.drawn is None
        there = chunk.weight.numpy() == 1
        rows += in_any_order(chunk.x.numpy()[there], chunk.y.numpy()[there])
    assert sorted(rows) == in_any_order(x, y)
    steps = math.ceil((OWN + 28) / B)
    model.fit(data, epochs=3, verbose=0)
    assert int(model.optimizer.iterations) == 3 * steps
    assert int(model.memory.generator.state[1]) == 0
    model.end_task(task)
    assert int(model.memory.generator.state[1]) == 2 * steps


def test_the_generator_learns_from_the_set(dataset):
    """Its weights after the task depend on what was generated before."""
    generators = []
    for brightness in (0, 200):
        model, task, _ = begun(2, dataset)
        x, y, own = model._generated
        model._generated = np.full_like(x, brightness), y, own
        model.batches(task, B)
        model.end_task(task)
        generators.append(model.memory.generator.get_weights())
    assert max(np.abs(one - other).max() for one, other in zip(*generators, strict=True)) > 1e-3


# ---- refusals ----------------------------------------------------------------------------------------------


def refused(**options):
    """Settings of a data set that is not there: what is refused is refused before it is read."""
    config = settings("mnist", options={f"method.{name}": value for name, value in options.items()})
    return make_model(config, make_stream(config), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "list"}, r"listed has 0 numbers of images and the stream 5 tasks: it takes 4, for all"),
        ({"schedule": "list", "listed": (5, 5, 5)}, "listed has 3 numbers of images"),
        ({"schedule": "list", "listed": (5, 5, -1, 5)}, "listed has the number -1 of images"),
        ({"images": -1}, "images is -1; it must not be negative"),
        ({"power": 0.0}, "power is 0.0; it must be above 0 and below 1"),
        ({"power": 1.0}, "power is 1.0; it must be above 0 and below 1"),
        ({"schedule": "sublinea"}, "schedule 'sublinea' is not known.*Did you mean sublinear"),
    ],
)
def test_schedules_that_cannot_be_used_are_refused_before_data_is_read(options, message):
    with pytest.raises(InputError, match=message):
        refused(**options)


def test_a_list_of_the_right_length_is_taken():
    assert isinstance(refused(schedule="list", listed=LISTED), GenerativeReplay)


def test_soft_labels_are_refused(dataset):
    with pytest.raises(InputError, match="stores rows with a class: not soft labels"):
        made(settings(dataset, options={"memory.labels": "soft"}))


def test_it_needs_a_generator(dataset):
    model, _ = made(settings(dataset))
    with pytest.raises(InputError, match="replays from a generator; give it a memory"):
        GenerativeReplay(model.network, tasks=5)
    with pytest.raises(InputError, match="cannot have the memory ring; possible: gan, vae"):
        settings(dataset, memory="ring")


def test_rows_of_a_step_are_not_for_it_to_draw():
    with pytest.raises(InputError, match="generative_replay does not replay rows in its steps"):
        settings("mnist", replay_batch_size=8)
