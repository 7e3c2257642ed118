"""A data set that is larger than the memory it may take is decoded, and one task of it opened."""

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
