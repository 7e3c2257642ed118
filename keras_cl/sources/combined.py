"""Several data sets as one: classes side by side, images brought to one shape, type and scale.

Images stay in their own sources and are converted when they are asked for, as `sources.source` converts those
of one data set.
"""

import dataclasses
import functools

import numpy as np

from keras_cl.errors import require
from keras_cl.sources.base import Source
from keras_cl.sources.images import batch_rows, fitted
from keras_cl.sources.lazy import LazyArray, mapped
from keras_cl.sources.reading import Reading


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """A data set among others.

    Attributes:
      source: its own `Source`.
      classes: labels of its classes among those of all, in the order of its own.
      shape, scale: those of the images of all.
    """

    source: Source
    classes: tuple[int, ...]
    shape: tuple[int, ...]
    scale: float

    def images(self, x):
        """Raw images of the data set as raw images of all; without a copy if they are alike."""
        if isinstance(x, LazyArray):
            return mapped(x, self.images, self.shape, np.float32 if self.scale == 1 else np.uint8)
        if (self.source.input_shape, self.source.scale) == (self.shape, self.scale):
            return x
        whole = self.scale != 1
        found = np.empty((len(x), *self.shape), np.uint8 if whole else np.float32)
        rows = batch_rows(max(self.shape, self.source.input_shape, key=np.prod))
        for start in range(0, len(x), rows):
            image = self._fitted(x[start : start + rows].astype(np.float32))
            image *= np.float32(self.source.scale / self.scale)
            found[start : start + rows] = np.rint(image) if whole else image
        return found

    def _fitted(self, x):
        if x.shape[1:] == self.shape:
            return x
        import tensorflow as tf

        *size, channels = self.shape
        color_mode = {1: "grayscale", 3: "rgb"}[channels] if channels != x.shape[-1] else ""
        with tf.device("CPU:0"):
            return fitted(tf.constant(x), Reading(image_size=size, color_mode=color_mode)).numpy().copy()


def combined(sources):
    """One `Source` of several and the `Member`s that it has.

    The classes of the first data set come first. Images get the largest height and width, stretched, and
    colour if a data set has it. Types and scales that differ become bytes from 0 to 255 or, if some are
    floats, floats from 0 to 1. Only rows of images can differ in shape.

    Args:
      sources: the data sets.

    Raises:
      InputError: for data sets that cannot be brought together.
    """
    sources = list(sources)
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"{' and '.join(twice)} is named twice; every task has a data set of its own.")
    shape = _shape(sources)
    scales = {source.scale for source in sources}
    scale = scales.pop() if len(scales) == 1 else 1.0 if 1.0 in scales else 1 / 255
    ends = np.cumsum([len(source.classes) for source in sources]).tolist()
    members = tuple(
        Member(source, tuple(range(end - len(source.classes), end)), shape, scale)
        for source, end in zip(sources, ends, strict=True)
    )
    told = tuple(
        f"{source.name} {name}" for source in sources for name in source.class_names or source.classes
    )
    load = functools.partial(_joined, members)
    return Source(",".join(names), shape, tuple(range(ends[-1])), scale, load, told), members


def _shape(sources):
    first = sources[0]
    if all(len(source.input_shape) == 3 for source in sources):
        *size, channels = np.max([source.input_shape for source in sources], axis=0).tolist()
        for source in sources:
            own = source.input_shape[-1]
            require(
                own == channels or {own, channels} == {1, 3},
                f"{source.name} has images of {own} channels, which cannot become {channels}; give "
                f"--color_mode.",
            )
        return (*size, channels)
    other = next((source for source in sources if source.input_shape != first.input_shape), None)
    require(
        other is None,
        f"{_said(first)} and {_said(other or first)}: only images can be brought to one shape.",
    )
    return first.input_shape


def _said(source=None):
    """What the rows of a source are, in words."""
    shape = source.input_shape if source else ()
    kind = {1: "rows", 2: "signals", 3: "images"}.get(len(shape), "volumes")
    return f"{source and source.name} has {kind} of {'x'.join(map(str, shape))}"


def _joined(members):
    """All rows of all data sets, converted."""

    def part(name):
        parts = [(member, *getattr(member.source, name)) for member in members]
        x = np.concatenate([member.images(x) for member, x, _ in parts])
        places = [np.searchsorted(member.source.classes, y) for member, _, y in parts]
        y = [np.take(member.classes, place) for (member, *_), place in zip(parts, places, strict=True)]
        return x, np.concatenate(y).astype(np.int32)

    return part("train"), part("test")
