"""What a group's runs recorded after every epoch, or within the steps of a task."""

import dataclasses

import numpy as np

from keras_cl.report.plots.seeds import listed, shown


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Records of the runs of a group, one per epoch, or of a task with given steps several.

    Attributes:
      tasks: number of the task of each record, `[n]`.
      places: their places on an axis, `[n]`: epochs or steps over all tasks.
      unit: of that axis: "epochs" or "steps".
      where: what hovering says of each record.
      runs: the runs that are shown: those whose tasks are as long as the first one's.
      partial: whether these are not all.
    """

    tasks: np.ndarray
    places: np.ndarray
    unit: str
    where: list[str]
    runs: list
    partial: bool

    def column(self, name):
        """Values `[S, n]` of what a record has under a name, NaN where it was not measured."""
        return np.array([[_number(epoch.get(name)) for _, epoch in _records(run)] for run in self.runs])

    @property
    def accuracies(self):
        """Accuracies `[S, n, T]` on all tasks, NaN where they were not measured."""
        found = []
        for run in self.runs:
            tasks = run.matrix.shape[1]
            rows = [epoch.get("accuracies") or [None] * tasks for _, epoch in _records(run)]
            found.append([[_number(value) for value in row] for row in rows])
        return np.array(found)

    @property
    def label(self):
        """Label of the axis; it says which seeds are shown if these are not all."""
        return f"{self.unit} over all tasks" + f" ({listed(self.runs)})" * self.partial

    @property
    def boundaries(self):
        """Places between two tasks."""
        last = np.flatnonzero(np.diff(self.tasks))
        return (self.places[last] + self.places[last + 1]) / 2


def has(group, name):
    """Whether some record of a group has a value under a name."""
    return any(_measured(epoch.get(name)) for run in shown(group) for _, epoch in _records(run))


def of(group):
    """The `Epochs` of a group."""
    shapes = [_shape(run) for run in shown(group)]
    runs = [run for run, shape in zip(shown(group), shapes, strict=True) if shape == shapes[0]]
    tasks, epochs, steps = np.array(shapes[0]).T.reshape(3, -1)
    within = bool(steps.any())
    ends = np.append(np.diff(tasks) > 0, True)
    before = np.cumsum(np.where(ends, steps, 0)) - np.where(ends, steps, 0)  # in earlier tasks
    places = steps + before if within else np.arange(1, len(tasks) + 1)
    parts = [f"step {s}" if within else f"epoch {e}" for e, s in zip(epochs, steps, strict=True)]
    where = [f"{part} of task {task}" for task, part in zip(tasks, parts, strict=True)]
    unit = "steps" if within else "epochs"
    return Epochs(tasks, places, unit, where, runs, len(runs) < len(shapes))


def _records(run):
    """Number of the task, and record, of every epoch."""
    records = run.results.records
    return [(task, epoch) for task in range(1, len(records)) for epoch in records[task].get("epochs", ())]


def _shape(run):
    return [(task, epoch.get("epoch") or 0, epoch.get("step") or 0) for task, epoch in _records(run)]


def _measured(value):
    return any(one is not None for one in value) if isinstance(value, list) else value is not None


def _number(value):
    return np.nan if value is None else float(value)
