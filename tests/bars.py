"""Bars: tiny images of one lit row or column, a class each, in which some pixels are wrong."""

import numpy as np

from keras_cl.sources.base import Source
from keras_cl.streams.split import split

SIDE, CLASSES = 4, 8
WRONG = 0.1  # share of the pixels


def source_of(rows=6, seed=0):
    """A `Source` of `rows` training rows per class."""
    rng = np.random.default_rng(seed)
    lit = np.zeros((CLASSES, SIDE, SIDE))
    for place in range(SIDE):
        lit[place, place] = lit[SIDE + place, :, place] = 1

    def part(count):
        y = np.repeat(np.arange(CLASSES), count)
        x = np.abs(lit[y] - (rng.uniform(size=(len(y), SIDE, SIDE)) < WRONG))
        return x[..., np.newaxis].astype(np.float32), y

    data = part(rows), part(50)
    return Source("bars", (SIDE, SIDE, 1), tuple(range(CLASSES)), 1.0, lambda: data)


def stream_of(tasks, rows=6):
    """The class-incremental stream of bars."""
    return split(source_of(rows), tasks=tasks, scenario="class")
