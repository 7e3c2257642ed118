"""Measures the design choices that docs/architecture.md explains.

python -m benchmarks.choices [--rounds=3] [--save]
"""

import functools

import numpy as np
from absl import app, flags

from keras_cl.devices import device

SHAPE = (128, 1000)  # of the random numbers
REPEATS = 20


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    nanoseconds = {
        name: round(1e9 * seconds / REPEATS / np.prod(SHAPE), 2)
        for name, seconds in interleaved(random_numbers(), flags.FLAGS.rounds).items()
    }
    microseconds = {
        name: round(1e6 * seconds / REPEATS, 1)
        for name, seconds in interleaved(permuting(), flags.FLAGS.rounds).items()
    }
    steps = {
        name: round(1e6 * seconds / REPEATS, 1)
        for name, seconds in interleaved(loops(), flags.FLAGS.rounds).items()
    }
    content = {
        "nanoseconds_a_random_number": nanoseconds,
        "microseconds_to_permute_128_images": microseconds,
        "microseconds_a_step": steps,
    }
    for title, values in content.items():
        print(title.replace("_", " "))
        for name, value in values.items():
            print(f"  {name:40s}{value:10.2f}")
    if flags.FLAGS.save:
        save("choices", {"rounds": flags.FLAGS.rounds, **content})


def random_numbers():
    """Bernoulli masks inside an XLA loop, by TensorFlow's generator and by the hash."""
    import tensorflow as tf

    from keras_cl.numerics.random import random_bits

    def by_generator(seed, step):
        return tf.random.stateless_uniform(SHAPE, seed=tf.stack([seed, step])) < 0.5

    def by_hash(seed, step):
        return random_bits(seed, step, SHAPE) < tf.constant(2**31, tf.uint32)

    def masks(draw, seed):
        total = tf.zeros(SHAPE)
        for step in tf.range(REPEATS):
            total += tf.cast(draw(seed, step), tf.float32)
        return total

    compiled = {
        name: tf.function(functools.partial(masks, draw), jit_compile=True)
        for name, draw in (("tf.random.stateless_uniform", by_generator), ("counter-based hash", by_hash))
    }
    return {name: functools.partial(run, tf.constant(1)) for name, run in compiled.items()}


def permuting():
    """Permutes a batch of MNIST's shape by one index vector."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (128, 784), np.uint8)
    order = rng.permutation(784)
    tensor = tf.constant(images)

    def repeated(one):
        for _ in range(REPEATS):
            one()

    return {
        "numpy": functools.partial(repeated, lambda: images.take(order, axis=1)),
        "tf.gather": functools.partial(repeated, lambda: tf.gather(tensor, order, axis=1)),
    }


def loops():
    """The same steps in the compiled loop with and without XLA, for dense layers and for convolutions."""
    found = {}
    for kind, network in (("dense", dense_network), ("convolutions", convolutional_network)):
        for jit in (True, False):
            found[f"{kind}, {'with' if jit else 'without'} XLA"] = steps(network(), jit)
    return found


def steps(network, jit):
    """Function that takes `REPEATS` steps of batch size 128."""
    import tensorflow as tf

    from benchmarks.steps import random_stream
    from keras_cl.learning.batches import Batch
    from keras_cl.methods import Finetune

    model = Finetune(network)
    model.compile("adam", jit=jit)
    model.begin_task(random_stream()[0])
    rng = np.random.default_rng(0)
    shape = (REPEATS, 128)
    batch = Batch(
        tf.constant(rng.integers(0, 256, (*shape, 28, 28, 1), np.uint8)),
        tf.constant(rng.integers(0, 10, shape, np.int32)),
        tf.zeros(shape, tf.int32),
        tf.ones(shape),
    )
    chunk = iter(lambda: (batch, tf.constant(REPEATS)), None)
    return lambda: float(model.make_train_function()(chunk)["loss"])


def dense_network():
    import tf_keras as keras

    layers = keras.layers
    stack = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(256), layers.ReLU(), layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *stack])


def convolutional_network():
    import tf_keras as keras

    layers = keras.layers
    stack = [layers.Rescaling(1 / 255)]
    for filters in (16, 32):
        stack += [layers.Conv2D(filters, 3, strides=2), layers.ReLU()]
    return keras.Sequential([keras.Input((28, 28, 1)), *stack, layers.Flatten(), layers.Dense(10)])


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 3, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/choices.json")
    app.run(main)
