"""Records within a task that is trained for a number of steps."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import blobs, silent

from keras_cl import learn, methods, networks, sources, streams
from keras_cl.report.groups import grouped
from keras_cl.report.plots import epochs
from keras_cl.runs.saved_run import read
from keras_cl.runs.step_history import StepHistory


def records(losses, chunk):
    """Records of a task whose steps have these losses."""
    rate = SimpleNamespace(numpy=lambda: 0.1)
    learner = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=rate))
    history = StepHistory(learner, None, steps=len(losses), chunk=chunk)
    history.on_epoch_begin(0)
    for batch in range(-(-len(losses) // chunk)):
        logs = {"loss": np.mean(losses[: (batch + 1) * chunk])}
        history.on_train_batch_end(batch, logs)
    history.on_epoch_end(0, {**logs, "val_loss": 0.5})
    return history.epochs


def test_a_record_has_the_mean_of_its_own_steps():
    losses = np.random.default_rng(0).random(10)
    found = records(losses, chunk=4)
    assert [record["step"] for record in found] == [4, 8, 10]
    means = [losses[:4].mean(), losses[4:8].mean(), losses[8:].mean()]
    assert [record["loss"] for record in found] == pytest.approx(means)
    assert [record.get("val_loss") for record in found] == [None, None, 0.5]


@pytest.mark.parametrize(("steps", "chunk", "count"), [(10, 10, 1), (10, 16, 1), (100, 1, 20), (1000, 3, 20)])
def test_a_task_has_no_more_than_twenty_records(steps, chunk, count):
    found = records(np.ones(steps), chunk)
    assert len(found) == count and found[-1]["step"] == steps


def test_a_run_of_given_steps_shows_the_progress_within_its_tasks(tmp_path, eagerly, monkeypatch):
    monkeypatch.setattr("keras_cl.learning.batches.MOST", 2)  # steps per chunk
    stream = streams.permuted(sources.from_arrays(**blobs([8, 8])), tasks=2)
    model = methods.Finetune(networks.mlp(stream, hidden=(4,)))
    model.compile("sgd", jit=False)
    options = {"iterations": 5, "batch_size": 4, "eval_every": "epoch", "display": silent()}
    learn(model, stream, run_dir=tmp_path / "run", **options)
    found = epochs.of(grouped(read(tmp_path / "run"))[0])
    assert found.tasks.tolist() == [1, 1, 1, 2, 2, 2] and found.places.tolist() == [2, 4, 5, 7, 9, 10]
    assert found.label == "steps over all tasks" and np.isfinite(found.accuracies[:, :, 0]).all()
    assert found.where[3] == "step 2 of task 2"
    assert (tmp_path / "run" / "training.png").stat().st_size > 1000
