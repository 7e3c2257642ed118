"""What the tests of learning and exporting share: tiny data, a training loop, a silent display."""

import io

import numpy as np
from rich.console import Console

from keras_cl.check import subject
from keras_cl.check.compare import saved_variables
from keras_cl.check.subject import SMALL, blobs
from keras_cl.runs.console import Display

__all__ = ["SMALL", "assert_same", "blobs", "learn", "saved_variables", "silent", "small"]


FEW_EPOCHS = {"generative_replay": {"memory.epochs": 2}}  # of what a method learns by itself


def small(method, memory=""):
    """Options of a method, its network and its memory that keep it small, as a `Config` takes them."""
    return subject.small(method, memory) | FEW_EPOCHS.get(method, {})


def learn(model, stream, *, batch_size=32, epochs=1):
    """Learns the tasks of `stream`, or of a part of it; yields after each."""
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, batch_size), epochs=epochs, verbose=0)
        model.end_task(task)
        yield task


def silent():
    """A display that shows nothing."""
    return Display(Console(file=io.StringIO()))


def assert_same(arrays, others):
    """Two lists of arrays are equal bit for bit."""
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)
