"""Runs with the same settings and other seeds belong together: one line in a figure, one row in a table."""

import dataclasses
import functools

import numpy as np

import keras_cl
from keras_cl.report.labels import labels
from keras_cl.runs.saved_run import SavedRun
from keras_cl.settings.config import digest


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs whose settings differ in the seed alone.

    Attributes:
      label: what distinguishes the group from the others that are shown with it, for example "ewc"; two
        groups that are shown together never have the same.
      runs: its `SavedRun`s, one per seed, sorted by seed.
      repeated: sentences about seeds that were given more than once.
    """

    label: str
    runs: list[SavedRun]
    repeated: tuple[str, ...] = ()

    @property
    def settings(self):
        """The settings that all its runs have."""
        return {name: value for name, value in self.runs[0].settings.items() if name != "seeds"}

    @property
    def seeds(self):
        """The seeds of its runs."""
        return [run.seed for run in self.runs]

    @property
    def finished(self):
        """Its runs that have finished all tasks: those that count in statistics."""
        return [run for run in self.runs if run.done]

    @property
    def planned(self):
        """The seeds that its runs have or will have, sorted."""
        return sorted({seed for run in self.runs for seed in (*run.planned, run.seed)})

    @functools.cached_property
    def summaries(self):
        """`{seed: summary}` of the finished runs, see `SavedRun.summary`."""
        return {run.seed: run.summary for run in self.finished}

    def values(self, metric):
        """`{seed: value}` of a metric or a cost of the finished runs, None where it is not defined."""
        return {seed: summary.get(metric) for seed, summary in self.summaries.items()}

    @property
    def state(self):
        """How far it is, in words: "" if all seeds of its runs are finished, else for example "seed 2: 3 of 5
        tasks; seeds 3, 4: not begun"."""
        states = {run.seed: run.state for run in self.runs if not run.done}
        states |= {seed: "not begun" for seed in self.planned if seed not in self.seeds}
        found = {}
        for seed, state in states.items():
            found.setdefault(state, []).append(str(seed))
        return "; ".join(
            f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}: {state}" for state, seeds in found.items()
        )

    @property
    def notes(self):
        """Sentences that belong beside its numbers: unfinished seeds, repeated seeds, another version."""
        left_out = ", and not in the numbers" if self.finished else ""  # else there are no others
        unfinished = [f"Unfinished{left_out}: {self.state}."] if self.state else []
        versions = sorted({run.version or "unknown" for run in self.runs if run.other_version})
        other = (
            [f"Begun by keras_cl {', '.join(versions)}; this is {keras_cl.__version__}."] if versions else []
        )
        return [*unfinished, *self.repeated, *other]


def grouped(runs):
    """The `Group`s of `SavedRun`s, in the order of their first runs.

    A seed that is given twice with the same settings counts once: the run that has finished more tasks, or
    the first of them.
    """
    found = {}
    for run in runs:
        found.setdefault(digest({**run.settings, "seeds": []}), {}).setdefault(run.seed, []).append(run)
    return labelled([_group(seeds) for seeds in found.values()])


def labelled(groups):
    """Groups with the labels that distinguish them from each other, and from no others."""
    found = labels([group.settings for group in groups], [str(group.runs[0].run) for group in groups])
    return [dataclasses.replace(group, label=label) for group, label in zip(groups, found, strict=True)]


def _group(seeds):
    """The group, without a label, of `{seed: runs}` with the same settings."""
    runs, repeated = [], []
    for seed, same in sorted(seeds.items()):
        runs.append(max(same, key=lambda run: run.tasks))  # the first of several
        if len(same) > 1:
            places = ", ".join(str(run.path) for run in same)
            equal = all(np.array_equal(run.matrix, runs[-1].matrix, equal_nan=True) for run in same)
            differ = "" if equal else ", and their accuracies are not the same"
            repeated.append(f"Seed {seed} is in {places}{differ}: {runs[-1].path} counts.")
    return Group("", runs, tuple(repeated))
