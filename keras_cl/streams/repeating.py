r"""Repeating classes: split tasks whose classes come back in later tasks.

Class-incremental learning with repetition, Hemati et al. 2023 (arXiv:2301.11396): a class first occurs in one
task, and returns in each later one with a fixed probability.

$$ P(c \in \mathcal{C}_t \mid t > t_c) = p_r, \qquad P(t_c = t) \propto p_1 (1 - p_1)^{t - 1} $$

A class first occurs in one task and returns in each later one with the probability `returns`,
independently. Its training rows are divided over its tasks, as equally as possible, so that each row is
in one of them (as the slots of the paper). With `rows_per_task` they are drawn from all rows of the class
in each of its tasks, without replacement, so that rows come back too (its sampling-based generator).

The test rows of a task are all test rows of its classes. So the accuracy on a task can rise after it,
when its classes come back, and its forgetting be below 0; a class counts in the average accuracy once for
each of its tasks; and a task has an accuracy as soon as all its classes have occurred, perhaps before it
is learned.
"""

import dataclasses
import functools
from typing import Literal, get_args

import numpy as np

from keras_cl.devices.ram import require_fits
from keras_cl.errors import InputError, pick, require
from keras_cl.streams.base import generator
from keras_cl.streams.parts.rows import of_classes
from keras_cl.streams.parts.tasks import require_class_incremental, sizes_of
from keras_cl.streams.split import split

Introduced = Literal["even", "geometric"]

BYTES = 32  # per task and class, while it is drawn which class is in which task
ATTEMPTS = 100  # at a stream in which every task has a class


def repeating(
    dataset="digits",
    *,
    tasks: int = 5,
    scenario: Literal["class"] = "class",
    returns: tuple[float, ...] = (0.5,),
    introduced: Introduced = "even",
    p: float = 0.2,
    rows_per_task: int = 0,
    class_order: str = "natural",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the class-incremental `Stream` of tasks whose classes come back.

    Without returns the tasks are those of `split`.

    Args:
      dataset: name, .npz path or `Source`.
      tasks: number of tasks.
      scenario: class incremental.
      returns: p_r, probability that a class is in a task after its first one; one for all classes, or one for
        each in the order of the classes.
      introduced: the task in which a class first occurs: even, equally many new classes in each task, which
        must divide the number of classes; geometric, drawn for each class from a geometric distribution that
        ends at the last task, as in the paper, and drawn again until every task has a class.
      p: p_1 of the geometric distribution, in [0, 1]: the larger, the earlier are most classes; 0 is the
        uniform distribution.
      rows_per_task: rows of every task, of its classes in equal numbers, drawn from all of theirs; 0 to
        divide the rows of a class over its tasks.
      class_order: natural, seeded (a permutation drawn from `seed`), or the labels in the wanted order, as in
        3,1,4,...; labels that are not listed are not used.
      valid_fraction: fraction of the training rows of every class held out for validation, in all tasks that
        show a row.
      seed: seed of the class order, of the tasks of every class, and of the rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    require_class_incremental("repeating", scenario)
    _check(tasks, returns, introduced, p, rows_per_task)
    given = {"class_order": class_order, "valid_fraction": valid_fraction, "seed": seed}
    given |= {"data_dir": data_dir, "cache_dir": cache_dir}
    stream = split(dataset, tasks=1, scenario=scenario, **given)
    (order,), name = stream.task_classes, stream.source.name
    table = _table(len(order), tasks, returns, p if introduced == "geometric" else None, seed, name)
    classes = tuple(tuple(np.array(order)[column].tolist()) for column in table.T)
    rule = functools.partial(drawn, rows_per_task=rows_per_task) if rows_per_task else divided
    rows = functools.partial(rule, task_classes=classes, seed=seed)
    views = stream.views * tasks
    return dataclasses.replace(
        stream, name=f"repeating {name}", task_classes=classes, views=views, train_rows=rows
    )


def _check(tasks, returns, introduced, p, rows_per_task):
    pick("introduced", introduced, get_args(Introduced))
    require(tasks >= 1, f"A stream needs at least one task, not {tasks}.")
    for name, value in (("p", p), *(("returns", value) for value in returns)):
        require(0 <= value <= 1, f"{name} is {value:g}; a probability must be at least 0 and at most 1.")
    require(rows_per_task >= 0, f"rows_per_task is {rows_per_task}; it must not be negative.")


def _table(classes, tasks, returns, p, seed, name):
    """Boolean array `[C, T]`: which class is in which task; without `p` equally many new ones in each."""
    require(
        len(returns) in (1, classes),
        f"{len(returns)} returns are given for {classes} classes of {name}; give one, or one each.",
    )
    size = BYTES * tasks * max(tasks, classes)
    require_fits(size, f"The classes of {tasks:,} tasks", "give fewer tasks")
    rng = generator(seed, 2)
    if p is not None:
        return _with_a_class_in_each_task(classes, tasks, p, returns, rng)
    first = np.repeat(np.arange(tasks), sizes_of(tasks, (), 0, classes, name))
    return occurrences(first, tasks, returns, rng)


def occurrences(first, tasks, returns, rng):
    """Boolean array `[C, T]`: which class is in which task.

    Args:
      first: index of the first task of every class, `[C]`.
      tasks: T.
      returns: probability of every class in a later task, `[C]` or `[1]`.
      rng: NumPy generator.
    """
    later = np.arange(tasks) - first[:, np.newaxis]
    again = rng.random(later.shape) < np.array(returns)[:, np.newaxis]
    return (later == 0) | ((later > 0) & again)


def first_tasks(classes, tasks, p, rng):
    """Index of the first task of every class, `[C]`: t with a probability in proportion to (1 - p)^t."""
    weights = (1.0 - p) ** np.arange(tasks)
    return rng.choice(tasks, classes, p=weights / weights.sum())


def _with_a_class_in_each_task(classes, tasks, p, returns, rng):
    for _ in range(ATTEMPTS):
        table = occurrences(first_tasks(classes, tasks, p, rng), tasks, returns, rng)
        if table.any(axis=0).all():
            return table
    raise InputError(
        f"{classes} classes were drawn {ATTEMPTS} times, and one of {tasks} tasks never had any; give more "
        f"returns, a smaller p, fewer tasks, or introduced=even."
    )


def divided(y, task_classes, seed):
    """The rows of every task among those with labels `y` `[n]`; those of a class divided over its tasks."""
    found, known = [[] for _ in task_classes], [*map(set, task_classes)]
    labels = sorted(set().union(*task_classes))
    for k, (label, rows) in enumerate(zip(labels, of_classes(y, labels), strict=True)):
        tasks = [t for t, classes in enumerate(known) if label in classes]
        require(
            len(rows) >= len(tasks),
            f"Class {label} has {len(rows)} training rows for {len(tasks)} tasks; give fewer returns.",
        )
        parts = np.array_split(generator(seed, 3, k).permutation(rows), len(tasks))
        for t, part in zip(tasks, parts, strict=True):
            found[t].append(part)
    return [np.concatenate(parts) for parts in found]


def drawn(y, task_classes, rows_per_task, seed):
    """The rows of every task among those with labels `y` `[n]`, drawn anew in each task: equally many of
    every class, or all that it has."""
    found = []
    for t, classes in enumerate(task_classes):
        rng = generator(seed, 4, t)
        extra = rng.permutation(len(classes)) < rows_per_task % len(classes)
        numbers = rows_per_task // len(classes) + extra
        rows = zip(of_classes(y, np.array(classes)), numbers, strict=True)
        parts = [rng.choice(own, min(number, len(own)), replace=False) for own, number in rows]
        found.append(np.concatenate(parts))
    return found
