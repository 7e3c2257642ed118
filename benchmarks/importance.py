"""Seconds of the importance passes over all rows, compared with a training epoch of the same network.

    python -m benchmarks.importance [--rounds=3] [--save]
    python -m benchmarks.importance --network=resnet18 [--classes=10] [--rows=2000]

The dense network is measured on 60,000 rows of MNIST's size. "forward" and "backward" are the parts of any
such pass: the logits of all rows, and the gradient of the sum of one output without its forward pass. The
ResNet-18 has 20 filters and images of CIFAR-10's size; it is also measured by processor time, which other
programs of the machine change less.
"""

import functools
import time

from absl import app, flags

from keras_cl.devices import device

HIDDEN, BATCH = (1024, 512, 256), 128
KINDS = ("exact", "sample", "empirical", "argmax", "batched")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    if flags.FLAGS.network == "resnet18":
        print_convolutional()
        return
    seconds = interleaved(variants(), flags.FLAGS.rounds)
    seconds["backward"] = seconds.pop("forward and backward") - seconds["forward"]
    for name, value in seconds.items():
        print(f"{name:18s}{value:7.2f} s  {value / seconds['epoch']:6.2f} epochs")
    if flags.FLAGS.save:
        times = {name: round(value, 3) for name, value in seconds.items()}
        save("importance", {"rounds": flags.FLAGS.rounds, "seconds": times})


def variants():
    """`{name: function that makes one pass over all rows}`."""
    import numpy as np

    import keras_cl
    from benchmarks.steps import method_epochs, random_stream
    from keras_cl.importance.cramer import directions
    from keras_cl.importance.fisher import Fisher
    from keras_cl.importance.sensitivity import MeanSensitivity
    from keras_cl.methods import MAS, Finetune

    stream = random_stream()
    network = keras_cl.networks.mlp(stream, hidden=HIDDEN)
    (x, y), mask = stream[0].train.open(), stream.class_mask[0]
    made = {"epoch": method_epochs(Finetune, stream, HIDDEN, BATCH, "adam", epochs=1)}
    for kind in KINDS:
        made[f"fisher, {kind}"] = functools.partial(Fisher(network, kind), x, y, mask)
    made["mas"] = functools.partial(MAS(network)._sensitivity, x, of_task=(mask,))
    made["scp, exact"] = functools.partial(MeanSensitivity(network), x, directions(mask, 0, None))
    blocks = np.array_split(x, len(x) // 1024)
    made["forward"] = lambda: [forward(network, block) for block in blocks]
    made["forward and backward"] = lambda: [gradient(network, block) for block in blocks]
    return made


def print_convolutional():
    """Prints seconds and processor seconds of each pass of the ResNet-18, and both in epochs."""
    made, best = convolutional(flags.FLAGS.rows, flags.FLAGS.classes), {}
    for run in made.values():
        run()
    for _ in range(flags.FLAGS.rounds):
        for name, run in made.items():
            started = time.perf_counter(), time.process_time()
            run()
            spent = time.perf_counter() - started[0], time.process_time() - started[1]
            best[name] = tuple(map(min, spent, best.get(name, spent)))
    for name, (seconds, processor) in best.items():
        wall, busy = (value / epoch for value, epoch in zip((seconds, processor), best["epoch"], strict=True))
        print(
            f"{name:18s}{seconds:8.2f} s {wall:6.2f} epochs {processor:8.2f} processor s {busy:6.2f} epochs"
        )


def convolutional(rows, classes):
    """`{name: function that makes one pass over all rows}` of a ResNet-18 on random images."""
    import numpy as np

    import keras_cl
    from benchmarks.steps import random_images
    from keras_cl.importance.fisher import Fisher
    from keras_cl.methods import MAS, Finetune

    stream = random_images(rows, classes)
    x, y = stream[0].train.open()
    model = Finetune(keras_cl.networks.resnet18(stream))
    model.compile("sgd")
    model.begin_task(stream[0])
    data, mask = model.batches(stream[0], 32), np.ones(classes, bool)
    made = {"epoch": functools.partial(model.fit, data, verbose=0)}
    network = keras_cl.networks.resnet18(stream)
    for kind in ("exact", "sample", "empirical"):
        made[f"fisher, {kind}"] = functools.partial(Fisher(network, kind), x, y, mask)
    made["mas"] = functools.partial(MAS(network)._sensitivity, x, of_task=(mask,))
    return made


def forward(network, x):
    """Sum of the first logit over the rows of `x`."""
    return _compiled(network)[0](x)


def gradient(network, x):
    """Gradient of that sum."""
    return _compiled(network)[1](x)


@functools.cache
def _compiled(network):
    import tensorflow as tf

    @tf.function(jit_compile=True, reduce_retracing=True)
    def total(x):
        return tf.reduce_sum(network(x, training=False)[:, 0])

    @tf.function(jit_compile=True, reduce_retracing=True)
    def slope(x):
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(network(x, training=False)[:, 0])
        return tape.gradient(value, network.trainable_variables, unconnected_gradients="zero")

    return total, slope


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 3, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_enum("network", "mlp", ["mlp", "resnet18"], "network that is measured")
    flags.DEFINE_integer("rows", 2000, "rows of the ResNet-18", lower_bound=1)
    flags.DEFINE_integer("classes", 10, "classes of the ResNet-18, all of them active", lower_bound=2)
    flags.DEFINE_boolean("save", False, "write results/importance.json")
    app.run(main)
