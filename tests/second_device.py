"""Puts the law of another device to methods, networks and regimes: `python second_device.py [name ...]`.

A process of its own, because the number of devices is settled before TensorFlow starts. The second CPU stands
for a GPU: XLA compiles the steps for it, and they read no variable of the first one. Names are those of
methods, "network mlp", "regime plain", or "rows", the training rows of a task. Prints JSON for each: why the
law is broken, or "". With networks and regimes steps are traced only, because to compile them takes long.
"""

import json
import pathlib
import sys
import tempfile
import types
from unittest import mock

import numpy as np
import tensorflow as tf

from keras_cl.check.compare import Broken
from keras_cl.check.placement import as_on_gpu, other_device, traced, without_gpu_kernel
from keras_cl.check.subject import Subject, blobs
from keras_cl.devices import device
from keras_cl.learning.batches import chunks
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

COUNT = 13
TRACED = {f"{axis} {name}": {axis: name} for axis in ("network", "regime") for name in catalog.names(axis)}
# Without a schedule the steps read no counter of the regime.
SCHEDULE = {"regime.schedule": "exponential", "regime.decay": 0.9, "regime.restart": False}


def verdict(method):
    """Why the steps of a method cannot be compiled for another device, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            other_device(Subject(method, folder))
        except (Broken, tf.errors.OpError) as error:
            return str(error)
    return ""


def config_of(folder, network="mlp", options=(), **settings):
    """The `Config` of a run with a network on two tasks of small images, which are written to a folder."""
    path = pathlib.Path(folder) / "blobs.npz"
    np.savez(path, **blobs([3] * 4, side=16))
    method = "generative_classifier" if network == "class_vaes" else "finetune"
    more = {"dataset": str(path), "tasks": 2, "stream": "split", "scenario": "class"}
    options = {"network.resize": 32, **dict(options)} if network == "applications" else dict(options)
    return Config(method=method, network=network, options=options, **more, **settings)


def verdict_of_trace(**choices):
    """Why the steps with a network and a regime cannot be compiled for another device, or ""."""
    with tempfile.TemporaryDirectory() as folder, as_on_gpu("CPU:1"):
        config = config_of(folder, options=SCHEDULE, jit="on", **choices)
        stream = make_stream(config)
        model = make_model(config, stream, seed=0)
        model.begin_task(stream[0])
        data = model.batches(stream[0], 2)
        model.make_train_function()
        function = traced(types.SimpleNamespace(model=model, chunks=[data.element_spec]))
    read = function.graph.variables
    wrong = [v.name for v in read if v.dtype == tf.int32 or not v.device.endswith("CPU:1")]
    unread = [] if any(v is model.regime.step for v in read) else ["the regime's step is not read"]
    return ", ".join([*wrong, *unread, *without_gpu_kernel(function)])


def rows():
    """Where the rows of a task are, if not on the host, or ""."""
    constant, places = tf.constant, set()

    def seen(value, *more, **options):
        made = constant(value, *more, **options)
        if np.shape(value)[:1] == (COUNT,):
            places.add(made.device[-5:])
        return made

    with as_on_gpu("CPU:1"), mock.patch.object(tf, "constant", seen):
        data = chunks(np.zeros((COUNT, 2), np.uint8), *np.zeros((2, COUNT), int), batch_size=4, seed=0)
        sum(1 for _ in data)
    return "" if places == {"CPU:0"} else f"on {places}"


def main(*names):
    """Prints a line for each name."""
    device.divide_cpu(2)
    for name in names or ["rows", *catalog.names("method"), *TRACED]:
        if name in TRACED:
            why = verdict_of_trace(**TRACED[name])
        else:
            why = rows() if name == "rows" else verdict(name)
        print(json.dumps({name: why}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
