"""Rows a second of tasks whose images are in memory, are mapped from a file, and are read in chunks.

    python -m benchmarks.sources [--rounds=5] [--rows=60000] [--save]

Images of 32x32x3 bytes in ten classes, two a task; the page cache of the system holds the file.
`open` selects the rows of every task; `batches` goes through the chunks of an epoch of the first and trains
on none; `epoch` opens the first and trains an epoch with a network 3072-256-10. Rows are also counted by a
second of processor time, of all threads: beside other programs that is what stays comparable.
"""

import pathlib
import tempfile
import time
from unittest import mock

import numpy as np
from absl import app, flags

from keras_cl.devices import device, ram

SHAPE, CLASSES, TASKS = (32, 32, 3), 10, 5
WORK = {"open": TASKS, "batches": 1, "epoch": 1}  # tasks whose rows are counted


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"{argv[1]} is not a flag")
    device.prepare("cpu")
    from benchmarks.timing import interleaved, save

    rows = flags.FLAGS.rows
    with tempfile.TemporaryDirectory() as folder:
        best = interleaved(variants(pathlib.Path(folder), rows), flags.FLAGS.rounds, clocks)
    found = {
        f"{work}, {kind}": (rows // TASKS * WORK[work] / seconds).round().tolist()
        for (work, kind), seconds in best.items()
    }
    for name, (by_time, by_processor) in found.items():
        print(f"{name:22s}{by_time:12,.0f} rows a second{by_processor:12,.0f} a second of the processor")
    if flags.FLAGS.save:
        save("sources", {"rounds": flags.FLAGS.rounds, "rows": rows, "rows_a_second": found})


def clocks():
    """Seconds, and seconds of processor time."""
    return np.array([time.perf_counter(), time.process_time()])


def variants(folder, rows):
    """`{(work, kind): function that does the work}`."""
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.integers(0, 256, (rows, *SHAPE), np.uint8))
    y = np.arange(rows, dtype=np.int32) % CLASSES
    mapped = np.load(folder / "x.npy", mmap_mode="r")
    kinds = {
        "in memory": stream_of(np.load(folder / "x.npy"), y),
        "mapped": stream_of(mapped, y),
        "in chunks": stream_of(mapped, y),
    }
    made = {("open", kind): opened(kinds[kind]) for kind in ("in memory", "mapped")}
    for kind, stream in kinds.items():
        made |= trained(stream, kind)
    return made


def stream_of(x, y):
    """A stream of a data set whose images are `x`."""
    import keras_cl

    load = ((np.asarray(x), y), (np.asarray(x[:CLASSES]), y[:CLASSES]))
    source = keras_cl.sources.Source("images", SHAPE, tuple(range(CLASSES)), 1 / 255, lambda: load)
    return keras_cl.streams.split(source, tasks=TASKS, scenario="class")


def opened(stream):
    """A function that opens all tasks."""
    return lambda: [task.train.open() for task in stream]


def trained(stream, kind):
    """`{(work, kind): function}` of an epoch of the first task, with and without training."""
    import keras_cl

    model = keras_cl.methods.Finetune(keras_cl.networks.mlp(stream, hidden=(256,)))
    model.compile("sgd")
    model.begin_task(stream[0])
    largest = 0 if kind == "in chunks" else ram.largest_whole()

    def batches():
        with mock.patch.object(ram, "largest_whole", lambda: largest):
            return model.batches(stream[0], 128)

    return {
        ("batches", kind): lambda: [count for _, count in batches()],
        ("epoch", kind): lambda: model.fit(batches(), epochs=1, verbose=0),
    }


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 5, "rounds of which the fastest counts", lower_bound=1)
    flags.DEFINE_integer("rows", 60_000, "number of images", lower_bound=1000)
    flags.DEFINE_boolean("save", False, "write results/sources.json")
    app.run(main)
