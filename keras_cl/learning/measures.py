"""What is measured in one pass over the rows of each task: accuracy, loss, and the classes mixed up."""

from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """The pairs of true and predicted output unit among the rows of a task: `[m]` each.

    Attributes:
      true: output unit of the class of the rows.
      predicted: output unit that was predicted.
      rows: number of rows of the pair.
    """

    true: np.ndarray
    predicted: np.ndarray
    rows: np.ndarray


class Evaluation(NamedTuple):
    """What was measured on each task of a stream, or of a slice of one.

    Attributes:
      accuracies: float array `[T]`; NaN for tasks whose classes are not active yet (class-incremental).
      losses: float array `[T]`: mean cross entropy, in nats, of the rows among the active classes; NaN also
        for methods whose outputs are not the logits of probabilities.
      pairs: `{index of a task: Pairs}` of the tasks that have an accuracy.
    """

    accuracies: np.ndarray
    losses: np.ndarray
    pairs: dict

    def over(self, tasks):
        """The evaluation as one of `tasks` tasks, the first of which were measured."""
        none = np.full(tasks - len(self.accuracies), np.nan)
        wide = (np.concatenate([values, none]) for values in (self.accuracies, self.losses))
        return Evaluation(*wide, self.pairs)

    def by_class(self, stream):
        """Accuracy and rows of each class: `{index of a task: {original label: (accuracy, rows)}}`."""
        return {index: _by_class(stream.labels[index], *pairs) for index, pairs in self.pairs.items()}

    def confusion(self, stream):
        """Confusion matrix over the rows of all tasks: `(labels, counts)`.

        Returns:
          labels: list of the original labels, ascending; -1 for an output that stands for no class of a row's
            task, where tasks have unequal numbers of classes (domain-incremental); texts such as "3 of task
            2" where a label is another class in every task (permuted images, class-incremental).
          counts: int array `[n, n]` of rows, true class by predicted class.
        """
        classes, name = _classes_of(stream)
        parts = [(classes[t][true], classes[t][found], rows) for t, (true, found, rows) in self.pairs.items()]
        true, predicted, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        every = np.unique(classes if stream.scenario == "domain" else classes[stream.labels >= 0])
        counts = np.zeros((len(every), len(every)), int)
        np.add.at(counts, (np.searchsorted(every, true), np.searchsorted(every, predicted)), rows)
        return [name(number) for number in every], counts


def pairs_of(true, predicted):
    """The `Pairs` of rows, from their true and predicted output units `[n]`."""
    width = int(predicted.max()) + 1
    numbers, rows = np.unique(true.astype(np.int64) * width + predicted, return_counts=True)
    return Pairs(numbers // width, numbers % width, rows)


def cross_entropies(logits, units, mask):
    """Cross entropy `[n]`, in nats, of rows with logits `[n, C]` and true `units` `[n]` among the units where
    `mask` `[C]` is true."""
    active = np.flatnonzero(mask)
    z = logits[:, active].astype(float)
    z -= z.max(axis=1, keepdims=True)
    own = z[np.arange(len(z)), np.searchsorted(active, units)]
    return np.log(np.exp(z).sum(axis=1)) - own


def _by_class(labels, true, predicted, rows):
    total = np.bincount(true, rows, len(labels))
    right = np.bincount(true, rows * (true == predicted), len(labels))
    return {int(labels[u]): (float(right[u] / total[u]), int(total[u])) for u in np.flatnonzero(total)}


def _classes_of(stream):
    """Numbers `[T, C]` of the classes that output units stand for in each task, and the name of a number."""
    if stream.scenario != "class":
        return stream.labels, int
    labels = stream.labels.max(axis=0)  # a unit is the same class in every task
    used = labels[labels >= 0]
    if len(np.unique(used)) == len(used):
        return np.broadcast_to(labels, stream.labels.shape), int
    width = labels.max() + 1
    numbers = np.where(labels >= 0, stream.home * width + labels, -1)
    return numbers, lambda number: f"{number % width} of task {number // width + 1}"
