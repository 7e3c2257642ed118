"""Rotated images: every task shows all classes, rotated by its own angle.

Lopez-Paz & Ranzato 2017 (arXiv:1706.08840) draw random angles; the default here is deterministic, equal steps
from 0 to 180 degrees.
"""

import functools
import math
from typing import Annotated, Literal, get_args

import numpy as np

from keras_cl.devices.ram import require_fits
from keras_cl.errors import pick, require
from keras_cl.sources import source
from keras_cl.streams.base import Scenario, Stream, generator
from keras_cl.streams.parts.tasks import number_of_tasks

Angles = Literal["even", "bins", "uniform"]
Interpolation = Literal["nearest", "bilinear"]

ROWS = 256  # that are interpolated together
BYTES_OF_A_PIXEL = {"nearest": 12, "bilinear": 48}  # of a rotation: positions and weights


def rotated(
    dataset="digits",
    *,
    tasks: int | None = None,
    scenario: Scenario = "domain",
    angles: Annotated[tuple[float, ...], "per task"] = (),
    rule: Angles = "even",
    max_angle: float = 180.0,
    interpolation: Interpolation = "nearest",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` of `tasks` rotations of a data set.

    Args:
      dataset: name, .npz path or `Source`; images, not plain rows.
      tasks: number of tasks; by default as many as `angles`, else 5.
      scenario: task, domain or class incremental; usually domain.
      angles: angle of every task in degrees, counter-clockwise; empty to use `rule`.
      rule: how angles are chosen: even, t * max_angle / tasks for task t; bins, one random angle in each of
        `tasks` equal bins of [0, max_angle] (GEM); uniform, one random angle in [0, max_angle] per task.
      max_angle: upper end of the range of angles, in degrees.
      interpolation: nearest or bilinear; pixels outside of the image are 0.
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of random angles and the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    data = source(dataset, data_dir=data_dir, cache_dir=cache_dir)
    tasks = number_of_tasks(tasks, angles=angles)
    require(
        len(data.input_shape) == 3,
        f"Only images can be rotated; the rows of {data.name} are not images.",
    )
    pick("interpolation", interpolation, get_args(Interpolation))
    pick("rule", rule, get_args(Angles))
    height, width, _ = data.input_shape
    size = tasks * height * width * BYTES_OF_A_PIXEL[interpolation]
    require_fits(size, f"{tasks:,} rotations of {height}x{width} pixels", "give fewer tasks")
    views = []
    for angle in angles or _angles(rule, tasks, max_angle, seed):
        taps = rotation_taps(height, width, angle, interpolation)
        views.append(functools.partial(rotate, taps=taps))
    return Stream(
        name=f"rotated {data.name}",
        scenario=scenario,
        source=data,
        task_classes=(data.classes,) * tasks,
        views=tuple(views),
        input_shape=data.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
        distinct_classes=True,
    )


def _angles(rule, tasks, max_angle, seed):
    rng, step = generator(seed, 0), max_angle / tasks
    if rule == "even":
        return tuple(step * t for t in range(tasks))
    if rule == "bins":
        return tuple(step * (t + u) for t, u in enumerate(rng.random(tasks)))
    return tuple(rng.uniform(0, max_angle, tasks))


def rotation_taps(height, width, angle, interpolation):
    """Source pixels and weights of each pixel of a rotated image.

    Returns:
      list of `(index, weight)`: flat source positions and factors, both `[height * width]`; one pair for
      nearest, four for bilinear. Positions outside of the image have weight 0.
    """
    radians = np.deg2rad(angle % 360)
    cos, sin = np.cos(radians), np.sin(radians)
    y, x = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2]).reshape(2, 1, 1)
    # Row indices grow downwards: looking up the source of a counter-clockwise rotation rotates clockwise.
    source_y = np.round(cos * y + sin * x + (height - 1) / 2, 9)
    source_x = np.round(cos * x - sin * y + (width - 1) / 2, 9)
    if interpolation == "nearest":
        return [_tap(np.floor(source_y + 0.5), np.floor(source_x + 0.5), 1.0, height, width)]
    top, left = np.floor(source_y), np.floor(source_x)
    down, right = source_y - top, source_x - left
    return [
        _tap(top, left, (1 - down) * (1 - right), height, width),
        _tap(top, left + 1, (1 - down) * right, height, width),
        _tap(top + 1, left, down * (1 - right), height, width),
        _tap(top + 1, left + 1, down * right, height, width),
    ]


def _tap(y, x, weight, height, width):
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = np.where(inside, y * width + x, 0).astype(int)
    return index.ravel(), (weight * inside).astype(np.float32).ravel()


def rotate(x, taps):
    """Images `[n, height, width, channels]` rotated by `rotation_taps`, of the same dtype and range."""
    flat = x.reshape(len(x), x.shape[1] * x.shape[2], x.shape[3])
    if len(taps) == 1:
        (index, weight), *_ = taps
        turned = flat.take(index, axis=1)
        turned[:, weight == 0] = 0
        return turned.reshape(x.shape)
    return _mixed(x.reshape(len(x), math.prod(x.shape[1:])), taps, x.shape[3]).reshape(x.shape)


def _mixed(flat, taps, channels):
    """Rows of pixels and channels as the weighted sums of `taps`, block by block: whole data sets as floats
    would take 16 times the memory of their bytes."""
    wide = [
        ((index[:, np.newaxis] * channels + np.arange(channels)).ravel(), np.repeat(weight, channels))
        for index, weight in taps
    ]
    turned = np.empty(flat.shape, flat.dtype)
    for start in range(0, len(flat), ROWS):
        block = flat[start : start + ROWS]
        total = sum(block.take(index, axis=1) * weight for index, weight in wide)
        turned[start : start + ROWS] = np.rint(total) if np.issubdtype(flat.dtype, np.integer) else total
    return turned
