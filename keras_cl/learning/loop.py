"""The compiled training loop: many `train_step`s per call from Python.

A step of a typical published setting costs less than its launch, so `ContinualModel.fit` passes a chunk of
batches to one compiled loop. With XLA the loop is one program; without XLA it is a graph that runs the same
`train_step`.
"""

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require
from keras_cl.learning.batches import Batch


def prefers_xla(network):
    """Whether the XLA loop is faster for `network` on the current device.

    On a CPU, XLA speeds up dense networks and slows down convolutions several times (`benchmarks/choices.py`
    measures both), because it does not call the CPU's convolution library. On an accelerator everything is
    compiled, except steps that run on several devices.
    """
    if tf.distribute.has_strategy():
        return False
    convolves = any(isinstance(layer, keras.layers.Conv1D.__base__) for layer in network.submodules)
    return not convolves or bool(tf.config.list_logical_devices("GPU"))


def train_function(model, step, jit, after=None, strategy=None):
    """The function of an iterator that Keras's `fit` calls: runs one chunk and returns the metrics.

    Args:
      model: a Keras model; `step` updates its metrics.
      step: function that learns from one `Batch`.
      jit: whether XLA compiles the loop.
      after: function of a chunk, called after its steps.
      strategy: `tf.distribute` strategy whose replicas share each step; None for one device.
    """

    require(not (jit and strategy), "XLA compiles steps of one device, and there are several: give jit=None.")

    def own_part(batch):
        step(batch.share)

    def taken(batch):
        if strategy is None:
            step(batch)
        else:
            strategy.run(own_part, args=(batch,))

    def steps(chunk, count):
        k = 0
        while k < count:  # not `tf.range`, whose length XLA would compile in
            taken(chunk.step(k))
            k += 1
        return {metric.name: metric.result() for metric in model.metrics}

    if not model.run_eagerly:
        steps = tf.function(steps, jit_compile=jit, reduce_retracing=True)

    def run(iterator):
        element = next(iterator)
        require(
            isinstance(element, tuple) and isinstance(element[0], Batch),
            "fit takes model.batches(task, batch_size=...), not plain arrays or data sets: every row must "
            "know its task.",
        )
        result = steps(*element)
        if after:
            after(element[0])
        return result

    run.steps = steps  # for a test that counts its traces
    return run
