"""Augmentation of the rows of a step: which rows, in which order, and with which random numbers.

Rows are augmented when they enter the step of a method, so every method has it, and what a memory stores or a
generator learns is as it was. A seed for each task and a count of steps give the numbers (`numerics.random`).
"""

import functools
import importlib
import pkgutil
from typing import Literal, get_args

import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import pick, require
from keras_cl.learning import augment, mixing
from keras_cl.learning.augment.base import Augmentation
from keras_cl.learning.network import image_shape
from keras_cl.numerics.random import AUGMENT, random_uniform, seed_of

Rows = Literal["both", "current", "replayed"]
# Rows with numbers of their own: those of the task, those drawn from a memory, those that a method reads from
# its memory itself. Each kind has numbers for its rows, and numbers for the whole step.
CURRENT, REPLAYED, READ = range(3)
KINDS = 3


class Augmenter:
    """Applies augmentations, in their order, to the rows of a step.

    Its state, the number of steps and seeds, is in no checkpoint: it is set anew when a task begins.

    Args:
      given: names of augmentations, or `Augmentation`s with options.
      rows: which rows are augmented: current, those of the task; replayed, those of a memory; both.
    """

    def __init__(self, given=(), rows="both"):
        require(not isinstance(given, str), f"augment is a list, as in [{given!r}].")
        self.parts = tuple(_made(one) for one in given)
        self.rows = pick("augment_rows", rows, get_args(Rows))
        names = [type(part).__name__.lower() for part in self.parts]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"augment names {', '.join(twice)} twice.")
        self.mixing = [name for name, part in zip(names, self.parts, strict=True) if part.mixes]
        require(
            len(self.mixing) < 2,
            f"augment has {' and '.join(self.mixing)}, and a row is mixed with one other: give one of them.",
        )
        self._top = 1.0
        self._state = integers([0] * (1 + 2 * KINDS), "augment") if self.parts else None

    def require_possible(self, model):
        """Raises `InputError` if the images or the step of a method cannot be augmented like this."""
        if not self.parts:
            return
        shape = image_shape(model.network)
        require(
            len(shape) == 3,
            f"augment is for images (height, width, channels), and the rows here have the shape {shape}.",
        )
        require(
            not (self.mixing and model.no_mixing),
            f"{model.name} cannot have {''.join(self.mixing)}: it {model.no_mixing}.",
        )

    def require_rows(self, model):
        """Raises `InputError` if there are no rows to augment."""
        memory = model.memory
        replays = memory is not None and (model.draws or model.reads_memory)
        features = replays and memory.generates and memory.generator.makes == "features"
        require(
            not (self.parts and features),
            f"augment is for images, and {model.name} replays features of them here.",
        )
        require(
            not self.parts or self.rows != "replayed" or replays,
            f"augment_rows is replayed, and the steps of {model.name} draw no rows from a memory here.",
        )

    def bind(self, stream):
        """Receives the stream that gives the images; raises `InputError` if they cannot be augmented."""
        self._top = 1 / stream.source.scale
        for part in self.parts:
            part.require_shape(stream.input_shape)
            if part.in_range and stream.source.scale == 1:  # bytes are in their range
                name = type(part).__name__.lower()
                stream.source.require_pixels(f"{name} is for images with values from 0 to 1")

    def reseed(self, seed, index):
        """Begins task `index`: its numbers depend on nothing before it."""
        if self.parts:
            self._state.assign([0, *(seed_of(seed, index, AUGMENT, kind) for kind in range(2 * KINDS))])

    def __call__(self, batch, by_task):
        """The batch of the next step, with augmented images.

        Args:
          batch: a `Batch`, with replayed rows where there are some.
          by_task: whether a row is mixed with rows of the same task only.
        """
        state = self._state.read_value()
        self._state.assign(state + tf.one_hot(0, 1 + 2 * KINDS, dtype=tf.int64))
        replayed = 0 if batch.drawn is None else batch.drawn.shape[0]
        B = batch.x.shape[0] - replayed
        rows = {CURRENT: slice(0, B), REPLAYED: slice(B, B + replayed)}
        kinds = {"both": (CURRENT, REPLAYED), "current": (CURRENT,), "replayed": (REPLAYED,)}[self.rows]
        given = [kind for kind in kinds if rows[kind].start < rows[kind].stop]
        return self._applied(
            batch, [self._block(state, kind, rows[kind], batch.whole) for kind in given], by_task
        )

    def read(self, batch, place, places):
        """The rows that a method reads from its memory itself, augmented; a `Batch`, number `place` of
        `places` in a step."""
        if not self.parts or self.rows == "current":
            return batch
        state = self._state.read_value()
        state = tf.concat([state[:1] * places + tf.cast(place, tf.int64), state[1:]], axis=0)
        block = self._block(state, READ, slice(0, batch.x.shape[0]), batch.whole)
        return self._applied(batch, [block], by_task=False)

    def _block(self, state, kind, rows, whole):
        step, own, shared = state[0], state[1 + kind], state[1 + KINDS + kind]
        size = rows.stop - rows.start
        draw, shape = functools.partial(random_uniform, own, step), [size, self._width]
        uniform = draw(shape) if whole else replicas.drawn(draw, shape)
        return mixing.Block(rows, size, uniform, functools.partial(random_uniform, shared, step), whole)

    @property
    def _width(self):
        """Random numbers of a row: one to choose the row that it is mixed with, where it is mixed."""
        return sum(1 if part.mixes else part.numbers for part in self.parts)

    def _applied(self, batch, blocks, by_task):
        """The batch with the rows of the blocks, which follow each other, augmented."""
        if not blocks:
            return batch
        rows = slice(blocks[0].rows.start, blocks[-1].rows.stop)
        uniform, at = tf.concat([block.uniform for block in blocks], axis=0), 0
        x = batch.x[rows]
        for part in self.parts:
            if part.mixes:
                batch, x = mixing.mixed(part, batch, x, blocks, at, by_task)
                at += 1
            else:
                x = part(x, uniform[:, at : at + part.numbers], self._top)
                at += part.numbers
        return batch._replace(x=mixing.spliced(tf.cast(batch.x, x.dtype), rows, x))


def _made(one):
    if isinstance(one, Augmentation):
        return one
    names = sorted(file.name for file in pkgutil.iter_modules(augment.__path__) if file.name != "base")
    require(isinstance(one, str), f"augment names augmentations or has them, and {one!r} is neither.")
    module = importlib.import_module(f"{augment.__name__}.{pick('augment', one, names)}")
    return next(v for v in reversed(vars(module).values()) if _is_of(v, module))()


def _is_of(value, module):
    return isinstance(value, type) and value.__module__ == module.__name__


class AugmentMixin:
    """The part of a `ContinualModel` that augments rows; needs its `seed` and its scenario.

    Attributes:
      augment: the `Augmenter`.
    """

    # Reason why the step cannot learn from images and labels that are mixed; empty if it can.
    no_mixing = ""
    # Whether a step reads rows of the memory itself, beside those that are drawn for it.
    reads_memory = False

    def augmented(self, batch):
        """The batch of a step with augmented images, or as it is if nothing augments it."""
        return self.augment(batch, self._scenario == "task") if self.augment.parts else batch
