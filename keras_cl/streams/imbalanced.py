r"""Imbalanced data: split tasks whose classes have ever fewer training rows, from many to few.

Long-tailed class-incremental learning, Liu et al. 2022 (arXiv:2210.00266), with the exponential profile of
Cui et al. 2019 (arXiv:1901.05555).

$$ n_k = \left\lfloor n_{\max}\, r^{-k / (C - 1)} \right\rfloor, \qquad k = 0, \ldots, C - 1 $$
"""

import dataclasses
import functools
from typing import Annotated, Literal, get_args

import numpy as np

from keras_cl.errors import pick, require
from keras_cl.streams.base import Scenario, generator
from keras_cl.streams.parts.rows import of_classes
from keras_cl.streams.split import split

Order = Literal["ordered", "shuffled"]


def imbalanced(
    dataset="digits",
    *,
    tasks: int | None = None,
    sizes: Annotated[tuple[int, ...], "per task"] = (),
    first: int = 0,
    scenario: Scenario = "class",
    ratio: float = 10.0,
    order: Order = "ordered",
    class_order: str = "natural",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` of a split whose classes have long-tailed numbers of training rows.

    The class in place k of C has n_k = floor(n_max * ratio^(-k / (C - 1))) training rows, at least one, drawn
    at random. n_max is the largest number for which every class has as many rows: that of a class if all are
    equally large. Validation rows are held out of these, and leave at least one of each class. Test rows are
    all rows of the classes, whose numbers stay what they are.

    Args:
      dataset: name, .npz path or `Source`.
      tasks: number of tasks, which must divide the number of classes; by default as many as `sizes`, else 5.
      sizes: number of classes of every task, as in 50,10,10,10,10,10; empty for tasks of equal size.
      first: number of classes of the first task; the others are divided equally into the other tasks; 0 for
        tasks of equal size.
      scenario: task, domain or class incremental; usually class.
      ratio: rows of the largest class over those of the smallest one, at least 1; 100 in the paper.
      order: which class has which place: ordered, the first class of the stream is the largest and the last
        one the smallest; shuffled, places are drawn from `seed`.
      class_order: natural, seeded (a permutation drawn from `seed`), or the labels in the wanted order, as in
        3,1,4,...; labels that are not listed are not used.
      valid_fraction: fraction of the drawn rows of every class held out for validation.
      seed: seed of the class order, the places, and the drawn and the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    require(ratio >= 1, f"ratio is {ratio:g}; it must be at least 1, the rows of all classes being equal.")
    pick("order", order, get_args(Order))
    stream = split(
        dataset,
        tasks=tasks,
        sizes=sizes,
        first=first,
        scenario=scenario,
        class_order=class_order,
        valid_fraction=valid_fraction,
        seed=seed,
        data_dir=data_dir,
        cache_dir=cache_dir,
    )
    rows = functools.partial(drawn, task_classes=stream.task_classes, ratio=ratio, order=order, seed=seed)
    return dataclasses.replace(stream, name=f"imbalanced {stream.source.name}", train_rows=rows)


def drawn(y, task_classes, ratio, order, seed):
    """The rows of every task among those with labels `y` `[n]`, see `imbalanced`."""
    labels = np.concatenate(task_classes)
    places = np.arange(len(labels))
    if order == "shuffled":
        places = generator(seed, 2).permutation(places)
    rows = of_classes(y, labels[:, np.newaxis])
    numbers = long_tailed([*map(len, rows)], places, ratio)
    chosen = {
        label: generator(seed, 3, k).choice(own, number, replace=False)
        for k, (label, own, number) in enumerate(zip(labels.tolist(), rows, numbers, strict=True))
    }
    return [np.concatenate([chosen[label] for label in classes]) for classes in task_classes]


def long_tailed(available, places, ratio):
    """Number of rows of every class, `[C]`: n_k = floor(n_max * ratio^(-k / (C - 1))), at least 1.

    Args:
      available: how many rows the classes have, `[C]`.
      places: k of every class, a permutation of 0 to C - 1.
      ratio: n_0 over n_{C - 1}.
    """
    share = float(ratio) ** (-np.asarray(places) / max(len(places) - 1, 1))
    n_max = np.floor(np.min(np.asarray(available) / share) * (1 + 1e-12))
    n = np.floor(n_max * share * (1 + 1e-12))  # as exact powers have it: 100 * 0.01 is 1
    return np.minimum(np.maximum(n, 1), available).astype(int)
