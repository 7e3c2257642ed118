"""What the tests of the REST interface share: a server in this process, and requests to it byte by byte."""

import contextlib
import socket
import types

import tensorflow as tf

from keras_cl.serve import rest, web
from keras_cl.serve.limits import Limits
from keras_cl.serve.model_config import ModelConfig, Policy
from keras_cl.serve.models import Models


def export(folder):
    """Exports a model of several signatures to a folder: one for each kind of input."""
    module = tf.Module()
    spec = tf.TensorSpec

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def half_plus_two(x):
        return {"y": x / 2 + 2}

    @tf.function(input_signature=[spec([None, 2], tf.float32, "a"), spec([None], tf.int32, "b")])
    def two(a, b):
        return {"sum": tf.reduce_sum(a, 1), "b": b}

    @tf.function(input_signature=[spec([None], tf.string, "text")])
    def echo(text):
        return {"text_bytes": text}

    @tf.function(input_signature=[spec([], tf.float32, "x")])
    def inverse(x):
        return {"y": 1 / x}

    @tf.function(input_signature=[spec([None], tf.uint8, "x")])
    def count(x):
        return {"y": tf.cast(x, tf.int64)}

    @tf.function(input_signature=[spec([None], tf.string, "inputs")])
    def scored(inputs):
        return {"scores": tf.zeros([tf.size(inputs), 2])}

    signatures = {"serving_default": half_plus_two, "two": two, "echo": echo, "inverse": inverse}
    tf.saved_model.save(module, str(folder), signatures={**signatures, "count": count, "scored": scored})


@contextlib.contextmanager
def serving(folder, labels=None, **limits):
    """Yields `models`, `address`, `limits` and `admission` of a REST server of the model "half plus"."""
    config = ModelConfig("half plus", folder, Policy("all", ()), labels or {})
    models = Models([config])
    models.start()
    limits = Limits(**limits)
    place = web.bound("127.0.0.1", 0)
    application = rest.application(models, limits)
    site = web.Site(application, place, limits)
    try:
        address, admission = place.getsockname(), application.router.default.admission
        yield types.SimpleNamespace(models=models, address=address, limits=limits, admission=admission)
    finally:
        site.stop()
        models.stop(1)


def connected(address, timeout=20):
    """A socket that is connected to a server."""
    return socket.create_connection(address, timeout)


def heard(connection):
    """All that a server says until it closes the connection; b"" if it is reset before."""
    pieces = []
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)
