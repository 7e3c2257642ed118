"""Microseconds per training step: this library's `fit`, tf_keras's own `fit`, and the limit.

    python -m benchmarks.steps [--rounds=5] [--save]

The limit is one XLA loop over batches that are already in memory, in order. All variants train the same
network with the same optimizer on 60,000 random images of MNIST's size, including loss and accuracy. tf_keras
takes one step per call from Python by default; it is also measured with 100 (`steps_per_execution`).
"""

import functools
import sys

import numpy as np
from absl import app, flags

from keras_cl.devices import device

WORKLOADS = {  # hidden layers, batch size, optimizer
    "784-100-100-10, batch 10, SGD": ((100, 100), 10, "sgd"),
    "784-50-50-10, batch 128, Adam": ((50, 50), 128, "adam"),
    "784-1024-512-256-10, batch 128, Adam": ((1024, 512, 256), 128, "adam"),
}
ROWS = 59_904  # 468 batches of 128: the limit has no incomplete batch
EPOCHS = 2  # per call to fit
GROUPED = "tf_keras, fit, 100 steps a call"


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    import tf_keras as keras

    from benchmarks.timing import interleaved, save

    keras.utils.set_random_seed(0)  # tf_keras's own fit shuffles with the global seed

    measured = {}
    for name, (hidden, batch, optimizer) in WORKLOADS.items():
        steps = EPOCHS * -(-ROWS // batch)
        best = interleaved(variants(hidden, batch, optimizer), flags.FLAGS.rounds)
        times = {variant: round(1e6 * seconds / steps, 1) for variant, seconds in best.items()}
        measured[name] = times
        print(name)
        for variant, microseconds in times.items():
            print(f"  {variant:32s}{microseconds:10.1f} us  {microseconds / times['limit']:6.2f} x limit")
        sys.stdout.flush()
    if flags.FLAGS.save:
        save("steps", {"rounds": flags.FLAGS.rounds, "microseconds_a_step": measured})


def variants(hidden, batch, optimizer):
    """`{name: function that trains `EPOCHS` epochs}`."""
    from keras_cl.methods import EWC, Finetune

    stream = random_stream()
    made = {
        "limit": limit_epochs(stream, hidden, batch, optimizer),
        "finetune, fit": method_epochs(Finetune, stream, hidden, batch, optimizer),
        "tf_keras, fit": keras_epochs(stream, hidden, batch, optimizer),
        GROUPED: keras_epochs(stream, hidden, batch, optimizer, steps_per_execution=100),
    }
    for anchors in (1, 5):
        make = functools.partial(EWC, strength=100.0)
        epoch = method_epochs(make, stream, hidden, batch, optimizer, anchors)
        made[f"ewc, fit, {anchors} anchor{'s' * (anchors > 1)}"] = epoch
    return made


def random_stream(scenario="domain", tasks=1, rows=ROWS):
    """A stream of tasks of random bytes."""
    import keras_cl

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (rows, 28, 28, 1), np.uint8), rng.integers(0, 10, rows)
    y[:10] = range(10)
    return keras_cl.streams.permuted(
        keras_cl.sources.from_arrays(x, y, x[:1000], y[:1000]), tasks=tasks, scenario=scenario
    )


def random_images(rows, classes=10):
    """A stream of one task of random images of CIFAR-10's size."""
    import keras_cl

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (rows, 32, 32, 3), np.uint8), (np.arange(rows) % classes).astype(np.int32)
    source = keras_cl.sources.from_arrays(x, y, x[:classes], y[:classes])
    return keras_cl.streams.split(source, tasks=1, scenario="class")


def method_epochs(
    method,
    stream,
    hidden,
    batch,
    optimizer,
    anchors=0,
    epochs=EPOCHS,
    replayed=0,
    regime=None,
    precision="float32",
):
    """Trains a method with `fit`, with some anchors of random importance."""
    import keras_cl

    model = method(keras_cl.networks.mlp(stream, hidden=hidden, precision=precision))
    model.compile(optimizer, regime=regime)
    rng = np.random.default_rng(0)
    for _ in range(anchors if hasattr(model, "penalty") else 0):
        model.penalty.add([1e-3 * rng.random(v.shape) for v in model.penalty.importance])
    model.begin_task(stream[0])
    data = model.batches(stream[0], batch, replay_batch_size=replayed)
    return lambda: model.fit(data, epochs=epochs, verbose=0)


def keras_epochs(stream, hidden, batch, optimizer, steps_per_execution=1):
    """Trains with tf_keras's own `fit`, so many batches per call from Python; 1 is its default."""
    import tf_keras as keras

    import keras_cl

    network = keras_cl.networks.mlp(stream, hidden=hidden)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss=loss, metrics=["accuracy"], steps_per_execution=steps_per_execution)
    x, y = stream[0].train.open()
    return lambda: network.fit(x, y, batch_size=batch, epochs=EPOCHS, verbose=0)


def limit_epochs(stream, hidden, batch, optimizer, epochs=EPOCHS):
    """Trains with one XLA loop per epoch over batches in memory."""
    import tensorflow as tf
    import tf_keras as keras

    import keras_cl

    network = keras_cl.networks.mlp(stream, hidden=hidden)
    optimizer = keras.optimizers.get(optimizer)
    optimizer.build(network.trainable_variables)
    loss_mean, accuracy_mean = keras.metrics.Mean(), keras.metrics.Mean()
    x, y = stream[0].train.open()
    steps = len(x) // batch
    images = tf.constant(x[: steps * batch].reshape(steps, batch, *x.shape[1:]))
    labels = tf.constant(y[: steps * batch].reshape(steps, batch))

    @tf.function(jit_compile=True)
    def epoch(images, labels):
        for k in tf.range(steps):
            with tf.GradientTape() as tape:
                logits = network(images[k], training=True)
                entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[k], logits)
                loss = tf.reduce_mean(entropy)
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
            loss_mean.update_state(loss)
            right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels[k]
            accuracy_mean.update_state(tf.cast(right, tf.float32))
        return loss_mean.result()

    return lambda: [float(epoch(images, labels)) for _ in range(epochs)]


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/steps.json")
    app.run(main)
