"""Rows a second of tasks whose images are mapped from a file, and whose images are in memory.

    python -m benchmarks.sources [--rounds=5] [--rows=60000] [--save]

Images of 32x32x3 bytes in ten classes, two a task; the page cache of the system holds the file.
`open` selects the rows of every task; `epoch` opens the first and trains an epoch with a network 3072-256-10.
"""

import pathlib
import tempfile

import numpy as np
from absl import app, flags

from keras_cl.devices import device

SHAPE, CLASSES, TASKS = (32, 32, 3), 10, 5


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    rows = flags.FLAGS.rows
    with tempfile.TemporaryDirectory() as folder:
        best = interleaved(variants(pathlib.Path(folder), rows), flags.FLAGS.rounds)
    found = {
        name: round((rows if name.startswith("open") else rows // TASKS) / seconds)
        for name, seconds in best.items()
    }
    for name, value in found.items():
        print(f"{name:20s}{value:12,} rows a second")
    for work in ("open", "epoch"):
        print(f"{work}: {found[f'{work}, mapped'] / found[f'{work}, in memory']:.2f} of memory")
    if flags.FLAGS.save:
        save("sources", {"rounds": flags.FLAGS.rounds, "rows": rows, "rows_a_second": found})


def variants(folder, rows):
    """`{name: function that opens all rows, or trains on those of a task}`."""
    import keras_cl

    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.integers(0, 256, (rows, *SHAPE), np.uint8))
    y = np.arange(rows, dtype=np.int32) % CLASSES
    arrays = {"in memory": np.load(folder / "x.npy"), "mapped": np.load(folder / "x.npy", mmap_mode="r")}
    made = {}
    for name, x in arrays.items():
        load = ((np.asarray(x), y), (np.asarray(x[:CLASSES]), y[:CLASSES]))
        source = keras_cl.sources.Source(
            "images", SHAPE, tuple(range(CLASSES)), 1 / 255, lambda load=load: load
        )
        stream = keras_cl.streams.split(source, tasks=TASKS, scenario="class")
        made[f"open, {name}"] = lambda stream=stream: [task.train.open() for task in stream]
        made[f"epoch, {name}"] = epochs(stream)
    return made


def epochs(stream):
    """A function that trains an epoch of the first task."""
    import keras_cl

    model = keras_cl.methods.Finetune(keras_cl.networks.mlp(stream, hidden=(256,)))
    model.compile("sgd")
    model.begin_task(stream[0])
    return lambda: model.fit(model.batches(stream[0], 128), epochs=1, verbose=0)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_integer("rows", 60_000, "number of images", lower_bound=1000)
    flags.DEFINE_boolean("save", False, "write results/sources.json")
    app.run(main)
