"""`keras_cl.learn` and `keras_cl.load`: runs from Python, with the model and the network of one's own."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, silent
from processes import small

import keras_cl
from keras_cl import train
from keras_cl.errors import InputError
from keras_cl.memories import Reservoir
from keras_cl.methods import ER, L2
from keras_cl.runs.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("eagerly")


def stream_of(tasks=3):
    return keras_cl.streams.permuted("digits", tasks=tasks, seed=1)


def model_of(stream, strength=10.0, units=8, seed=0):
    initial = keras.initializers.GlorotUniform(0)
    network = keras.Sequential(
        [
            keras.Input(stream.input_shape),
            keras.layers.Rescaling(stream.source.scale),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu", kernel_initializer=initial),
            keras.layers.Dense(stream.num_classes, kernel_initializer=initial),
        ]
    )
    model = L2(network, strength=strength, seed=seed)
    model.compile(keras.optimizers.Adam(1e-2), jit=False)
    return model


HOW = {"epochs": 1, "batch_size": 400}


class Killed(Exception):
    pass


class Kills(keras.callbacks.Callback):
    """Ends the training at the beginning of a task, counted from 1."""

    def __init__(self, task):
        super().__init__()
        self.task, self.begun = task, 0

    def on_train_begin(self, logs=None):
        self.begun += 1
        if self.begun == self.task:
            raise Killed


def learn(model, stream, **options):
    return keras_cl.learn(model, stream, **HOW, display=silent(), **options)


def by_hand(model, stream):
    rows = [model.accuracies(stream)]
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, 400), verbose=0)
        model.end_task(task)
        rows.append(model.accuracies(stream))
    return np.array(rows)


# ---- learn -----------------------------------------------------------------------------------------------


def test_it_is_the_loop_by_hand_and_keeps_nothing_unless_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stream = stream_of()
    model, other = model_of(stream), model_of(stream)
    matrix, summary = learn(model, stream)
    np.testing.assert_array_equal(matrix, by_hand(other, stream))
    assert_same(model.get_weights(), other.get_weights())
    assert summary["average_accuracy"] == pytest.approx(matrix[-1].mean())
    assert not list(tmp_path.iterdir())


def test_the_same_call_resumes_a_run_that_was_stopped(tmp_path):
    stream, folder = stream_of(), tmp_path / "run"
    whole = learn(model_of(stream), stream)
    with pytest.raises(Killed):
        learn(model_of(stream), stream, run_dir=folder, callbacks=[Kills(3)])
    assert not (folder / "DONE").exists()
    resumed = learn(model_of(stream), stream, run_dir=folder, export_dir=tmp_path / "models")
    np.testing.assert_array_equal(resumed.matrix, whole.matrix)
    assert {"DONE", "config.json", "matrix.csv", "matrix.png", "accuracy.png", "log.txt"} <= {
        file.name for file in folder.iterdir()
    }
    assert {file.name for file in (tmp_path / "models").iterdir()} == {"1", "2", "3"}
    again = learn(model_of(stream), stream, run_dir=folder, export_dir=tmp_path / "models")
    np.testing.assert_array_equal(again.matrix, whole.matrix)


def test_what_is_known_of_the_model_is_recorded_and_another_one_is_refused(tmp_path):
    stream = stream_of(1)
    learn(model_of(stream), stream, run_dir=tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())["settings"]
    assert (settings["program"], settings["method"], settings["stream"]) == (
        "keras_cl.learn",
        "l2",
        "permuted digits",
    )
    assert settings["method.strength"] == 10.0 and settings["network_weights"][0] == [64, 8]
    assert settings["optimizer"]["learning_rate"] == pytest.approx(1e-2)
    for other in (model_of(stream, strength=11.0), model_of(stream, units=9), model_of(stream, seed=3)):
        with pytest.raises(InputError, match="holds a run with other settings"):
            learn(other, stream, run_dir=tmp_path)
    learn(model_of(stream, strength=11.0), stream, run_dir=tmp_path, overwrite=True)


def test_callbacks_see_every_task():
    stream, seen = stream_of(2), []
    follow = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(sorted(logs)))
    learn(model_of(stream), stream, callbacks=[follow])
    assert seen == [["accuracy", "loss"]] * 2


def test_a_memory_comes_back_too(tmp_path):
    stream = stream_of(2)

    def model():
        made = ER(model_of(stream).network, memory=Reservoir(stream, capacity=400))
        made.compile("sgd", jit=False)
        return made

    with pytest.raises(Killed):
        learn(model(), stream, run_dir=tmp_path, callbacks=[Kills(2)])
    resumed, whole = learn(model(), stream, run_dir=tmp_path), learn(model(), stream)
    np.testing.assert_array_equal(resumed.matrix, whole.matrix)


def test_what_cannot_be_learned_is_one_sentence():
    stream = stream_of(2)
    for model, over, said in (
        (model_of(stream).network, stream, "learn takes a ContinualModel, not Sequential."),
        (L2(model_of(stream).network), stream, "Compile the model first: model.compile"),
        (model_of(stream), stream[:1], "learn takes a whole Stream, not Part."),
    ):
        with pytest.raises(InputError) as error:
            learn(model, over)
        assert str(error.value).startswith(said)
    model = model_of(stream)
    learn(model, stream)
    with pytest.raises(InputError, match="has learned tasks already; make a new one"):
        learn(model, stream)
    with pytest.raises(InputError, match="task 1 has only 1442 training rows"):
        keras_cl.learn(model_of(stream), stream, batch_size=2000, display=silent())


# ---- load ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run of the command with two seeds, and its configuration."""
    config = small(tmp_path, {"method.strength": 3.0}, method="l2", seeds=(2, 5))
    train.run(config, display=silent())
    return config


def test_a_run_of_the_command_says_how_its_model_is_made(run):
    whole = keras_cl.load(run.directory, seed=5)
    assert whole.matrix.shape == (3, 2) and whole.model.seed == 5
    np.testing.assert_array_equal(whole.model.accuracies(whole.stream), whole.matrix[2])
    first, matrix, stream = keras_cl.load(run.directory, task=1, seed=5)
    np.testing.assert_array_equal(matrix, whole.matrix[:2])
    np.testing.assert_array_equal(first.accuracies(stream), whole.matrix[1])
    with pytest.raises(InputError, match="has learned 1 of . tasks, in their order, and this is task 1"):
        first.begin_task(stream[0])
    first.begin_task(stream[1])
    first.fit(first.batches(stream[1], run.batch_size), verbose=0)
    first.end_task(stream[1])
    assert_same(first.network.get_weights(), whole.model.network.get_weights())
    untrained, matrix, stream = keras_cl.load(run.directory, task=0, seed=5)
    np.testing.assert_array_equal(untrained.accuracies(stream), matrix[0])


def test_a_run_from_python_needs_its_model_and_its_stream(tmp_path):
    stream = stream_of(2)
    matrix, _ = learn(model_of(stream), stream, run_dir=tmp_path)
    loaded = keras_cl.load(tmp_path, task=1, model=model_of(stream), stream=stream)
    np.testing.assert_array_equal(loaded.model.accuracies(stream), matrix[1])
    with pytest.raises(InputError, match="was begun by keras_cl.learn; give load its stream"):
        keras_cl.load(tmp_path)
    with pytest.raises(InputError, match="is of another model"):
        keras_cl.load(tmp_path, model=model_of(stream, units=9), stream=stream)


def test_a_checkpoint_of_other_types_is_refused_in_one_sentence(tmp_path):
    stream = stream_of(2)
    older = model_of(stream)
    older.task = tf.Variable(0, name="task")  # int32, as once
    Checkpoints(older).write(tmp_path)
    said = "is of another model: tensor_name = model/task.* expected dtype int64 .* dtype int32$"
    with pytest.raises(InputError, match=said):
        Checkpoints(model_of(stream)).read(tmp_path)


def test_what_cannot_be_loaded_is_one_sentence(run, tmp_path):
    for options, said in (
        ({}, "has several seeds; give load one of seed=2, 5."),
        ({"seed": 3}, "has no seed 3; it has 2, 5."),
        ({"seed": 2, "task": 3}, "has finished 2 tasks, and task is 3."),
        ({"seed": 2, "task": -1}, "has finished 2 tasks, and task is -1."),
    ):
        with pytest.raises(InputError, match=said):
            keras_cl.load(run.directory, **options)
    with pytest.raises(InputError, match="is no run of this program"):
        keras_cl.load(tmp_path / "nothing")
