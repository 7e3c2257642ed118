"""Validation of every epoch of a run, and training on a task that stops at its best epoch."""

import csv

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, saved_variables, silent
from processes import small

import keras_cl
from keras_cl import sources, streams, train
from keras_cl.errors import InputError
from keras_cl.memories import Reservoir
from keras_cl.methods import ER, SI, Finetune
from keras_cl.networks import mlp
from keras_cl.regimes import Plain
from keras_cl.runs.early_stopping import EarlyStopping
from keras_cl.runs.results import Results
from keras_cl.settings.config import Config

pytestmark = pytest.mark.usefixtures("eagerly")

# Few noisy rows and a large rate: the validation loss rises again after some epochs.
STREAM = streams.split(
    sources.from_arrays(**blobs([8] * 4, side=2)), tasks=2, scenario="class", valid_fraction=0.5
)


def model_of(method):
    memory = {"memory": Reservoir(STREAM, capacity=6)} if method is ER else {}
    model = method(mlp(STREAM, hidden=(8,), dropout=0.3, seed=3), seed=1, reset_optimizer=False, **memory)
    regime = Plain(schedule="plateau", restart=False, patience=1)
    model.compile(keras.optimizers.Adam(0.05), jit=False, regime=regime)
    return model


def state_of(model):
    parts = tf.train.TrackableView(model).descendants()
    shown = {id(v) for metric in model.metrics for v in metric.variables}
    return [v.numpy() for v in parts if isinstance(v, tf.Variable) and id(v) not in shown]


class Scripted(EarlyStopping):
    """Sees given validation losses."""

    def __init__(self, losses, patience=2):
        super().__init__(patience)
        self.losses = iter(losses)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {"val_loss": next(self.losses)})


@pytest.mark.parametrize("method", [SI, ER])
@pytest.mark.parametrize(
    "losses, epochs, best",
    [([3, 2, 2.5, 2], 9, 2), ([3, 2, 2.5], 3, 2), ([1, 2, 3], 9, 1), ([4, 3, 2, 1], 4, 4)],
    ids=["stopped", "out of epochs", "never better", "never worse"],
)
def test_the_model_is_as_if_the_best_epoch_had_been_the_last(method, losses, epochs, best):
    states = []
    for number, callbacks in ((epochs, [Scripted(losses)]), (best, [])):
        model = model_of(method)
        model.begin_task(STREAM[0])
        how = {"verbose": 0, "callbacks": callbacks}
        history = model.fit(model.batches(STREAM[0], 4), epochs=number, **how).history
        assert len(history["loss"]) == (len(losses) if callbacks else best)
        model.end_task(STREAM[0])
        model.begin_task(STREAM[1])
        model.fit(model.batches(STREAM[1], 4), epochs=2, verbose=0)
        states.append(state_of(model))
    assert_same(*states)


def rows_of(path):
    with open(path / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    tf.config.run_functions_eagerly(True)
    train.run(config_of(folder), display=silent())
    tf.config.run_functions_eagerly(False)
    return folder


def config_of(folder):
    options = {"stream.valid_fraction": 0.3}
    how = {"method": "si", "epochs": 8, "early_stopping": 1, "learning_rate": 0.1, "batch_size": 64}
    return small(folder, options, **how)


def test_a_run_has_the_validation_of_every_epoch_and_a_figure(finished):
    rows = rows_of(finished / "run")
    losses = {task: [float(row["val_loss"]) for row in rows if row["task"] == task] for task in "12"}
    for found in losses.values():
        assert 1 < len(found) < 8  # it stopped,
        assert found[-1] >= found[-2]  # when the loss was no better
        assert found[:-1] == sorted(found[:-1], reverse=True)
    assert all(0 < float(row["val_accuracy"]) <= 1 for row in rows)
    # The accuracies on test images are those of the state that was restored.
    assert [bool(row["task_1"]) for row in rows] == [
        float(row["val_loss"]) == min(losses[row["task"]]) for row in rows
    ]
    assert (finished / "run/validation.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_killed_ends_like_one_that_was_not(finished, tmp_path):
    class Killed(Exception):
        pass

    def killed(task):
        if task.index:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        begin = SI.begin_task
        patch.setattr(SI, "begin_task", lambda model, task: killed(task) or begin(model, task))
        with pytest.raises(Killed):
            train.run(config_of(tmp_path), display=silent())
    train.run(config_of(tmp_path), display=silent())
    saved, whole = (
        saved_variables(folder / "run/checkpoints/task_002/variables") for folder in (tmp_path, finished)
    )
    assert saved.keys() == whole.keys()
    assert all(np.array_equal(saved[name], whole[name]) for name in whole)
    assert (tmp_path / "run/matrix.csv").read_text() == (finished / "run/matrix.csv").read_text()


def test_without_validation_rows_there_are_no_columns_for_them(tmp_path):
    train.run(small(tmp_path), display=silent())
    assert not {"val_loss", "val_accuracy"} & rows_of(tmp_path / "run")[0].keys()
    assert not (tmp_path / "run/validation.png").exists()


def test_a_task_without_validation_rows_leaves_its_cells_empty():
    epochs = [{"epoch": 1, "loss": 2.0, "val_loss": 1.0}], [{"epoch": 1, "loss": 2.0}]
    results = Results([{"accuracies": [None], "epochs": e} for e in ([], *epochs)])
    assert [row["val_loss"] for row in results.epochs()] == [1.0, None]


@pytest.mark.parametrize(
    "plan, said",
    [
        ({"early_stopping": 2, "iterations": 5}, "--early_stopping counts epochs"),
        ({"early_stopping": -1}, "--early_stopping is -1; it must not be negative"),
    ],
)
def test_early_stopping_that_could_not_be_is_refused(plan, said):
    model = Finetune(mlp(STREAM, hidden=(8,)))
    model.compile("sgd", jit=False)
    with pytest.raises(InputError, match=said):
        keras_cl.learn(model, STREAM, batch_size=4, display=silent(), **plan)


def test_early_stopping_needs_validation_rows():
    stream = streams.split(STREAM.source, tasks=2)
    model = Finetune(mlp(stream, hidden=(8,)))
    model.compile("sgd", jit=False)
    with pytest.raises(InputError, match="task 1 has no validation rows; give --stream.valid_fraction"):
        keras_cl.learn(model, stream, batch_size=4, early_stopping=2, display=silent())
    with pytest.raises(InputError, match="--early_stopping is -2"):
        Config(early_stopping=-2)


def test_a_loss_of_ones_own_belongs_to_the_settings_of_a_run(tmp_path):
    def model(smoothing):
        made = Finetune(mlp(STREAM, hidden=(8,), seed=3))
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        made.compile("sgd", loss, class_weight={0: 2.0}, jit=False)
        return made

    how = {"epochs": 1, "batch_size": 4, "run_dir": tmp_path, "display": silent()}
    first = keras_cl.learn(model(0.1), STREAM, **how)
    np.testing.assert_array_equal(keras_cl.learn(model(0.1), STREAM, **how).matrix, first.matrix)
    with pytest.raises(InputError, match="holds a run with other settings"):
        keras_cl.learn(model(0.2), STREAM, **how)
