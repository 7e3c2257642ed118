"""Trains every method on one device and on two: `python strategies.py data.npz` says how far they come apart.

A process of its own, because the number of devices is settled before TensorFlow starts. Prints JSON, by name:
the greatest difference of weights and of metrics, and how far the second task took the weights.
"""

import contextlib
import json
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf
from helpers import small

from keras_cl.devices import device
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config

BATCH = 8
# Settings and options, beside those that keep a method small, that several devices could get wrong:
# weight decay has no rows, a regime changes the optimizer, draws are of another size.
MORE = {
    "finetune": ({"regime": "stable"}, {"network.weight_decay": 0.5}),
    "ewc": ({"memory": "ring", "replay_batch_size": 6}, {"method.strength": 50.0}),
    "scp": ({}, {"method.strength": 1.0}),
    "er": ({"optimizer": "adam"}, {"method.weighting": "share"}),
    "dgr": ({}, {"memory.conditional": True}),
}
HANDED_OVER = "er"  # to other devices between the tasks
# Whose steps two devices take in a traced graph, as runs do: the plain step, draws from a memory and from a
# generator, a projection, a path that is summed in the steps. Tracing is what takes the time, so the others
# take the same steps together eagerly.
TRACED = ("dgr", "er", "ewc", "finetune", "gdumb", "gem", "rtf", "rwalk")


def learned(config, first, second, eagerly):
    """Weights after each task and metrics of each: task 1 on devices of one strategy, task 2 of another."""
    stream, weights, metrics = make_stream(config), [], []
    model = made(config, stream, first, eagerly)
    for task in stream:
        if task.index and first is not second:
            with tempfile.TemporaryDirectory() as folder:
                Checkpoints(model).write(pathlib.Path(folder))
                model = made(config, stream, second, eagerly)
                Checkpoints(model).read(pathlib.Path(folder))
        model.begin_task(task)
        history = model.fit(model.batches(task, BATCH, 0, config.replay_batch_size), verbose=0).history
        model.end_task(task)
        weights.append([theta.numpy() for theta in model.network.trainable_variables])
        metrics.append([history[name] for name in sorted(history)])
    return weights, metrics


def made(config, stream, strategy, eagerly):
    """The model on the devices of a strategy; None for one device."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = make_model(config, stream, seed=0)
    # On one device they are the same steps, as a test of every method says, and no time to trace.
    model.run_eagerly = eagerly or strategy is None
    return model


def settings(dataset, method):
    """Two tasks of a method, with the memory that it usually has."""
    fields, options = MORE.get(method, ({}, {}))
    claimed = catalog.choice("method", method).constants.get("scenarios", SCENARIOS)
    base = {"stream": "split", "tasks": 2, "batch_size": BATCH, "jit": "off", "optimizer": "sgd"}
    return Config(
        method=method,
        dataset=dataset,
        scenario=claimed[-1],
        learning_rate=0.1,
        options={**small(method, fields.get("memory", "")), **options},
        **{**base, **fields},
    )


def difference(ones, others):
    """Greatest difference of two nested lists of arrays."""
    pairs = zip(tf.nest.flatten(ones), tf.nest.flatten(others), strict=True)
    return float(np.max([np.abs(np.asarray(a, float) - np.asarray(b, float)).max() for a, b in pairs]))


def compared(config, *strategies):
    """How far a method comes on one device, and how far from there on others."""
    eagerly = config.method not in TRACED
    weights, metrics = learned(config, None, None, eagerly)
    others = [learned(config, *pair, eagerly) for pair in strategies]
    return {
        "moved": difference(weights[0], weights[1]),
        "weights": [difference(weights, other) for other, _ in others],
        "metrics": [difference(metrics, other) for _, other in others],
    }


def main(dataset):
    """Prints a line for each method."""
    tf.config.set_visible_devices([], "GPU")
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = device.strategy("mirrored")
    assert two.num_replicas_in_sync == 2
    for method in catalog.names("method"):
        handed = [(None, two), (two, None)] if method == HANDED_OVER else []
        print(json.dumps({method: compared(settings(dataset, method), (two, two), *handed)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
