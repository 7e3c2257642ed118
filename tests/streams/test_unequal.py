"""Methods on tasks with unequal numbers of classes, and their exports."""

import numpy as np
import pytest
from helpers import blobs, learn, small

from keras_cl import memories, methods, sources
from keras_cl.networks import mlp
from keras_cl.runs import saved_model
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from keras_cl.streams import blurry, imbalanced, repeating, split

SCENARIOS = ("task", "domain", "class")
METHODS = [
    ("agem", "class"),
    ("derpp", "domain"),
    ("gem", "task"),
    ("gdumb", "class"),
    ("icarl", "class"),
    ("lwf", "task"),
    ("lwf", "class"),
    ("dgr", "class"),
    ("ewc", "task"),
    ("hat", "task"),
]


def data_of(rows):
    arrays = blobs(rows)
    return sources.from_arrays(*(arrays[f"{a}_{part}"] for part in ("train", "test") for a in "xy"), name="b")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs((12,) * 5))
    return str(path)


def model_of(method, scenario, file):
    """A model and its stream of tasks of three and of two classes."""
    plain = {
        "method": method,
        "stream": "split",
        "dataset": file,
        "scenario": scenario,
        "jit": "off",
        "batch_size": 6,
    }
    known = Config(**plain).known_options
    wanted = {**small(method), "memory.capacity": 30, "stream.sizes": (3, 2)}
    config = Config(**plain, options={name: value for name, value in wanted.items() if name in known})
    stream = make_stream(config)
    return make_model(config, stream, seed=0), stream


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("method", "scenario"), METHODS)
def test_methods_learn_tasks_of_unequal_size(method, scenario, file):
    model, stream = model_of(method, scenario, file)
    for task in learn(model, stream, batch_size=6):
        found = model.accuracies(stream)
        assert np.isfinite(found[: task.number]).all()
        assert all(np.isfinite(weight).all() for weight in model.network.get_weights())
    if model.memory is not None and not model.memory.generates:
        _, y, owner = model.memory.rows()
        assert {*map(tuple, np.stack([owner, y], axis=1).tolist())} == {
            (t, c) for t, c in np.argwhere(stream.labels >= 0).tolist()
        }


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exports_answer_as_models_are_evaluated(scenario):
    stream = split(data_of((8,) * 5), sizes=(3, 2), scenario=scenario)
    network = mlp(stream, hidden=(8,))
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights(
        [kernel * 0, np.arange(len(bias), dtype=np.float32)]
    )  # the last active one
    told = saved_model._answer_with_task(network, stream)
    for task in stream:
        x, y = task.test.open()
        unit = np.flatnonzero(stream.class_mask[task.index])[-1]
        answers = told(x.astype(np.float32), np.full(len(x), task.index))["class"].numpy()
        assert (answers == stream.labels[task.index][unit]).all()
    # Not known in the domain-incremental scenario, so that what a small task never shows can be predicted.
    assert (answers[0] == -1) == (scenario == "domain")


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", ["er", "icarl", "gem"])
@pytest.mark.parametrize(
    "make",
    [
        lambda data: blurry(data, tasks=2, exchanged=30),
        lambda data: blurry(data, tasks=2, exchanged=30, disjoint=0),
        lambda data: repeating(data, tasks=2, returns=(0.8,)),
        lambda data: imbalanced(data, tasks=2, ratio=3),
    ],
    ids=["blurry", "all blurry", "repeating", "imbalanced"],
)
def test_memories_hold_what_tasks_show(name, make):
    stream = make(data_of((20,) * 4))
    kind, memory = {
        "er": (methods.ER, memories.Balanced),
        "icarl": (methods.ICaRL, memories.Herding),
        "gem": (methods.GEM, memories.Ring),
    }[name]
    model = kind(mlp(stream, hidden=(8,)), memory=memory(stream, capacity=24))
    model.compile("sgd", jit=False)
    for task in learn(model, stream, batch_size=6):
        _, y, owner = model.memory.rows()
        seen = set().union(*stream.shown_classes[: task.number])
        assert {*y.tolist()} == seen
        assert {*owner.tolist()} <= {*range(task.number)}
        assert np.isfinite(model.accuracies(stream)[: task.number]).all()
