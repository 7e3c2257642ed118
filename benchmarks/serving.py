"""Latency and throughput of the server, beside direct calls of the same signature.

    python -m benchmarks.serving [--rounds=5] [--save]

The server runs in a process of its own; clients and direct calls share one process, whose rounds take turns.
One request at a time: milliseconds until the arrays of the answer are there. 16 clients at a time: images per
second over gRPC and REST, beside direct calls with as many images as one request has, and beside direct calls
with the largest batch that their requests can make.
"""

import concurrent.futures
import contextlib
import functools
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from keras_cl.devices import device

NETWORKS = {"784-100-100-10": (100, 100), "784-1024-512-256-10": (1024, 512, 256)}
SIZES = (1, 8, 128)  # images per request
CLIENTS = 16
LARGEST = 256  # images of a batch
REQUESTS = 200  # of a round, by one client
SECONDS = 2.0  # of a round with many clients


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import save

    latency, throughput = {}, {}
    for name, hidden in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder, served(folder, hidden) as (direct, rest, grpc):
            for images in SIZES:
                calls = {"direct": direct(images), "grpc": grpc(images), "rest": rest(images)}
                require_equal(calls)
                key = f"{name}, {images} images"
                latency[key] = milliseconds(calls, flags.FLAGS.rounds)
                calls["direct, largest batch"] = direct(min(CLIENTS * images, LARGEST))
                throughput[key] = images_per_second(calls, images, flags.FLAGS.rounds)
                show(key, latency[key], throughput[key])
    if flags.FLAGS.save:
        content = {"milliseconds": latency, "images_per_second": throughput, "clients": CLIENTS}
        save("serving", {"rounds": flags.FLAGS.rounds, **content})


def show(key, latency, throughput):
    """Prints the figures of a network and a size of requests."""
    print(key)
    for name, (median, late) in latency.items():
        over = median - latency["direct"][0]
        print(f"  {name:24s}{median:8.2f} ms, 99th percentile {late:7.2f}, {over:6.2f} over the direct call")
    for name, rate in throughput.items():
        same, largest = (rate / throughput[other] for other in ("direct", "direct, largest batch"))
        print(
            f"  {name:24s}{rate:10.0f} images/s  {same:6.2f} of direct  {largest:6.2f} of the largest batch"
        )
    sys.stdout.flush()


# ---- what is called --------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder, hidden):
    """Yields makers of calls: functions of a number of images that return a function without arguments."""
    import keras_cl
    from benchmarks.steps import random_stream
    from keras_cl.runs import saved_model

    stream = random_stream(rows=1000)
    network = keras_cl.networks.mlp(stream, hidden=hidden)
    saved_model.export(network, stream[0], f"{folder}/model/1", saved_model.describe(stream[0]))
    command = [sys.executable, "-m", "keras_cl.serve", f"--saved_model={folder}/model", "--device=cpu"]
    command += ["--port=0", "--grpc_port=0", f"--max_batch_size={LARGEST}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port, grpc_port = ports(server.stdout)
            yield (
                functools.partial(direct, f"{folder}/model/1"),
                functools.partial(over_rest, port),
                functools.partial(over_grpc, grpc_port),
            )
        finally:
            server.terminate()


def ports(lines):
    """The ports that the server says it listens at."""
    for line in lines:
        if found := re.search(r"http://[\d.]+:(\d+) and grpc://[\d.]+:(\d+)", line):
            return int(found[1]), int(found[2])
    raise RuntimeError("the server did not start")


def request(images):
    """float32 images `[images, 28, 28, 1]`."""
    return np.random.default_rng(0).integers(0, 256, (images, 28, 28, 1)).astype(np.float32)


def direct(folder, images):
    """Calls the signature in this process."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    x = request(images)

    def call(kept=loaded):  # a signature does not keep its model
        answered = kept.signatures["serving_default"](images=tf.constant(x))
        return {name: value.numpy() for name, value in answered.items()}

    return call


def over_grpc(port, images):
    """Asks over gRPC, with the stubs of TensorFlow Serving; all clients share a channel."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_receive_message_length", -1)])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "model"
    asked.inputs["images"].CopyFrom(tf.make_tensor_proto(request(images)))

    def call():
        answered = stub.Predict(asked)
        return {name: tf.make_ndarray(value) for name, value in answered.outputs.items()}

    return call


def over_rest(port, images):
    """Asks over REST, in rows; every thread keeps a connection open."""
    import threading

    body = json.dumps({"instances": request(images).tolist()}).encode()
    own = threading.local()

    def call():
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port)
        own.connection.request("POST", "/v1/models/model:predict", body)
        rows = json.loads(own.connection.getresponse().read())["predictions"]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    return call


def require_equal(calls):
    """All ways of asking give the same answers."""
    expected = calls["direct"]()
    for call in calls.values():
        answered = call()
        assert answered.keys() == expected.keys()
        for name, value in answered.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5)


# ---- what is measured ------------------------------------------------------------------------------------


def milliseconds(calls, rounds):
    """`{name: [median, 99th percentile]}` of one request at a time; of the round with the smallest median."""
    best = {}
    for _ in range(rounds):
        for name, call in calls.items():
            times = []
            for _ in range(REQUESTS):
                started = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - started))
            found = [statistics.median(times), float(np.percentile(times, 99))]
            best[name] = min(best.get(name, found), found)
    return {name: [round(value, 3) for value in found] for name, found in best.items()}


def images_per_second(calls, images, rounds):
    """`{name: images per second}`: direct calls one after the other, the others by many clients at a time."""
    best = dict.fromkeys(calls, 0.0)
    for _ in range(rounds):
        for name, call in calls.items():
            clients, sent = (1 if name.startswith("direct") else CLIENTS), images
            if name == "direct, largest batch":
                sent = min(CLIENTS * images, LARGEST)
            best[name] = max(best[name], clients * sent * rate(call, clients))
    return {name: round(found, 1) for name, found in best.items()}


def rate(call, clients):
    """Calls per second of each of several clients."""

    def client():
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            call()
            count += 1
        return count / (time.perf_counter() - started)

    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
        return statistics.mean(f.result() for f in [threads.submit(client) for _ in range(clients)])


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of all variants", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/serving.json")
    app.run(main)
