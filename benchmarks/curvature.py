"""Milliseconds of a Hessian-vector product over 2,048 rows, compared with one gradient over the same rows.

    python -m benchmarks.curvature [--rounds=15] [--save]

The library's product is reverse over reverse; "forward over reverse" is the alternative.
"""

import functools

from absl import app, flags

from keras_cl.devices import device

HIDDEN, ROWS = (256, 256), 2048


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    seconds = interleaved(variants(), flags.FLAGS.rounds)
    for name, value in seconds.items():
        print(f"{name:36s}{1e3 * value:8.1f} ms  {value / seconds['gradient']:6.2f} gradients")
    if flags.FLAGS.save:
        times = {name: round(1e3 * value, 2) for name, value in seconds.items()}
        save("curvature", {"rounds": flags.FLAGS.rounds, "milliseconds": times})


def variants():
    """`{name: function that makes one pass over all rows}`."""
    import numpy as np

    import keras_cl
    from benchmarks.steps import random_stream
    from keras_cl.importance.hessian import MeanLoss, Rows

    stream = random_stream(rows=ROWS)
    network = keras_cl.networks.mlp(stream, hidden=HIDDEN)
    rows = Rows.of(*stream[0].train.open(), stream.class_mask[0])
    made = {}
    for jit, end in ((False, ""), (True, ", with XLA")):
        loss = MeanLoss(network, jit)
        v = np.random.default_rng(0).standard_normal(loss.size)
        made[f"gradient{end}"] = functools.partial(loss.gradient, rows)
        made[f"product{end}"] = functools.partial(loss.product, rows, v)
        made[f"product, forward over reverse{end}"] = functools.partial(forward(network, jit), rows, v)
    return made


def forward(network, jit):
    """Hessian-vector product on the given rows by forward over reverse accumulation."""
    import numpy as np
    import tensorflow as tf

    variables = network.trainable_variables

    def product(v, x, y, task, mask, weight):
        parts = tf.split(v, [variable.shape.num_elements() for variable in variables])
        parts = [tf.reshape(part, w.shape) for part, w in zip(parts, variables, strict=True)]
        with tf.autodiff.ForwardAccumulator(variables, parts) as forward:
            with tf.GradientTape() as tape:
                z = tf.where(mask, network(tf.cast(x, tf.float32), training=False), -1e9)
                loss = tf.reduce_sum(weight * tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))
            g = tape.gradient(loss, variables)
        return tf.concat([tf.reshape(part, [-1]) for part in forward.jvp(g)], axis=0)

    product = tf.function(product, jit_compile=jit)

    def summed(rows, v):
        v = tf.constant(v, tf.float32)
        return sum(product(v, *block).numpy().astype(np.float64) for block in rows.blocks) / rows.count

    return summed


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 15, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/curvature.json")
    app.run(main)
