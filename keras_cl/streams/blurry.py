r"""Blurry boundaries: split tasks that exchange a part of their rows, but for those of disjoint classes.

i-Blurry-N-M, Koh et al. 2022 (arXiv:2110.10031); without disjoint classes, the blurry tasks of Bang et al.
2021 (Rainbow memory, arXiv:2103.17230).

$$ n_{c,t} = \left(1 - \frac{M}{100}\right) n_c \, [t = t_c] + \frac{M}{100} \, \frac{n_c}{T}
\qquad \text{rows of a blurry class } c \text{ in task } t $$
"""

import dataclasses
import functools
from typing import Literal

import numpy as np

from keras_cl.errors import require
from keras_cl.streams.base import generator
from keras_cl.streams.parts.rows import of_classes
from keras_cl.streams.parts.tasks import require_class_incremental
from keras_cl.streams.split import split


def blurry(
    dataset="digits",
    *,
    tasks: int = 5,
    scenario: Literal["class"] = "class",
    disjoint: float = 50.0,
    exchanged: float = 10.0,
    class_order: str = "natural",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the class-incremental `Stream` of a split with disjoint classes and blurry ones.

    Each class has one task, as in `split`: its major task, with all training rows of a disjoint class.
    Of each blurry class, `exchanged` percent of the rows are drawn and dealt to all tasks in equal numbers,
    also to its own. Each row is in one task, and tasks with equally many rows of blurry classes keep their
    numbers of rows. The lists of rows released with the paper are dealt like this, but there the numbers of
    a class in the tasks vary at random.

    `Task.classes` are the major classes of a task, and its test rows are all test rows of these. Its training
    and validation rows are of more classes, and so are output units, active classes and the cells
    of memories: from the first task on all blurry classes can be predicted, and are counted with that task
    (`Stream.home`). A later task of blurry classes alone has an accuracy from the first task on.

    Args:
      dataset: name, .npz path or `Source`.
      tasks: number of tasks, which must divide the number of classes.
      scenario: class incremental.
      disjoint: N, percent of the classes that are disjoint, the first ones of every task, in equal numbers of
        each; 0 for blurry boundaries of all classes.
      exchanged: M, percent of the rows of every blurry class that are dealt to all tasks.
      class_order: natural, seeded (a permutation drawn from `seed`, as in the paper), or the labels in the
        wanted order, as in 3,1,4,...; labels that are not listed are not used.
      valid_fraction: fraction of the training rows of every class held out for validation, in the tasks that
        the rows are dealt to.
      seed: seed of the class order, of the rows that are dealt and their tasks, and of the validation rows;
        not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    require_class_incremental("blurry", scenario)
    for name, value in (("disjoint", disjoint), ("exchanged", exchanged)):
        require(0 <= value <= 100, f"{name} is {value:g} percent; it must be at least 0 and at most 100.")
    given = {"class_order": class_order, "valid_fraction": valid_fraction, "seed": seed}
    given |= {"data_dir": data_dir, "cache_dir": cache_dir}
    stream = split(dataset, tasks=tasks, scenario=scenario, **given)
    mixed = blurry_classes(stream.task_classes, disjoint) if exchanged else ()
    shown = [classes + tuple(c for c in mixed if c not in classes) for classes in stream.task_classes]
    rows = functools.partial(
        dealt, task_classes=stream.task_classes, blurry=mixed, exchanged=exchanged, seed=seed
    )
    return dataclasses.replace(
        stream, name=f"blurry {stream.source.name}", train_classes=tuple(shown), train_rows=rows
    )


def blurry_classes(task_classes, disjoint):
    """The classes that are not disjoint: all but the first ones of every task.

    Args:
      task_classes: the classes of every task.
      disjoint: percent of all classes that are disjoint, rounded; tasks have equally many of them, and
        earlier tasks one more where they do not divide equally.
    """
    each, more = divmod(round(disjoint / 100 * sum(map(len, task_classes))), len(task_classes))
    return tuple(c for t, classes in enumerate(task_classes) for c in classes[each + (t < more) :])


def dealt(y, task_classes, blurry, exchanged, seed):
    """The rows of every task among those with labels `y` `[n]`, see `blurry`."""
    tasks, rng, taken = len(task_classes), generator(seed, 2), []
    for label, rows in zip(blurry, of_classes(y, np.array(blurry, int)), strict=True):
        count = round(exchanged / 100 * len(rows))
        require(
            count >= tasks,
            f"{exchanged:g} percent of the {len(rows)} training rows of class {label} are {count}, fewer "
            f"than {tasks} tasks; give a larger exchanged or fewer tasks.",
        )
        taken.append(rng.choice(rows, count, replace=False))
    pool = np.concatenate([*taken, np.zeros(0, int)])
    # One after the other to the tasks in turn: the numbers of a class differ by one at most, and so do those
    # that a task is dealt of all classes together.
    owner = np.full(len(y), -1)
    for t, rows in enumerate(of_classes(y, task_classes)):
        owner[rows] = t
    owner[pool] = rng.permutation(tasks)[np.arange(len(pool)) % tasks]
    return [np.flatnonzero(owner == t) for t in range(tasks)]
