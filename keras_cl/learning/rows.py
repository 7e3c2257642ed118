"""Rows to evaluate on: a `Split`, arrays or a `tf.data.Dataset`, as Keras's `evaluate` and `predict` take."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.batches import Batch

TAKES = "task.valid, task.test, arrays (x, y) with the output unit of each row, or a tf.data.Dataset of these"


class Rows(NamedTuple):
    """Rows of one task.

    Attributes:
      blocks: pairs of raw images `[n, ...]`, output units `[n]` or None, and weights `[n]` or None.
      task: index of their task; None for the current one.
    """

    blocks: Iterable
    task: int | None

    @property
    def steps(self):
        """Number of blocks; None for a data set."""
        return len(self.blocks) if isinstance(self.blocks, list) else None


def rows_of(x, y=None, sample_weight=None, *, task=None, labelled=True, steps=None):
    """The `Rows` that a user gave.

    Args:
      x: a `Split`, raw images, or a `tf.data.Dataset` of batches `(x, y)` or `(x, y, sample_weight)`.
      y: output unit of each row, if `x` are images.
      sample_weight: weight of each row, if `x` are images.
      task: index of their task or the `Task`, by default that of the `Split`.
      labelled: whether the rows need `y`.
      steps: number of batches of a data set to take; None for all.

    Raises:
      InputError: if these are not rows.
    """
    task = getattr(task, "index", task)
    require(steps is None or isinstance(x, tf.data.Dataset), "steps counts batches of a tf.data.Dataset.")
    require(not hasattr(x, "train"), f"These are rows of a whole task; give {TAKES}.")
    if isinstance(x, tf.data.Dataset):
        require(y is None and sample_weight is None, "A tf.data.Dataset has its own y and sample_weight.")
        require(not _of_training(x), f"These are batches for fit; give {TAKES}.")
        return Rows(_Batches(x if steps is None else x.take(steps), labelled), task)
    if hasattr(x, "open"):  # a Split
        require(y is None, "A Split has its own y.")
        require(len(x), "There are no rows here. Give the stream a valid_fraction for validation.")
        task = x.task if task is None else task
        x, y = x.open()
    require(not isinstance(x, str) and np.ndim(x) > 0, f"Rows are {TAKES}, not {x!r:.40}.")
    return Rows([_block(x, y, sample_weight, labelled)], task)


def _of_training(data):
    spec = data.element_spec
    return isinstance(spec, tuple) and any(isinstance(part, Batch) for part in spec)


class _Batches:
    """The batches of a data set, which can be gone through several times."""

    def __init__(self, data, labelled):
        self._data, self._labelled = data, labelled

    def __iter__(self):
        element = None
        for element in self._data:
            parts = element if isinstance(element, tuple) else (element,)
            require(len(parts) <= 3, f"A data set has batches (x, y, sample_weight), not {len(parts)} parts.")
            yield _block(*parts, *[None] * (3 - len(parts)), self._labelled)
        require(element is not None, "There are no rows here: the tf.data.Dataset has no batches.")


def _block(x, y, weight, labelled):
    require(np.ndim(x) and len(x), "There are no rows here.")
    if not labelled:
        return x, None, None
    require(y is not None, f"There are no labels to compare with; give {TAKES}.")
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    require(
        y.ndim == 1 and np.issubdtype(y.dtype, np.integer),
        f"y has the shape {y.shape} and the type {y.dtype}; it is one integer output unit a row.",
    )
    require(len(x) == len(y), f"There are {len(x)} images and {len(y)} labels.")
    if weight is not None:
        weight = np.asarray(weight, np.float32)
        require(weight.shape == y.shape, f"sample_weight has the shape {weight.shape} for {len(y)} rows.")
    return x, y.astype(np.int32), weight
