"""Milliseconds per training step of ResNet-18, beside the same step in PyTorch.

    python -m benchmarks.convolutions [--torch=<Python of an environment with PyTorch>] [--rounds=5] [--save]

A step is forward, backward and SGD on random images of CIFAR-10's size, on all cores. PyTorch is not a
dependency of this project: with `--torch`, a process of that other Python takes its steps in turn with ours
(`torch_steps.py`). "convolutions alone" takes every convolution of the network and its two gradients, one
after the other: what oneDNN needs for them if nothing else is computed.
"""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

from absl import app, flags

from benchmarks.torch_steps import KINDS
from keras_cl.devices import device

# Filters and batch size.
WORKLOADS = {
    f"{filters} filters, batch {batch}": (filters, batch) for filters, batch in [(20, 10), (20, 32), (64, 32)]
}
STEPS = 8  # of one timing


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    if flags.FLAGS.save and not flags.FLAGS.torch:
        raise app.UsageError("what --save writes is a comparison with PyTorch: give --torch too")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    measured, torch = {}, Torch(flags.FLAGS.torch) if flags.FLAGS.torch else None
    for name, (filters, batch) in WORKLOADS.items():
        made = {"keras_cl": steps(filters, batch), "convolutions alone": convolutions(filters, batch)}
        if torch:
            made |= {kind: functools.partial(torch.steps, kind, filters, batch) for kind in KINDS}
        best = interleaved(made, flags.FLAGS.rounds)
        measured[name] = {kind: round(1e3 * float(seconds) / STEPS, 1) for kind, seconds in best.items()}
        print(name)
        for kind, milliseconds in measured[name].items():
            print(f"  {kind:34s}{milliseconds:9.1f} ms {measured[name]['keras_cl'] / milliseconds:6.2f}")
        sys.stdout.flush()
    if flags.FLAGS.save:
        version = {"torch": torch.version} if torch else {}
        save("convolutions", {"rounds": flags.FLAGS.rounds, **version, "milliseconds_a_step": measured})


def steps(filters, batch):
    """A function that takes `STEPS` steps of `finetune`."""
    import keras_cl
    from benchmarks.steps import random_images

    stream = random_images(batch * STEPS)
    model = keras_cl.methods.Finetune(keras_cl.networks.resnet18(stream, filters=filters))
    model.compile("sgd")
    model.begin_task(stream[0])
    chunk, run = next(iter(model.batches(stream[0], batch))), model.make_train_function()
    return lambda: float(run(iter([chunk]))["loss"])


def convolutions(filters, batch):
    """A function that computes all convolutions of the network and their gradients, `STEPS` times."""
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras

    import keras_cl
    from benchmarks.steps import random_images

    network = keras_cl.networks.resnet18(random_images(batch), filters=filters)
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    rng = np.random.default_rng(0)

    def random(shape):
        return tf.constant(rng.standard_normal(shape, np.float32))

    tensors = [
        (
            random((batch, *layer.input.shape[1:])),
            random(layer.kernel.shape),
            random((batch, *layer.output.shape[1:])),
        )
        for layer in layers
    ]

    @tf.function
    def one_by_one(tensors):
        done = []
        for layer, own in zip(layers, tensors, strict=True):
            for convolution in parts(layer.strides, *own):
                with tf.control_dependencies(done[-1:]):  # so that each has all cores
                    done.append(convolution())
        return done  # all of them, because what nobody reads is not computed

    return lambda: [one_by_one(tensors) for _ in range(STEPS)]


def parts(strides, x, w, delta):
    """Functions: a convolution of x with w, and the gradients of both if that of the output is delta."""
    import tensorflow as tf

    how = {"strides": [1, *strides, 1], "padding": "SAME"}
    forward = functools.partial(tf.raw_ops.Conv2D, input=x, filter=w, **how)
    back = {"out_backprop": delta, **how}
    of_x = functools.partial(tf.raw_ops.Conv2DBackpropInput, input_sizes=x.shape, filter=w, **back)
    of_w = functools.partial(tf.raw_ops.Conv2DBackpropFilter, input=x, filter_sizes=w.shape, **back)
    images = x.shape[-1] == 3  # colours; nobody needs the gradient of them
    return (forward, of_w) if images else (forward, of_x, of_w)


class Torch:
    """A process of another Python, which takes steps in PyTorch when it is asked to.

    Attributes:
      version: of PyTorch.
    """

    def __init__(self, python):
        program = pathlib.Path(__file__).with_name("torch_steps.py")
        command = [python, program, str(os.cpu_count()), str(STEPS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def steps(self, kind, filters, batch):
        """Takes `STEPS` steps."""
        print(KINDS.index(kind), filters, batch, file=self._process.stdin, flush=True)
        self._answer()

    def _answer(self):
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise app.UsageError("PyTorch's process has ended; its error is above")
        return answer


if __name__ == "__main__":
    flags.DEFINE_string("torch", None, "Python of an environment with PyTorch, which is measured too")
    flags.register_validator("torch", lambda given: not given or shutil.which(given), "is no program")
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/convolutions.json")
    app.run(main)
