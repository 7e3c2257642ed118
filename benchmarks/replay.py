"""Cost of replay: microseconds per step with rows of a memory, and seconds per task along a stream.

    python -m benchmarks.replay [--rounds=5] [--save]

The network is 784-100-100-10 with SGD; every row is offered online to a memory of 500 rows. A step of `er` is
compared with a step of `finetune` on the same number of rows, or on the rows of the task alone.
"""

import functools
import time

import numpy as np
from absl import app, flags

from keras_cl.devices import device

HIDDEN, CAPACITY = (100, 100), 500
TASKS, ROWS_A_TASK = 20, 12_000
STEPS = {  # method, rows of the task in a step, rows of each draw
    "finetune, 10 rows": ("finetune", 10, 0),
    "er, 10 + 10 rows": ("er", 10, 10),
    "derpp, 10 + 2 x 10 rows": ("derpp", 10, 10),
    "finetune, 256 rows": ("finetune", 256, 0),
    "er, 128 + 128 rows": ("er", 128, 128),
    "derpp, 128 + 2 x 128 rows": ("derpp", 128, 128),
}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.steps import EPOCHS, ROWS
    from benchmarks.timing import interleaved, save

    best = interleaved(variants(), flags.FLAGS.rounds)
    steps = {name: EPOCHS * -(-ROWS // STEPS[name][1]) for name in STEPS}
    times = {name: round(1e6 * seconds / steps[name], 1) for name, seconds in best.items()}
    for name, value in times.items():
        print(f"{name:28s}{value:8.0f} us a step")
    tasks = seconds_a_task()
    print(f"seconds a task: task 2 {tasks[1]:.3f}, task {TASKS} {tasks[-1]:.3f}")
    if flags.FLAGS.save:
        measured = {"microseconds_a_step": times, "seconds_a_task": [round(value, 4) for value in tasks]}
        save("replay", {"rounds": flags.FLAGS.rounds, **measured})


def variants():
    """`{name: function that trains some epochs}`."""
    from benchmarks.steps import method_epochs, random_stream

    stream = random_stream()
    made = {}
    for name, (method, batch, replayed) in STEPS.items():
        make = functools.partial(rehearsing, method, stream)
        made[name] = method_epochs(make, stream, HIDDEN, batch, "sgd", replayed=replayed)
    return made


def rehearsing(method, stream, network):
    """A method with its default memory, if it has one."""
    from keras_cl.settings import catalog

    usual = catalog.choice("method", method).constants.get("usual", {}).get("memory")
    memory = catalog.load("memory", usual)(stream, capacity=CAPACITY) if usual else None
    return catalog.load("method", method)(network, memory=memory)


def seconds_a_task():
    """Seconds that `er` takes for each task of a long stream, for each task the fastest of the rounds."""
    import keras_cl

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (ROWS_A_TASK, 28, 28, 1), np.uint8), rng.integers(0, 10, ROWS_A_TASK)
    y[:10] = range(10)
    source = keras_cl.sources.from_arrays(x, y, x[:1000], y[:1000])
    stream = keras_cl.streams.permuted(source, tasks=TASKS)
    rounds = []
    for _ in range(flags.FLAGS.rounds):
        model = rehearsing("er", stream, keras_cl.networks.mlp(stream, hidden=HIDDEN))
        model.compile("sgd")
        rounds.append([])
        for task in stream:
            started = time.perf_counter()
            model.begin_task(task)
            model.fit(model.batches(task, 10), epochs=1, verbose=0)
            model.end_task(task)
            rounds[-1].append(time.perf_counter() - started)
    return np.min(rounds, axis=0).tolist()


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_boolean("save", False, "write results/replay.json")
    app.run(main)
