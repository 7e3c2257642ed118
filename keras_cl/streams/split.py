"""Split data: every task shows some of the classes, and no class appears in two tasks.

Zenke et al. 2017 (arXiv:1703.04200). In the domain-incremental scenario the output is the position of a class
within its task: "the first or the second of an unknown pair".
"""

import itertools
from typing import Annotated

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.sources import source
from keras_cl.streams.base import Scenario, Stream, generator
from keras_cl.streams.parts.tasks import number_of_tasks, require_choices, sizes_of


def split(
    dataset="digits",
    *,
    tasks: int | None = None,
    sizes: Annotated[tuple[int, ...], "per task"] = (),
    first: int = 0,
    scenario: Scenario = "task",
    class_order: str = "natural",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` of the classes of a data set divided into tasks, equally or by `sizes`.

    In the domain-incremental scenario there are as many outputs as the largest task has classes. A smaller
    task never shows the last ones, but they can be predicted for it, because the task is not known.

    Args:
      dataset: name, .npz path or `Source`.
      tasks: number of tasks, which must divide the number of classes; by default as many as `sizes`, else 5.
      sizes: number of classes of every task, as in 50,10,10,10,10,10; empty for tasks of equal size.
      first: number of classes of the first task; the others are divided equally into the other tasks; 0 for
        tasks of equal size.
      scenario: task, domain or class incremental.
      class_order: natural, seeded (a permutation drawn from `seed`), or the labels in the wanted order, as in
        3,1,4,...; labels that are not listed are not used.
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of the class order and the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    data = source(dataset, data_dir=data_dir, cache_dir=cache_dir)
    order = _order(class_order, data, seed)
    tasks = number_of_tasks(tasks, sizes=sizes)
    sizes = sizes_of(tasks, sizes, first, len(order), data.name)
    ends = list(itertools.accumulate(sizes, initial=0))
    require_choices(sizes, scenario)
    return Stream(
        name=f"split {data.name}",
        scenario=scenario,
        source=data,
        task_classes=tuple(tuple(order[start:end]) for start, end in itertools.pairwise(ends)),
        views=(_as_they_are,) * tasks,
        input_shape=data.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
    )


def _as_they_are(x):
    return x


def _order(class_order, data, seed):
    if class_order == "natural":
        return list(data.classes)
    if class_order == "seeded":
        return generator(seed, 0).permutation(data.classes).tolist()
    labels = class_order.split(",") if isinstance(class_order, str) else class_order
    try:
        order = [int(label) for label in labels]
    except ValueError:
        raise InputError(
            f"class_order {class_order!r} is not known; possible: natural, seeded, or labels as 3,1,4."
            + did_you_mean(class_order, ["natural", "seeded"])
        ) from None
    unknown = [label for label in order if label not in data.classes]
    require(
        not unknown,
        f"class_order names {unknown}; the labels of {data.name} are {list(data.classes)}.",
    )
    require(len(set(order)) == len(order), f"class_order names a class twice: {order}.")
    return order
