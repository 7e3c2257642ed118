"""The run directory: the files of a run, each complete or absent.

    config.json            all settings, versions, the commit if known, the identifier of the run
    checkpoints/task_003/  variables, the row of the matrix, the epochs; DONE says whose they are
    matrix.csv metrics.csv summary.json log.txt *.png
    loss.csv               cross entropy on the test rows of each task, as matrix.csv has the accuracies
    class_accuracy.csv     accuracy of each class; confusion.csv, after the last task
    curvature.csv          curvature measured from the checkpoints, with --curvature
    generator_quality.csv  how good the generator is after each task, with --generator_quality; nearest.csv
                           and samples/nearest_003.png: training images nearest to generated ones
    samples/task_003.png   images generated after three tasks; for TensorBoard in tensorboard/
    logged.json            what was logged to TensorBoard, MLflow and Weights & Biases (wandb/)
    report.html figures/   the page about the run; figures/ of `keras_cl.report --format=pdf`, for example
    DONE                   written last, with checksums of the results

With --keep=last a checkpoint loses its variables when the next one is complete; its results stay.
"""

import csv
import pathlib
import uuid

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.runs import seals
from keras_cl.runs.files import as_json, read_json, replace, written_aside

RESULTS = "results.json"  # of a checkpoint
REPORT = "report.html"
MEASURES = ("loss.csv", "class_accuracy.csv", "confusion.csv")  # of runs that have them
MEASUREMENTS = {  # by its flag, what a measurement after training leaves: results, and figures of them
    "curvature": (("curvature.csv",), ("curvature.png",)),
    "generator_quality": (
        ("generator_quality.csv", "nearest.csv"),
        ("generator_quality.png", "nearest.png"),
    ),
}
MEASURED = tuple(name for parts in MEASUREMENTS.values() for names in parts for name in names)
SEALED = (  # results whose checksums the DONE of a run has, and which --overwrite removes
    "matrix.csv",
    "matrix_std.csv",
    "metrics.csv",
    *MEASURES,
    "summary.json",
    *MEASURED,
    "matrix.png",
    "accuracy.png",
    "training.png",
    "validation.png",
    "anytime.png",
    REPORT,
)


class RunDirectory:
    """One run's results on disk.

    Args:
      path: the directory.

    Use `open_run` to make one: it locks the directory and checks the settings.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def identity(self):
        """Dict of what identifies the run: its identifier, seeds and the digest of its settings."""
        return seals.identity_of(read_json(self.path / "config.json"))

    @property
    def done(self):
        """Whether the run is complete."""
        return seals.read_seal(self.path) is not None

    def task_folder(self, number):
        """Checkpoint folder of the model after `number` tasks; 0 is the untrained model."""
        return self.path / "checkpoints" / f"task_{number:03d}"

    def finished(self):
        """The results of each finished task, in order: a list of the dicts given to `commit`.

        Raises:
          InputError: if a checkpoint is damaged, or is that of another task or run.
        """
        number = 0
        while self.task_folder(number).is_dir():
            self._verify(number)
            number += 1
        return self.records()

    def records(self):
        """As `finished`, without looking whether the checkpoints are whole and of this run."""
        found = []
        while (folder := self.task_folder(len(found))).is_dir():
            found.append(read_json(folder / RESULTS))
        return found

    def commit(self, number, results, write, alone=False):
        """Stores the state after `number` tasks, completely or not at all.

        Args:
          number: number of tasks learned.
          results: dict that can be written as JSON.
          write: function of a folder that writes the variables to it.
          alone: whether the variables of earlier tasks are removed then.
        """
        with written_aside(self.task_folder(number)) as folder:
            write(folder)
            (folder / RESULTS).write_text(as_json(results))
            seals.seal_all(folder, task=number, **self.identity)
        if alone:
            self.keep_last(number)

    def keep_last(self, number):
        """Removes the variables of all checkpoints before the one after `number` tasks."""
        for folder in map(self.task_folder, range(number)):
            if done := seals.read_seal(folder):
                seals.seal(folder, [RESULTS], **{k: v for k, v in done.items() if k != "files"})
                for file in folder.iterdir():
                    if file.name not in (RESULTS, seals.DONE):
                        file.unlink()

    def kept(self):
        """Numbers of tasks after which a checkpoint has its variables."""
        folders = (self.path / "checkpoints").glob("task_[0-9]*")
        seen = [(folder.name.removeprefix("task_"), seals.read_seal(folder)) for folder in folders]
        return sorted(int(n) for n, done in seen if n.isdigit() and done and done["files"].keys() > {RESULTS})

    def kept_folder(self, number, purpose):
        """The folder of a checkpoint with its variables.

        Raises:
          InputError: if they were not kept; it begins with the `purpose` that they are needed for.
        """
        kept = self.kept()
        told = f"only that after task {kept[-1]}" if len(kept) == 1 else f"those after {kept or 'none'}"
        require(
            number in kept,
            f"{purpose} needs the checkpoint after task {number}, and {self.path} has kept {told}: "
            f"--keep=all keeps every one from the start.",
        )
        return self.task_folder(number)

    def write(self, name, text):
        """Replaces the content of the file `name` by `text`, atomically."""
        replace(self.path / name, text)

    def write_matrix(self, R, name="matrix.csv"):
        """Writes the accuracy matrix `[T+1, T]`."""
        self.write(name, matrix_csv(R))

    def write_results(self, results):
        """Writes matrix.csv, metrics.csv and, where they were measured, `MEASURES` from the `Results`."""
        self.write_matrix(results.matrix)
        self.write_table("metrics.csv", list(results.epochs()))
        self.write_measures(results.losses, list(results.by_class()), results.confusion)

    def write_measures(self, losses, by_class, confusion):
        """Writes `MEASURES`, each if it was measured; the arguments are as `Results` has them."""
        if not np.isnan(losses).all():
            self.write_matrix(losses, "loss.csv")
        if by_class:
            self.write_table("class_accuracy.csv", by_class)
        if confusion:
            labels, counts = confusion
            rows = [[label, *row] for label, row in zip(labels, counts.tolist(), strict=True)]
            self.write("confusion.csv", _csv([["true_label", *labels], *rows]))

    def write_table(self, name, records):
        """Writes dicts with the same keys as CSV; None is written as an empty cell."""
        rows = [list(records[0])] if records else []
        rows += [["" if value is None else value for value in record.values()] for record in records]
        self.write(name, _csv(rows))

    def write_json(self, name, content):
        """Writes `content` as JSON."""
        self.write(name, as_json(content))

    def finish(self):
        """Marks the run as complete."""
        seals.seal(self.path, [name for name in SEALED if (self.path / name).exists()])

    def changed(self):
        """Names of the results that were lost or edited since the run was complete."""
        return seals.changed(self.path) or []

    def _verify(self, number):
        folder = self.task_folder(number)
        done = seals.read_seal(folder)
        whole = done is not None and RESULTS in done["files"] and not seals.changed(folder)
        own = self.identity | {"task": number}
        found = {name: done.get(name) for name in own} if whole else None
        if found == own:
            return
        fault = "damaged or incomplete"
        if whole:
            whose = "this run" if found["run"] == own["run"] else "another run"
            fault = (
                f"that after task {found['task']} of {whose}, with the seeds {found['seeds']} and settings "
            )
            fault += f"{found['settings']}"
        raise InputError(f"The checkpoint {folder} is {fault}; {self._mend(number)}.")

    def _mend(self, number):
        """What to do about the checkpoint after `number` tasks."""
        if number and number - 1 not in self.kept():
            return "no earlier one was kept, and --overwrite starts afresh"
        back = f"go on after task {number - 1}" if number > 1 else "start again"
        return f"remove that folder and any later one to {back}, or give --overwrite to start afresh"


class NoDirectory:
    """Used instead of a `RunDirectory` if nothing is stored."""

    path, done = None, False

    def __init__(self):
        self.identity = {"run": uuid.uuid4().hex}

    def finished(self):
        """An empty list: no task was finished before."""
        return []

    def commit(self, number, results, write, alone=False):
        """Stores nothing."""

    def keep_last(self, number):
        """Removes nothing."""

    def kept(self):
        """An empty list: no checkpoint has its variables."""
        return []

    def write_results(self, results):
        """Writes nothing."""

    def write_json(self, name, content):
        """Writes nothing."""

    def finish(self):
        """Does nothing."""


def matrix_csv(R):
    """The accuracy matrix as CSV: one row per number of tasks learned, fractions, empty for NaN."""
    rows = [["after_tasks", *(f"task_{j + 1}" for j in range(R.shape[1]))]]
    rows += [[i, *("" if np.isnan(a) else f"{a:.6f}" for a in row)] for i, row in enumerate(R)]
    return _csv(rows)


def read_matrix(path):
    """The accuracy matrix `[T+1, T]` of a matrix.csv; NaN for empty cells."""
    with open(path, newline="") as file:
        _, *rows = csv.reader(file)
    return np.array([[float(value) if value else np.nan for value in row[1:]] for row in rows])


def _csv(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)
