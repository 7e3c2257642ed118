"""The stream of an Examples artifact: all planned tasks, of which those that have arrived can be opened.

A model learns from it exactly what it learns from the library's own stream: the images, their units and their
order are the same.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import numpy as np

from keras_cl.errors import require
from keras_cl.sources import Source
from keras_cl.streams import Split, Stream
from pipelines.examples import records
from pipelines.examples.plan import PLAN, file_of, read_plan


def stream_of(folder):
    """The planned stream of an Examples artifact.

    A split of a task that has arrived is read once and then kept. A task that has not arrived raises
    `InputError` when it is opened.
    """
    plan, rows = read_plan(folder)
    read = functools.cache(functools.partial(_read, pathlib.Path(folder), plan, rows))
    source = Source(plan.source, plan.input_shape, plan.classes, plan.scale, lambda: _joined(read, len(rows)))
    return Recorded(
        name=plan.name,
        scenario=plan.scenario,
        source=source,
        task_classes=plan.task_classes,
        views=(_as_they_are,) * len(plan.task_classes),
        input_shape=plan.input_shape,
        valid_fraction=plan.valid_fraction,
        seed=plan.seed,
        distinct_classes=plan.distinct_classes,
        train_classes=plan.train_classes,
        rows=tuple(rows),
        read=read,
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Recorded(Stream):
    """A `Stream` whose splits were recorded, see `stream_of`; `source` has the rows that have arrived.

    Args:
      rows: number of rows `{part: n}` of each task that has arrived.
      read: function of a task's index and a part that returns its images and original labels.
    """

    rows: tuple[dict, ...] = ()
    read: Callable | None = None

    @property
    def arrived(self):
        """Number of tasks that have arrived."""
        return len(self.rows)

    def split(self, index, part):
        require(
            index < self.arrived,
            f"The examples of task {index + 1} have not arrived: there are those of "
            f"{self.arrived} of {len(self)} tasks.",
        )
        rows = np.arange(self.rows[index][part])
        return Split(rows, functools.partial(self._open_recorded, index, part), index)

    def _open_recorded(self, index, part):
        x, labels = self.read(index, part)
        return x, self.units(index, labels)


def _read(folder, plan, rows, index, part):
    file = file_of(folder, index + 1, part)
    x, labels = records.read(file, plan.input_shape, np.dtype(plan.dtype))
    require(
        len(x) == rows[index][part],
        f"{file} has {len(x)} rows, and {folder / PLAN} says {rows[index][part]}.",
    )
    return x, labels


def _joined(read, arrived):
    """`((x_train, y_train), (x_test, y_test))` of all tasks that have arrived."""
    return tuple(
        tuple(np.concatenate(arrays) for arrays in zip(*(read(t, part) for t in range(arrived)), strict=True))
        for part in ("train", "test")
    )


def _as_they_are(x):
    return x
