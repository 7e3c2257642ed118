r"""Online: one pass over all rows without tasks, measured every n steps.

Task-free continual learning, Aljundi et al. 2019 (arXiv:1812.03596); a single pass that is measured at any
time, Koh et al. 2022 (i-Blurry, arXiv:2110.10031).

$$ A_\mathrm{AUC} = \frac{1}{n_K} \sum_{k=1}^{K} a(n_k)\, (n_k - n_{k-1}), \qquad n_k = k \cdot \mathtt{every}
\cdot B $$
"""

import dataclasses
import functools
from typing import Literal

import numpy as np

from keras_cl.devices.ram import require_fits
from keras_cl.errors import require
from keras_cl.sources.lazy import LazyArray
from keras_cl.streams.base import Split, Stream, generator
from keras_cl.streams.blurry import blurry
from keras_cl.streams.parts.tasks import require_class_incremental

BYTES = 64  # of a measurement and a phase, in the records and the table of metrics.csv


def online(
    dataset="digits",
    *,
    tasks: int = 1,
    scenario: Literal["class"] = "class",
    phases: int = 5,
    every: int = 100,
    disjoint: float = 50.0,
    exchanged: float = 0.0,
    class_order: str = "natural",
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the class-incremental `Online` stream: a single task whose rows come in a given order, once.

    The rows come phase after phase, each in a random order; phases are the tasks of `blurry`, and methods are
    told nothing of them. All output units are active from the first step on.

    Every `every` steps and at the end the classes and phases seen so far are measured (`keras_cl.anytime`).

    Args:
      dataset: name, .npz path or `Source`.
      tasks: 1, because there are no boundaries; the rows come in `phases`.
      scenario: class incremental.
      phases: number of phases, which must divide the number of classes.
      every: steps between two measurements. The steps of a compiled chunk divide it: a large prime is slow.
      disjoint: N, percent of the classes that are in one phase alone; see `blurry`.
      exchanged: M, percent of the rows of every other class that are dealt to all phases; 0 for none.
      class_order: natural, seeded (a permutation drawn from `seed`), or the labels in the wanted order, as in
        3,1,4,...; others are not used.
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of the class order, of the rows that are dealt, of their order, and of the validation rows.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    require_class_incremental("online", scenario)
    require(
        tasks == 1,
        f"--tasks is {tasks}, and the stream online has no tasks: it is one pass; --stream.phases says in "
        f"how many parts the classes come.",
    )
    require(phases >= 1, f"phases is {phases}; it must be at least 1.")
    require(every >= 1, f"every is {every}; give the steps between two measurements, at least 1.")
    given = {"class_order": class_order, "valid_fraction": valid_fraction, "seed": seed, "data_dir": data_dir}
    given |= {"cache_dir": cache_dir, "disjoint": disjoint, "exchanged": exchanged}
    parts = blurry(dataset, tasks=phases, **given)
    return Online(
        name=f"online {parts.source.name}",
        scenario=scenario,
        source=parts.source,
        task_classes=(sum(parts.task_classes, ()),),
        views=parts.views[:1],
        input_shape=parts.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
        phases=parts,
        every=every,
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Online(Stream):
    """A stream of one task, whose training rows are learned in the order in which they are.

    Args:
      phases: the `Stream` whose tasks, one after the other, are the phases of the pass.
      every: steps between two measurements.
    """

    phases: Stream | None = None
    every: int = 1

    def require_measurable(self, batch_size):
        """Raises `InputError` if a pass with this many rows per step has more measurements than memory."""
        count = -(-len(self[0].train) // (batch_size * self.every))
        size = BYTES * count * len(self.phases)
        require_fits(size, f"{count:,} measurements of {len(self.phases)} phases", "give a larger every")

    @functools.cached_property
    def order(self):
        """Training rows `[n]` of the source in the order of the pass, and the index of the phase of each."""
        parts = [self.phases.split(t, "train").rows for t in range(len(self.phases))]
        mixed = [generator(self.seed, 5, t).permutation(rows) for t, rows in enumerate(parts)]
        return np.concatenate(mixed), np.repeat(np.arange(len(parts)), [*map(len, parts)])

    def split(self, index, part):
        if part != "train":
            parts = [self.phases.split(t, part).rows for t in range(len(self.phases))]
            rows = np.sort(np.concatenate(parts))
            return Split(rows, functools.partial(self._open, index, part, rows), index)
        return Split(self.order[0], self._passed, index, functools.partial(self._passed, unread=True))

    def _passed(self, unread=False):
        (x, y), rows = self.source.train, self.order[0]
        lazy = unread or self.too_large(rows)
        return LazyArray.of(x, rows, self.views[0], self.input_shape) if lazy else x[rows], self.units(
            0, y[rows]
        )

    @functools.cached_property
    def first_seen(self):
        """`{label: number of rows that were seen when the first one of its class was}`."""
        labels, first = np.unique(self.source.train[1][self.order[0]], return_index=True)
        return dict(zip(labels.tolist(), (first + 1).tolist(), strict=True))

    def measured(self, rows, by_class):
        """What a record has of a measurement.

        Args:
          rows: number of rows seen.
          by_class: `{label: (accuracy, test rows)}` of all classes.

        Returns:
          dict: rows; seen_accuracy, on the test rows of the classes seen; seen_classes, how many; phase, the
          number of that of the last row; phase_1 to phase_T, the accuracy on the classes of each phase, None
          before all of them were seen.
        """
        seen = {label for label, first in self.first_seen.items() if first <= rows}
        return {
            "rows": rows,
            "seen_accuracy": _accuracy(by_class, seen),
            "seen_classes": len(seen),
            "phase": int(self.order[1][rows - 1]) + 1,
            **{
                f"phase_{number}": _accuracy(by_class, classes) if seen.issuperset(classes) else None
                for number, classes in enumerate(self.phases.task_classes, 1)
            },
        }


def _accuracy(by_class, labels):
    """Accuracy on the test rows of some classes; None if there are none."""
    found = [by_class[label] for label in labels if label in by_class]
    rows = sum(count for _, count in found)
    return sum(accuracy * count for accuracy, count in found) / rows if rows else None
