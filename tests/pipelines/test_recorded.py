"""The recorded stream: models that learn it equal those that learn the library's stream, bit for bit."""

import json

import numpy as np
import pytest
from helpers import learn, saved_variables, small

from keras_cl.check.subject import blobs
from keras_cl.errors import InputError
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from pipelines.components.example_gen import example_gen
from pipelines.examples.recorded import stream_of

PARTS = ("train", "valid", "test")


def recorded(config, folder, tasks):
    """The recorded stream of a `Config` after some tasks have arrived."""
    text = json.dumps({"settings": config.settings, "places": {}})
    previous = ""
    for number in range(1, tasks + 1):
        examples = folder / f"examples_{number}"
        example_gen(text, number, "", str(previous), str(examples), "code")
        previous = examples
    return stream_of(previous)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files of arrays of bytes and of floats, four classes each."""
    folder = tmp_path_factory.mktemp("data")
    files = {}
    for dtype in ("uint8", "float32"):
        files[dtype] = str(folder / f"{dtype}.npz")
        np.savez(files[dtype], **blobs((8, 9, 10, 11), dtype=np.dtype(dtype)))
    return files


STREAMS = {
    "split": {"stream": "split", "scenario": "task"},
    "split, some classes": {
        "stream": "split",
        "scenario": "class",
        "options": {"stream.class_order": "3,0,2,1", "stream.valid_fraction": 0.25, "stream.seed": 3},
    },
    "split, one class each": {
        "stream": "split",
        "scenario": "class",
        "options": {"stream.class_order": "3,1"},
    },
    "split, domain": {"stream": "split", "scenario": "domain", "options": {"stream.class_order": "seeded"}},
    "permuted": {"stream": "permuted", "options": {"stream.pad": 1, "stream.valid_fraction": 0.2}},
    "permuted, class": {"stream": "permuted", "scenario": "class"},
    "rotated": {"stream": "rotated", "options": {"stream.interpolation": "bilinear"}},
}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_recorded_stream_is_the_stream(name, dtype, data, tmp_path):
    config = Config(method="finetune", dataset=data[dtype], tasks=2, **STREAMS[name])
    ours, theirs = recorded(config, tmp_path, 2), make_stream(config)
    for table in ("labels", "class_mask", "home"):
        np.testing.assert_array_equal(getattr(ours, table), getattr(theirs, table))
    for one in ("name", "scenario", "task_classes", "input_shape", "seed", "valid_fraction", "num_classes"):
        assert getattr(ours, one) == getattr(theirs, one)
    assert (ours.source.scale, ours.source.dtype) == (theirs.source.scale, theirs.source.dtype)
    for index in range(2):
        for part in PARTS:
            one, other = ours.split(index, part), theirs.split(index, part)
            assert len(one) == len(other) and one.task == other.task
            for mine, yours in zip(one.open(), other.open(), strict=True):
                np.testing.assert_array_equal(mine, yours)
                assert mine.dtype == yours.dtype


def test_tasks_that_have_not_arrived_are_refused(data, tmp_path):
    config = Config(method="finetune", dataset=data["uint8"], tasks=2, stream="split")
    stream = recorded(config, tmp_path, 1)
    assert len(stream) == 2 and stream.arrived == 1
    assert stream.source.train[0].shape == (17, 4, 4, 1)
    with pytest.raises(InputError, match="examples of task 2 have not arrived: there are those of 1 of 2"):
        stream[1].train.open()


LEARNED = {
    "finetune": {"stream": "split", "scenario": "task"},
    "ewc": {"stream": "permuted"},
    "er": {"stream": "split", "scenario": "class"},
    "gem": {"stream": "rotated"},
    "icarl": {"stream": "split", "scenario": "class", "options": {"stream.class_order": "seeded"}},
    "lwf": {"stream": "split", "scenario": "task", "options": {"stream.valid_fraction": 0.2}},
    "generative_replay": {"stream": "split", "scenario": "class"},
    "cumulative": {"stream": "permuted", "options": {"stream.seed": 5}},
    "hat": {"stream": "split", "scenario": "task"},
}
QUICK = ("finetune", "icarl")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LEARNED]
)
def test_weights_are_those_of_the_stream(name, data, tmp_path):
    given = dict(LEARNED[name])
    options = small(name) | given.pop("options", {})
    config = Config(
        method=name, dataset=data["uint8"], tasks=2, batch_size=4, jit="off", options=options, **given
    )
    found = []
    for stream in (make_stream(config), recorded(config, tmp_path, 2)):
        model = make_model(config, stream, seed=1)
        if model.memory is not None:
            model.memory.require_images(stream)
        model.run_eagerly = name in QUICK
        for _ in learn(model, stream, batch_size=4):
            pass
        Checkpoints(model).write(folder := tmp_path / str(len(found)))
        found.append((saved_variables(folder / "variables"), model.accuracies(stream)))
    (ours, mine), (theirs, yours) = found
    np.testing.assert_array_equal(mine, yours)
    assert ours.keys() == theirs.keys() and ours
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
