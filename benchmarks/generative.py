"""Cost of generating: a step of `dgr` compared with its parts, and seconds per task along a stream; a turn of
a GAN compared with its parts.

    python -m benchmarks.generative [--rounds=5] [--save]

The network is 784-400-400-10, the generator 784-400-400-100 and back, both with Adam. The parts are a step of
the network and one of the generator on 256 rows, and generating and labelling 128 rows, each in an XLA loop.
A turn of the GAN, with two hidden layers of 256 units, is five steps of the critic and one of the generator,
on 128 rows each; its parts are these steps in loops of their own. Five steps of `dgr` with this GAN have the
same parts on 256 rows, and five steps of the network and five times drawing and labelling 128 rows.
"""

import time

import numpy as np
from absl import app, flags

from keras_cl.devices import device

HIDDEN, BATCH, ROWS, TASKS = (400, 400), 128, 12_800, 20
WHOLE, PARTS = "dgr, 128 + 128 rows", ("network, 256 rows", "generator, 256 rows", "drawing 128 rows")
TURN, CRITIC, GENERATOR = "gan, 5 critic steps, 1 of the generator", "critic's step", "generator's step"
REPLAYED = "dgr with the gan, 128 + 128 rows"
REPLAYED_PARTS = "critic, 256 rows", "generator of the gan, 256 rows", "drawing 128 rows of the gan"
CRITIC_STEPS, LATENT = 5, 100


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    best = interleaved(variants() | gan_variants(), flags.FLAGS.rounds)
    steps = dict.fromkeys(best, ROWS // BATCH)
    steps |= dict.fromkeys((*PARTS[:2], *REPLAYED_PARTS[:2]), ROWS // (2 * BATCH))
    steps[TURN] //= CRITIC_STEPS
    times = {name: round(1e6 * seconds / steps[name], 1) for name, seconds in best.items()}
    for name, value in times.items():
        print(f"{name:40s}{value:8.0f} us")
    print(f"{'dgr to the sum of its parts':40s}{times[WHOLE] / sum(times[part] for part in PARTS):8.2f}")
    whole, critic, generator, draws = (times.pop(name) for name in (REPLAYED, *REPLAYED_PARTS))
    gan = {name: times.pop(name) for name in (TURN, CRITIC, GENERATOR)}
    apart = CRITIC_STEPS * gan[CRITIC] + gan[GENERATOR]
    print(f"{'gan to the sum of its parts':40s}{gan[TURN] / apart:8.2f}")
    apart = times[PARTS[0]] + critic + generator / CRITIC_STEPS + draws
    print(f"{'dgr with the gan to the sum of its parts':40s}{whole / apart:8.2f}")
    tasks = seconds_a_task()
    print(f"seconds a task: task 2 {tasks[1]:.3f}, task {TASKS} {tasks[-1]:.3f}")
    grows = seconds_a_task("gan")
    print(f"seconds a task with a GAN: task 2 {grows[1]:.3f}, task {TASKS} {grows[-1]:.3f}")
    if flags.FLAGS.save:
        measured = {"microseconds_a_step": times, "gan": {"critic_steps": CRITIC_STEPS, "microseconds": gan}}
        measured["gan"] |= {"seconds_a_task": [round(value, 4) for value in grows]}
        measured |= {"seconds_a_task": [round(value, 4) for value in tasks]}
        save("generators", {"rounds": flags.FLAGS.rounds, **measured})


def variants():
    """`{name: function that takes the steps of an epoch}`."""
    import keras_cl
    from benchmarks.steps import random_stream

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
    return {
        WHOLE: lambda: model.fit(data, verbose=0),
        PARTS[0]: lambda: finetune.fit(alone, verbose=0),
        PARTS[1]: lambda: generator.fit(alone, verbose=0),
        PARTS[2]: drawing(model, data),
    }


def gan_variants():
    """`{name: function that takes the steps of an epoch}` of a GAN as it learns and of its parts alone."""
    import tensorflow as tf

    import keras_cl
    from benchmarks.steps import random_stream
    from keras_cl.learning import loop

    stream = random_stream(tasks=2, rows=ROWS)

    def gan():
        made = keras_cl.generators.GAN(
            stream.input_shape, scale=stream.source.scale, conditions=10, latent=LATENT
        )
        made.compile()
        return made

    whole, model = gan(), replaying(stream, HIDDEN, "gan")
    model.begin_task(stream[0])
    model.end_task(stream[0])
    finetune = keras_cl.methods.Finetune(network_of(stream, HIDDEN))
    finetune.compile("adam")
    finetune.begin_task(stream[0])
    model.begin_task(stream[1])
    data, mixed = finetune.batches(stream[0], BATCH), model.batches(stream[1], BATCH)
    wide = finetune.batches(stream[0], 2 * BATCH)

    def repeated(part, data, *turn):
        one = gan()

        def step(batch):
            seed, number = tf.unstack(one.state)
            one.state.assign([seed, number + 1])
            getattr(one, part)(batch, seed, 3 * number, *turn)

        return epochs_of(loop.train_function(one, step, jit=True), data)

    return {
        TURN: lambda: whole.fit(data, verbose=0),
        CRITIC: repeated("_learn_critic", data),
        GENERATOR: repeated("_learn_generator", data, True),
        REPLAYED: lambda: model.fit(mixed, verbose=0),
        REPLAYED_PARTS[0]: repeated("_learn_critic", wide),
        REPLAYED_PARTS[1]: repeated("_learn_generator", wide, True),
        REPLAYED_PARTS[2]: drawing(model, mixed),
    }


def drawing(model, data):
    """Function that only draws and labels the generated rows of an epoch of `data`."""
    import tensorflow as tf

    from keras_cl.learning import loop

    drawn = tf.Variable(0.0)

    def draw(batch):
        mixed = model.memory.mixed(batch)
        drawn.assign_add(tf.reduce_sum(mixed.x[-1]) + tf.cast(tf.reduce_sum(mixed.y), tf.float32))

    return epochs_of(loop.train_function(model.memory.generator, draw, jit=True), data)


def epochs_of(steps, data):
    """Function that takes the steps of an epoch."""

    def run():
        chunks = iter(data)
        for _ in range(int(data.cardinality())):
            steps(chunks)

    return run


def network_of(stream, hidden):
    import keras_cl

    return keras_cl.networks.mlp(stream, hidden=hidden)


def replaying(stream, hidden, memory="vae"):
    """`dgr` with a VAE of the same hidden layers, or with a GAN of two of 256 units."""
    import keras_cl

    memories = keras_cl.memories
    if memory == "vae":
        memory = memories.VAEMemory(stream, hidden=hidden)
    else:
        memory = memories.GANMemory(stream, latent=LATENT)
    model = keras_cl.methods.DGR(network_of(stream, hidden), memory=memory)
    model.compile("adam")
    return model


def seconds_a_task(memory="vae"):
    """Seconds that `dgr` takes for each task of permuted digits, for each task the fastest of the rounds.

    The same model repeats the stream; the first round, which includes compilation, does not count.
    """
    import keras_cl

    stream = keras_cl.streams.permuted("digits", tasks=TASKS)
    model, rounds = replaying(stream, (100, 100), memory), []
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
