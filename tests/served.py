"""What the tests of the server share: tiny exported models, and a server of them in this process."""

import contextlib
import pathlib
import shutil
import threading
import time

import grpc
import numpy as np
import tensorflow as tf
from helpers import blobs
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from keras_cl import sources, streams
from keras_cl.networks import mlp
from keras_cl.runs import saved_model
from keras_cl.serve import grpc_api
from keras_cl.serve.limits import Limits
from keras_cl.serve.model_config import ModelConfig, Policy
from keras_cl.serve.models import Models, Options

SHAPE = (8, 8, 1)
TASKS = 3


def export_all(folder):
    """Exports a random network as the versions 1, 2 and 3: other weights each, and all signatures."""
    source = sources.from_arrays(**blobs([6] * 6, shape=SHAPE))
    stream = streams.split(source, tasks=TASKS, scenario="task")
    network = mlp(stream, hidden=(8,), seed=1)
    for task in stream:
        for weights in network.trainable_variables:
            weights.assign_add(np.random.default_rng(task.number).normal(size=weights.shape))
        about = {"written": "by a test", **saved_model.describe(task)}
        saved_model.export(network, task, folder / str(task.number), about)


def images(rows, seed=0):
    """float32 images that the models of `export_all` take."""
    return np.random.default_rng(seed).integers(0, 256, [rows, *SHAPE]).astype(np.float32)


def answers(folder, x, name="serving_default", **more):
    """What the SavedModel in `folder` answers when TensorFlow calls it: dict of arrays."""
    found = tf.saved_model.load(str(folder)).signatures[name](images=tf.constant(x), **more)
    return {alias: value.numpy() for alias, value in found.items()}


def push(version, folder):
    """Puts a version into a folder that is served, in one step."""
    version, folder = pathlib.Path(version), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".aside_{version.name}"
    shutil.copytree(version, aside)
    aside.rename(folder / version.name)


def damage(version):
    """Cuts the program of a SavedModel in half."""
    program = pathlib.Path(version) / "saved_model.pb"
    program.write_bytes(program.read_bytes()[: program.stat().st_size // 2])


def wait_until(happened, seconds=60):
    """Waits until `happened()` is true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextlib.contextmanager
def serving(folder, policy="all", versions=(1,), name="tiny", limits=None, watched=None, **options):
    """Yields `Models` of a folder, which are loaded, and the two gRPC stubs of a server of them."""
    models = Models([ModelConfig(name, folder, Policy(policy, versions))], Options(**options))
    models.start()
    server, port = grpc_api.serve(models, limits or Limits(), "127.0.0.1:0", watched)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield (
                models,
                prediction_service_pb2_grpc.PredictionServiceStub(channel),
                model_service_pb2_grpc.ModelServiceStub(channel),
            )
    finally:
        server.stop(1).wait()
        models.stop(1)


def at_once(functions):
    """Calls functions at the same time, each in a thread; returns what they return or raise."""
    found = [None] * len(functions)
    ready = threading.Barrier(len(functions))

    def run(place, function):
        ready.wait()
        try:
            found[place] = function()
        except Exception as error:  # an error is an answer too
            found[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
