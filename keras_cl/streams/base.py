"""A task stream: an immutable sequence of tasks over one source of images.

Scenarios follow van de Ven & Tolias 2019 (arXiv:1904.07734). They differ in the active classes, the output
units that may be predicted. In the *task*-incremental scenario the task of a row is known and only its own
classes are active; in the *domain*-incremental scenario all tasks share the same outputs; in the
*class*-incremental scenario all classes seen so far are active. One boolean matrix, `Stream.class_mask`,
represents all three: there is no module per head, and shapes never change along a stream.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from keras_cl.devices import ram
from keras_cl.devices.device import grow_memory
from keras_cl.errors import pick, require
from keras_cl.sources.lazy import LazyArray
from keras_cl.streams.parts.checks import require_tasks
from keras_cl.streams.parts.kept import Kept
from keras_cl.streams.parts.rows import held_out, of_classes
from keras_cl.streams.parts.shown import Part, counted, listed, said

BYTES_OF_TABLES = 24  # per pair of tasks: the accuracy matrix, and labels and masks of at least one class

Scenario = Literal["task", "domain", "class"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Some rows of a source as one task sees them; loaded on demand (small test data once, see `Kept`).

    Attributes:
      rows: indices into the source's arrays, ascending but in `online`.
      open: function that returns `(x, y)`: raw images `[n, *input_shape]` and output units `[n]` int32. If
        they take more than an eighth of main memory, the images are a `keras_cl.sources.lazy.LazyArray`.
        Arrays of test rows may be read-only: copy them to change them.
      task: index of the task.
      unread: function that returns the same and reads no images, however few: they are a `LazyArray` unless
        they are in memory anyway; None if they always are.
    """

    rows: np.ndarray
    open: Callable[[], tuple[np.ndarray, np.ndarray]]
    task: int
    unread: Callable[[], tuple[LazyArray, np.ndarray]] | None = None

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<Split of {len(self)} rows>"


@dataclasses.dataclass(frozen=True, repr=False)
class Task:
    """One task of a stream.

    Attributes:
      stream: the stream that the task belongs to.
      index: position in the stream, from 0.
      classes: original labels of the task, those of its test rows; `stream.labels` maps output units to them.
    """

    stream: "Stream"
    index: int
    classes: tuple[int, ...]

    def __repr__(self):
        more = len(self.stream.shown_classes[self.index]) - len(self.classes)
        shown = f", trained with rows of {more} more" if more else ""
        place = f"{self.number} of {len(self.stream)} of {self.stream.name}"
        return f"<Task {place}, {said(self.stream.named(self.classes))}{shown}>"

    @property
    def number(self):
        """Position from 1, as in messages and exported versions."""
        return self.index + 1

    @property
    def seen(self):
        """The tasks up to and including this one."""
        return self.stream[: self.index + 1]

    @property
    def train(self):
        return self.stream.split(self.index, "train")

    @property
    def valid(self):
        return self.stream.split(self.index, "valid")

    @property
    def test(self):
        return self.stream.split(self.index, "test")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Stream(Sequence):
    """An immutable sequence of tasks; indexing returns a `Task`, slicing a sequence of tasks.

    Args:
      name: name in results, for example "permuted mnist".
      scenario: "task", "domain" or "class".
      source: source of images and labels (`keras_cl.sources.Source`).
      task_classes: the original labels of every task: those of its test rows, and of its training rows where
        `train_classes` does not name more.
      views: one function per task, raw images `[n, *source.input_shape]` to `[n, *input_shape]`, same dtype.
      input_shape: shape of an image after the view.
      valid_fraction: fraction of each class of the training data that is held out for validation, in [0, 1).
      seed: seed of the choice of validation rows.
      distinct_classes: whether the same label is another class in every task, as a digit is under another
        permutation of its pixels; each class has an output unit of its own if the scenario is not domain.
      train_classes: the original labels that the training rows of every task show, where they are more than
        `task_classes`, as at blurry boundaries; () if they are the same.
      train_rows: function of the labels `[n]` of the source's training rows that returns the training and
        validation rows of every task, index arrays; None for all rows of its classes. Called once, when the
        first training rows are asked for.

    Attributes:
      labels: int array `[T, C]`: the original label of output unit c in task t; -1 if the training rows of
        the task do not show it.
      class_mask: bool array `[T, C]`: the active units in task t.
      home: int array `[T, C]`: the task that unit c in task t is counted with, the first one whose training
        rows show its class in the class-incremental scenario, else t.
    """

    name: str
    scenario: str
    source: object
    task_classes: tuple[tuple[int, ...], ...]
    views: tuple[Callable[[np.ndarray], np.ndarray], ...]
    input_shape: tuple[int, ...]
    valid_fraction: float = 0.0
    seed: int = 0
    distinct_classes: bool = False
    train_classes: tuple[tuple[int, ...], ...] = ()
    train_rows: Callable[[np.ndarray], Sequence[np.ndarray]] | None = None

    every = 0  # steps between measurements of one pass without tasks, in the order of its rows; 0: tasks

    def __post_init__(self):
        pick("scenario", self.scenario, get_args(Scenario))
        require_tasks(self)
        grow_memory()  # a program of one's own makes its stream first, and then its network, on the GPU
        ram.require_fits(
            BYTES_OF_TABLES * len(self.task_classes) ** 2,
            f"The accuracy matrix of {len(self.task_classes):,} tasks",
            "give fewer tasks",
        )

    def __len__(self):
        return len(self.task_classes)

    @property
    def row_bytes(self):
        """Bytes of a raw row, and one of its label."""
        return int(np.prod(self.input_shape)) * self.source.dtype.itemsize + 1

    def __repr__(self):
        return (
            f"<Stream {self.name}, {self.scenario}-incremental: {counted(len(self), 'task')}{self.sizes}, "
            f"{counted(self.num_classes, 'output')}>"
        )

    @property
    def sizes(self):
        """How many classes the tasks have, as text: " of 50, 10, 10 classes"; "" if all have as many."""
        sizes = [*map(len, self.task_classes)]
        return f" of {listed(sizes)} classes" if len({*sizes}) > 1 else ""

    @property
    def shown_classes(self):
        """The original labels that the training rows of every task show."""
        return self.train_classes or self.task_classes

    def __getitem__(self, index):
        if isinstance(index, slice):
            kept = range(len(self))[index]
            return Part(self, kept)
        index = range(len(self))[index]
        return Task(self, index, self.task_classes[index])

    @property
    def num_classes(self):
        """Number of output units, C."""
        return self.labels.shape[1]

    @functools.cached_property
    def labels(self):
        tasks, known = self.shown_classes, self.source.classes
        if self.scenario == "domain":  # a unit is a position within the task, shared by all tasks
            table = np.full((len(tasks), max(map(len, tasks))), -1)
            for t, classes in enumerate(tasks):
                table[t, : len(classes)] = classes
        elif not self._shares_classes or (self.scenario == "class" and not self.distinct_classes):
            # a unit is a class
            table = np.where([np.isin(known, classes) for classes in tasks], known, -1)
        else:  # every task has units of its own
            width = np.cumsum([0, *map(len, tasks)])
            table = np.full((len(tasks), width[-1]), -1)
            for t, classes in enumerate(tasks):
                table[t, width[t] : width[t + 1]] = classes
        return table

    @functools.cached_property
    def class_mask(self):
        own = self.labels >= 0
        if self.scenario == "task":
            return own
        if self.scenario == "class":
            return np.logical_or.accumulate(own)
        return np.ones_like(own)

    @functools.cached_property
    def home(self):
        own = self.labels >= 0
        task = np.arange(len(self))[:, np.newaxis]
        return np.broadcast_to(own.argmax(axis=0) if self.scenario == "class" else task, own.shape)

    @property
    def _shares_classes(self):
        """Whether some class is in several tasks."""
        return len(set().union(*self.shown_classes)) < sum(map(len, self.shown_classes))

    def named(self, labels):
        """Names of original labels as messages say them: those of the source, or the labels."""
        known = dict(zip(self.source.classes, self.source.class_names, strict=False))
        return [known.get(label, label) for label in labels]

    def read(self, progress):
        """Loads the data, if that takes long and was not done yet; a `Progress` shows how far it is."""
        if self.source.shows_progress:
            self.source.read(progress)

    def answering(self, index, after):
        """Active classes `[C]` for task `index` after `after` tasks; None if one of its test rows is not."""
        if self.scenario != "class":
            return self.class_mask[index]
        mask = self.class_mask[after - 1] if after else np.zeros_like(self.class_mask[0])
        return mask if mask[np.isin(self.labels[index], self.task_classes[index])].all() else None

    def split(self, index, part):
        """The `Split` of task `index` named `part`: "train", "valid" or "test".

        Everything reads the data of a task through this method: a stream whose tasks have data of their own,
        instead of views of one source, overrides it.
        """
        rows = (self._test_rows if part == "test" else self._train_rows[part])[index]
        opened = functools.partial(self._open, index, part, rows)
        return Split(rows, opened, index, functools.partial(opened, unread=True))

    def _open(self, index, part, rows, unread=False):
        if not unread and (kept := self._kept.get(index, part)):
            return kept
        x, y = self.source.test if part == "test" else self.source.train
        everything = len(rows) == len(x)
        units = self.units(index, y if everything else y[rows])
        if unread or self.too_large(rows):
            return LazyArray.of(x, rows, self.views[index], self.input_shape), units
        x = x if everything else x[rows]
        return self._kept.taken(index, part, x, self.views[index](x), units)

    def too_large(self, rows):
        """Whether the images of some rows are not read as a whole."""
        return len(rows) * self.row_bytes > ram.largest_whole()

    @functools.cached_property
    def _kept(self):
        return Kept(len(self))

    def units(self, index, y):
        """int32 array: the output units in task `index` of original labels `y`; -1 for classes of others."""
        units = np.full(len(self.source.classes), -1, np.int32)
        used = np.flatnonzero(self.labels[index] >= 0)
        units[np.searchsorted(self.source.classes, self.labels[index][used])] = used
        return units[np.searchsorted(self.source.classes, y)]

    @functools.cached_property
    def _train_rows(self):
        y = self.source.train[1]
        if self.train_rows is None:
            rows, used = of_classes(y, self.task_classes), True
        else:
            rows, used = [np.sort(own) for own in self.train_rows(y)], np.zeros(len(y), bool)
            used[np.concatenate(rows)] = True
        valid = held_out(y, used, self.source.classes, self.valid_fraction, generator(self.seed, 1))
        return {"train": [own[~valid[own]] for own in rows], "valid": [own[valid[own]] for own in rows]}

    @functools.cached_property
    def _test_rows(self):
        return of_classes(self.source.test[1], self.task_classes)


def generator(seed, *purpose):
    """NumPy random generator for one purpose of a stream's seed."""
    require(seed >= 0, f"The stream's seed is {seed}; it must not be negative.")
    return np.random.default_rng([seed, *purpose])
