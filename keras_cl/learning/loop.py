"""The compiled training loop: many `train_step`s per call from Python.

A step of a typical published setting costs less than its launch, so `ContinualModel.fit` passes a chunk of
batches to one compiled loop. With XLA the loop is one program; without XLA it is a graph that runs the same
`train_step`.
"""

import re
import warnings

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import Notice, require
from keras_cl.learning.batches import Batch
from keras_cl.learning.layers import logits_of
from keras_cl.learning.network import layers_of, some_images

# Packages of Keras's layers that XLA compiles; of others it is tried.
COMPILED = {
    *("activation", "convolutional", "merging", "normalization", "pooling", "regularization", "reshaping")
}
OURS = ("Bridges", "ClassVAEs", "Dropout", "NearestMean", "TaskGate")
ALSO_COMPILED = ("Activation", "Dense", "Functional", "InputLayer", "Rescaling", "Sequential")


def uses_xla(network, jit=None, memory=None):
    """Whether XLA compiles the training loop of a network.

    Args:
      network: the network that is trained.
      jit: what the user asked for; None chooses, and says so if XLA would be faster and cannot compile.
      memory: the memory that takes part in each step, if there is one; its `prefers_xla` counts too.

    Raises:
      InputError: if `jit` is true and XLA cannot compile the network.
    """
    chosen = prefers_xla(network) and (memory is None or memory.prefers_xla)
    if not (chosen if jit is None else jit):
        return False
    missing = not_compiled(network)
    if missing and jit is None:
        warnings.warn(
            f"XLA cannot compile {network.name} ({missing}), so its training loop runs without XLA.",
            Notice,
            stacklevel=3,
        )
    require(
        not (missing and jit),
        f"XLA cannot compile {network.name} ({missing}); give jit=None or jit=False.",
    )
    return not missing


def not_compiled(network):
    """What XLA cannot compile in a step of a network; empty if it can.

    Layers that are known to be compiled are not tried. To try a network is to trace a step of two images,
    which is not run.
    """
    if all(map(_is_compiled, layers_of(network))):
        return ""

    @tf.function(jit_compile=True)
    def step(images, task):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(logits_of(network, images, task, training=True))
        return tape.gradient(total, network.trainable_variables)

    images = some_images(network)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow warns of device_name, and without it draws a number
            compiled = step.experimental_get_compiler_ir(images, tf.zeros([2], tf.int32))
            compiled(stage="hlo", device_name=images.device)
    except (tf.errors.OpError, ValueError) as error:
        operations = sorted(set(re.findall(r"(\w+) \(No registered", str(error))))
        return ", ".join(operations) or str(error).strip().splitlines()[0][:100]
    return ""


def _is_compiled(layer):
    package, name = type(layer).__module__.split("."), type(layer).__name__
    if not isinstance(layer, keras.layers.Layer) or (package[0] == "keras_cl" and name in OURS):
        return True
    return package[0] == "tf_keras" and (name in ALSO_COMPILED or bool(COMPILED.intersection(package)))


def prefers_xla(network):
    """Whether the XLA loop is faster for `network` on the current device.

    On a CPU, XLA speeds up dense networks and slows down convolutions several times (`benchmarks/choices.py`
    measures both), because it does not call the CPU's convolution library. On an accelerator everything is
    compiled, except steps that run on several devices.
    """
    if tf.distribute.has_strategy():
        return False
    return not any(map(_convolves, layers_of(network))) or bool(tf.config.list_logical_devices("GPU"))


def _convolves(layer):
    return isinstance(layer, keras.layers.Conv1D.__base__) or getattr(layer, "convolves", False)


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
