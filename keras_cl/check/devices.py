"""A method trained on several devices: two tasks, each on the devices of a strategy or on one."""

import contextlib
import functools
import pathlib
import tempfile

from keras_cl.devices import device
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.settings.build import make_model, make_stream


@functools.cache
def mirrored():
    """The strategy of all devices, made once: collectives of two strategies in one process mix up."""
    return device.strategy("mirrored")


def on_devices(subject, first, second, scenario="", **given):
    """Weights and metrics after each of two tasks, learned on the devices of the strategies `first` and
    `second`; None is one device. `given` are further settings."""
    settings = {"dataset": subject.larger, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1}
    config = subject.config(scenario or subject.scenarios[-1], **settings | given)
    stream, weights, metrics, model = make_stream(config), [], [], None
    for task, strategy in zip(stream, (first, second), strict=True):
        if model is None or second is not first:
            model = _handed_over(config, stream, strategy, model)
            # On one device eager steps give the same results (another law), without the time for tracing.
            model.run_eagerly = strategy is None or config.scenario in subject.eager
        model.begin_task(task)
        batches = model.batches(task, config.batch_size, 0, config.replay_batch_size)
        history = model.fit(batches, verbose=0).history
        model.end_task(task)
        weights.append([theta.numpy() for theta in model.network.trainable_variables])
        metrics.append([history[name] for name in sorted(history)])
    return weights, metrics


def _handed_over(config, stream, strategy, model):
    """A new model on the devices of a strategy, with the state of `model` if there is one."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        made = make_model(config, stream, seed=0)
    if model is not None:
        with tempfile.TemporaryDirectory() as folder:
            Checkpoints(model).write(pathlib.Path(folder))
            Checkpoints(made).read(pathlib.Path(folder))
    return made
