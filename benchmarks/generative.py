"""Cost of generating: a step of `dgr` compared with its parts, and seconds per task along a stream.

    python -m benchmarks.generative [--rounds=5] [--save]

The network is 784-400-400-10, the generator 784-400-400-100 and back, both with Adam. The parts are a step of
the network and one of the generator on 256 rows, and generating and labelling 128 rows, each in an XLA loop.
"""

import time

import numpy as np
from absl import app, flags

from keras_cl.devices import device

HIDDEN, BATCH, ROWS, TASKS = (400, 400), 128, 12_800, 20
WHOLE, PARTS = "dgr, 128 + 128 rows", ("network, 256 rows", "generator, 256 rows", "drawing 128 rows")


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    best = interleaved(variants(), flags.FLAGS.rounds)
    steps = {name: -(-ROWS // (2 * BATCH if "256" in name else BATCH)) for name in best}
    times = {name: round(1e6 * seconds / steps[name], 1) for name, seconds in best.items()}
    for name, value in times.items():
        print(f"{name:28s}{value:8.0f} us a step")
    print(f"{'to the sum of its parts':28s}{times[WHOLE] / sum(times[part] for part in PARTS):8.2f}")
    tasks = seconds_a_task()
    print(f"seconds a task: task 2 {tasks[1]:.3f}, task {TASKS} {tasks[-1]:.3f}")
    if flags.FLAGS.save:
        measured = {"microseconds_a_step": times, "seconds_a_task": [round(value, 4) for value in tasks]}
        save("generators", {"rounds": flags.FLAGS.rounds, **measured})


def variants():
    """`{name: function that takes the steps of an epoch}`."""
    import tensorflow as tf

    import keras_cl
    from benchmarks.steps import random_stream
    from keras_cl.learning import loop

    stream = random_stream(tasks=2, rows=ROWS)
    model, finetune = replaying(stream, HIDDEN), keras_cl.methods.Finetune(network_of(stream, HIDDEN))
    model.begin_task(stream[0])
    model.end_task(stream[0])
    finetune.compile("adam")
    for learner in (model, finetune):
        learner.begin_task(stream[1])
    data, alone = model.batches(stream[1], BATCH), finetune.batches(stream[1], 2 * BATCH)
    generator = keras_cl.generators.VAE(stream.input_shape, scale=stream.source.scale, hidden=HIDDEN)
    generator.compile("adam")
    drawn = tf.Variable(0.0)

    def draw(batch):
        mixed = model.memory.mixed(batch)
        drawn.assign_add(tf.reduce_sum(mixed.x[-1]) + tf.cast(tf.reduce_sum(mixed.y), tf.float32))

    drawing = loop.train_function(generator, draw, jit=True)

    def draw_epoch():
        chunks = iter(data)
        for _ in range(int(data.cardinality())):
            drawing(chunks)

    return {
        WHOLE: lambda: model.fit(data, verbose=0),
        PARTS[0]: lambda: finetune.fit(alone, verbose=0),
        PARTS[1]: lambda: generator.fit(alone, verbose=0),
        PARTS[2]: draw_epoch,
    }


def network_of(stream, hidden):
    import keras_cl

    return keras_cl.networks.mlp(stream, hidden=hidden)


def replaying(stream, hidden):
    """`dgr` with a VAE of the same hidden layers."""
    import keras_cl

    memory = keras_cl.memories.VAEMemory(stream, hidden=hidden)
    model = keras_cl.methods.DGR(network_of(stream, hidden), memory=memory)
    model.compile("adam")
    return model


def seconds_a_task():
    """Seconds that `dgr` takes for each task of permuted digits, for each task the fastest of the rounds.

    The same model repeats the stream; the first round, which includes compilation, does not count.
    """
    import keras_cl

    stream = keras_cl.streams.permuted("digits", tasks=TASKS)
    model, rounds = replaying(stream, (100, 100)), []
    for _ in range(1 + flags.FLAGS.rounds):
        rounds.append([])
        model.restore(stream, 0, lambda: None)  # begins the stream anew
        for task in stream:
            started = time.perf_counter()
            model.begin_task(task)
            model.fit(model.batches(task, 32), epochs=5, verbose=0)
            model.end_task(task)
            rounds[-1].append(time.perf_counter() - started)
    return np.min(rounds[1:], axis=0).tolist()


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/generators.json")
    app.run(main)
