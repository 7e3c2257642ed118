"""Puts the law of another device to methods: `python second_device.py [method ...]`.

A process of its own, because the number of devices is settled before TensorFlow starts. The second CPU stands
for a GPU: XLA compiles the steps for it, and they read no variable of the first one. Prints JSON for each
method, and for "rows", the training rows of a task: why the law is broken, or "".
"""

import json
import sys
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf

from keras_cl.check.compare import Broken
from keras_cl.check.placement import as_on_gpu, other_device
from keras_cl.check.subject import Subject
from keras_cl.devices import device
from keras_cl.learning.batches import chunks
from keras_cl.settings import catalog


def verdict(method):
    """Why the steps of a method cannot be compiled for another device, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            other_device(Subject(method, folder))
        except (Broken, tf.errors.OpError) as error:
            return str(error)
    return ""


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


COUNT = 13


def main(*methods):
    """Prints a line for each method."""
    device.divide_cpu(2)
    print(json.dumps({"rows": rows()}), flush=True)
    for method in methods or catalog.names("method"):
        print(json.dumps({method: verdict(method)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
