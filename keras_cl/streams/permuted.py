"""Permuted images: every task shows all classes, with its own fixed permutation of the pixels.

Goodfellow et al. 2013 (arXiv:1312.6211), Kirkpatrick et al. 2017 (arXiv:1612.00796). A task stores one index
vector; the images are permuted when the task is opened.
"""

import functools
import math

import numpy as np

from keras_cl.devices.ram import require_fits
from keras_cl.errors import require
from keras_cl.sources import source
from keras_cl.streams.base import Scenario, Stream, generator

BYTES_OF_A_PIXEL = 8  # of a permutation


def permuted(
    dataset="digits",
    *,
    tasks: int = 5,
    scenario: Scenario = "domain",
    first_identity: bool = True,
    pad: int = 0,
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` of `tasks` permutations of a data set.

    Args:
      dataset: name, .npz path or `Source`.
      tasks: number of tasks.
      scenario: task, domain or class incremental; usually domain.
      first_identity: whether the first task shows the unpermuted images.
      pad: width of the border of zeros added before permuting (2 turns 28x28 into 32x32).
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of the permutations and the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    data = source(dataset, data_dir=data_dir, cache_dir=cache_dir)
    require(tasks >= 1, f"A stream needs at least one task, not {tasks}.")
    require(pad >= 0, f"pad is {pad}; it must not be negative.")
    require(
        not pad or len(data.input_shape) == 3,
        f"pad is for images; the rows of {data.name} are not images.",
    )
    *sides, channels = data.input_shape
    sides = [side + 2 * pad for side in sides]
    pixels = math.prod(sides) if sides else channels
    images = f"{tasks:,} permutations of {pixels:,} pixels"
    require_fits(tasks * pixels * BYTES_OF_A_PIXEL, images, "give fewer tasks or a smaller pad")
    orders = [generator(seed, 0, t).permutation(pixels) for t in range(tasks)]
    if first_identity:
        orders[0] = None
    return Stream(
        name=f"permuted {data.name}",
        scenario=scenario,
        source=data,
        task_classes=(data.classes,) * tasks,
        views=tuple(functools.partial(permute, order=order, pad=pad) for order in orders),
        input_shape=(*sides, channels) if sides else data.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
        distinct_classes=True,
    )


def permute(x, order, pad=0):
    """Images `[n, ..., channels]` with their pixels in `order` (None: unchanged); channels stay together."""
    if pad:
        x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    if order is None:
        return x
    flat = x.reshape(len(x), len(order), int(np.prod(x.shape[1:])) // len(order))
    return flat.take(order, axis=1).reshape(x.shape)
