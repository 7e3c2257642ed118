"""Seconds of the importance passes over 60,000 rows, compared with a training epoch of the same network.

    python -m benchmarks.importance [--rounds=3] [--save]

"forward" and "backward" are the parts of any such pass: the logits of all rows, and the gradient of the sum
of one output without its forward pass.
"""

import functools

from absl import app, flags

from keras_cl.devices import device

HIDDEN, BATCH = (1024, 512, 256), 128
KINDS = ("exact", "sample", "empirical", "argmax", "batched")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

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
    made["mas"] = functools.partial(MAS(network).end_task, stream[0])
    made["scp, exact"] = functools.partial(MeanSensitivity(network), x, directions(mask, 0, None))
    blocks = np.array_split(x, len(x) // 1024)
    made["forward"] = lambda: [forward(network, block) for block in blocks]
    made["forward and backward"] = lambda: [gradient(network, block) for block in blocks]
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
    flags.DEFINE_boolean("save", False, "write results/importance.json")
    app.run(main)
