"""Data sets in sequence: every task is a data set with classes of its own, as MNIST and then CIFAR-10.

As the five data sets of Ebrahimi et al. 2020 (arXiv:2003.09553). The classes of different data sets are
different classes, in all of which a network can be asked; `keras_cl/sources/combined.py` says how images get
one size and as many channels.
"""

import dataclasses
import functools

import numpy as np

from keras_cl.errors import require
from keras_cl.sources import names, source
from keras_cl.sources.base import Source
from keras_cl.sources.combined import Member, combined
from keras_cl.sources.reading import ColorMode, Resizing
from keras_cl.streams.base import Scenario, Split, Stream
from keras_cl.streams.parts.changed import Changed


def datasets(
    dataset="digits",
    *,
    tasks: int | None = None,
    scenario: Scenario = "task",
    image_size: str = "",
    color_mode: ColorMode = "",
    resizing: Resizing = "stretch",
    train_split: str = "",
    test_split: str = "",
    skip_damaged: bool = False,
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` whose tasks are data sets, each with all of its classes.

    Args:
      dataset: names or .npz paths, separated by commas, or a list of names and of `Source`s; one a task.
      tasks: number of tasks, which is that of the data sets.
      scenario: task, domain or class incremental; if domain incremental, the first classes of all data sets
        share the first output.
      image_size: size of all images, as in `sources.source`; by default the largest height and width, to
        which others are stretched.
      color_mode: grayscale or rgb, as there; by default rgb if a data set has colour.
      resizing: how images get that size, as there.
      train_split: training rows of all data sets, as there.
      test_split: test rows of all data sets, as there.
      skip_damaged: whether images that cannot be decoded are left out, as there.
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    named = names(dataset)
    _check(named, tasks)
    reading = {"image_size": image_size, "color_mode": color_mode, "resizing": resizing}
    reading |= {"train_split": train_split, "test_split": test_split, "skip_damaged": skip_damaged}
    made = [source(name, data_dir=data_dir, cache_dir=cache_dir, **reading) for name in named]
    data, members = combined(made)
    return Datasets(
        name=f"datasets {data.name}",
        scenario=scenario,
        source=data,
        task_classes=tuple(member.classes for member in members),
        views=(np.asarray,) * len(members),
        input_shape=data.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
        members=members,
    )


def _check(named, tasks):
    require(
        len(named) > 1,
        f"Every data set is a task of this stream, and {_name(named[0])} is one alone; name several, as in "
        f"--dataset=mnist,fashion_mnist,cifar10.",
    )
    require(
        tasks in (None, len(named)),
        f"{len(named)} data sets are given for {tasks} tasks; every data set is one task.",
    )
    for name in named:
        require(
            isinstance(name, Source) or not name.partition(":")[0].endswith(".py"),
            f"{name} cannot be one of several data sets; save its arrays as .npz, or pass a `Source`.",
        )


def _name(given):
    return given.name if isinstance(given, Source) else given


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Datasets(Changed):
    """A stream of data sets, whose images are converted when a task is opened.

    Args:
      members: the data set of every task.
    """

    members: tuple[Member, ...] = ()

    def read(self, progress):
        for stream in self._alone:
            stream.read(progress)

    @functools.cached_property
    def _alone(self):
        """A stream of each data set alone, in whose only task a unit is the place of a class."""
        return [
            Stream(
                name=member.source.name,
                scenario="domain",
                source=member.source,
                task_classes=(member.source.classes,),
                views=(np.asarray,),
                input_shape=member.source.input_shape,
                valid_fraction=self.valid_fraction,
                seed=self.seed,
            )
            for member in self.members
        ]

    def unchanged(self, index, part):
        alone = self._alone[index].split(0, part)
        opened, unread = (functools.partial(self._with_units, f, index) for f in (alone.open, alone.unread))
        return Split(alone.rows, opened, index, unread)

    def _with_units(self, opened, index):
        x, place = opened()
        return x, self.units(index, np.take(self.members[index].classes, place))

    def changed(self, x, index, rows, part):
        return self.members[index].images(x)
