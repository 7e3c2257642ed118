"""Data sets and tasks that are larger than the memory they may take."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SIDE, CLASSES, IMAGES = 512, 8, 50  # 300 MiB of pixels
PROGRAM = """
import json, resource, sys
from keras_cl import sources, streams

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def read(folder):
    return streams.split(sources.source(folder, cache_dir=sys.argv[3]), tasks=4, scenario="class")

_ = read(sys.argv[1]).source.train  # loads the libraries
before = peak()
stream = read(sys.argv[2])
x, y = stream[2].train.open()
told = peak() - before
print(json.dumps([told, stream.source.train[0].nbytes, len(x), x.mean(axis=(1, 2, 3)).tolist(), y.tolist()]))
"""


def write(folder, side, images):
    """A folder whose images of a class are all of one grey, one file with many names."""
    import tensorflow as tf

    for part, count in (("train", images), ("test", 1)):
        for label in range(CLASSES):
            place = folder / part / str(label)
            place.mkdir(parents=True)
            (place / "0.png").write_bytes(tf.io.encode_png(np.full((side, side, 3), label, np.uint8)).numpy())
            for row in range(1, count):
                os.link(place / "0.png", place / f"{row}.png")


@pytest.mark.slow
def test_memory_is_bounded_while_a_large_data_set_is_decoded_and_a_task_of_it_opened(tmp_path):
    write(tmp_path / "small", 8, 2)
    write(tmp_path / "large", SIDE, IMAGES)
    places = [str(tmp_path / name) for name in ("small", "large", "cache")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *places],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.returncode, done.stderr
    taken, size, rows, means, units = json.loads(done.stdout.splitlines()[-1])
    assert size == CLASSES * IMAGES * SIDE * SIDE * 3
    assert rows == 2 * IMAGES and means == [4.0] * IMAGES + [5.0] * IMAGES == [float(u) for u in units]
    task = rows * SIDE * SIDE * 3  # is mapped, which counts although it can be given back, and copied
    assert taken - 2 * task < size / 2, f"{taken / 2**20:.0f} MiB"


LEARNING = """
import json, re, sys, threading, time
import numpy as np
import keras_cl
from keras_cl.devices import ram

SHAPE = 32, 32, 3

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

def stream_of(rows):
    x = np.lib.format.open_memmap(f"{sys.argv[1]}/{rows}.npy", "w+", np.uint8, (rows, *SHAPE))
    for row in range(0, rows, 1000):
        x[row : row + 1000] = np.random.default_rng(row).integers(0, 256, (1000, *SHAPE))
    y = np.arange(rows) % 4
    data = ((np.asarray(x), y), (np.asarray(x), y))
    source = keras_cl.sources.Source("images", SHAPE, (0, 1, 2, 3), 1 / 255, lambda: data)
    return keras_cl.streams.permuted(source, tasks=1, first_identity=False, valid_fraction=0.1)

def learn(stream, method):
    network = keras_cl.networks.mlp(stream, hidden=(16,))
    memory = {"memory": keras_cl.memories.Reservoir(stream, capacity=200)} if method == "ER" else {}
    model = getattr(keras_cl.methods, method)(network, **memory)
    model.compile("sgd")
    task = stream[0]
    model.begin_task(task)
    model.fit(model.batches(task, 128), validation_data=task.valid, verbose=0)
    model.end_task(task)
    model.evaluate_tasks(stream)

def taken(stream, method):
    before, most, done = anonymous(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], anonymous() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    learn(stream, method)
    done.set()
    watching.join()
    return most[0]

small, large = stream_of(2000), stream_of(100_000)
found = {}
for limit in (0, 2**40):
    ram.largest_whole = lambda limit=limit: limit
    for method in ("ER", "EWC"):
        learn(small, method)  # loads and compiles what is needed
        found[f"{method} {limit}"] = taken(large, method)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous memory from that of files")
def test_a_task_that_is_read_in_chunks_takes_less_memory_than_its_images(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LEARNING, str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)},  # chunks that are freed count as free
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, size in found.items():
        if name.endswith(" 0"):
            assert size < 120 * 2**20, found  # a few chunks, and a block of test images as floats
        else:  # 293 MiB of images, of which there are copies
            assert size > 290 * 2**20, found
