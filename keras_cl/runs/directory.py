"""The run directory: the files of a run, each complete or absent, and how a killed run is resumed.

    config.json            all settings, versions, the commit if known
    checkpoints/task_003/  variables, the row of the matrix, the epochs; DONE contains their checksums
    matrix.csv metrics.csv summary.json log.txt *.png
    curvature.csv          curvature measured from the checkpoints, with --curvature
    samples/task_003.png   images generated after three tasks; for TensorBoard in tensorboard/
    DONE                   written last

Everything is written to a temporary name and renamed. A lock that the operating system releases when the
process ends keeps a second process out.
"""

import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import json
import pathlib
import shutil

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.runs.files import plain_file_errors, written_aside
from keras_cl.settings.config import DIGEST


@dataclasses.dataclass(frozen=True)
class Kind:
    """Kind of a directory of this program.

    Attributes:
      name: name of the kind, for example "run".
      flag: name of the flag that sets the directory.
      leaves: patterns of all files written there, in the order of their removal; config.json is last,
        because it identifies the directory.
    """

    name: str
    flag: str
    leaves: tuple[str, ...]


LEAVES = (
    "DONE",
    "matrix.csv",
    "matrix_std.csv",
    "metrics.csv",
    "curvature.csv",
    "summary.json",
    "log.txt",
    "curvature.png",
    "matrix.png",
    "accuracy.png",
    "training.png",
    "samples",
    "tensorboard",
    "checkpoints",
    "seed_[0-9]*",
    "config.json",
)
RUN = Kind("run", "run_dir", LEAVES)


class RunDirectory:
    """One run's results on disk.

    Args:
      path: the directory.

    Use `open_run` to make one: it locks the directory and checks the settings.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def done(self):
        """Whether the run is complete."""
        return (self.path / "DONE").exists()

    def task_folder(self, number):
        """Checkpoint folder of the model after `number` tasks; 0 is the untrained model."""
        return self.path / "checkpoints" / f"task_{number:03d}"

    def finished(self):
        """The results of each finished task, in order: a list of the dicts given to `commit`.

        Raises:
          InputError: if a checkpoint is damaged.
        """
        found = []
        while (folder := self.task_folder(len(found))).is_dir():
            self._verify(folder)
            found.append(json.loads((folder / "results.json").read_text()))
        return found

    def commit(self, number, results, write):
        """Stores the state after `number` tasks, completely or not at all.

        Args:
          number: number of tasks learned.
          results: dict that can be written as JSON.
          write: function of a folder that writes the variables to it.
        """
        with written_aside(self.task_folder(number)) as folder:
            write(folder)
            (folder / "results.json").write_text(_json(results))
            sums = {file.name: _checksum(file) for file in sorted(folder.iterdir())}
            (folder / "DONE").write_text(_json(sums))

    def write(self, name, text):
        """Replaces the content of the file `name` by `text`, atomically."""
        aside = self.path / f".{name}.aside"
        aside.write_text(text)
        aside.replace(self.path / name)

    def write_matrix(self, R, name="matrix.csv"):
        """Writes the accuracy matrix `[T+1, T]`."""
        self.write(name, matrix_csv(R))

    def write_results(self, results):
        """Writes matrix.csv and metrics.csv from the `Results` so far."""
        self.write_matrix(results.matrix)
        self.write_table("metrics.csv", list(results.epochs()))

    def write_table(self, name, records):
        """Writes dicts with the same keys as CSV; None is written as an empty cell."""
        rows = [list(records[0])] if records else []
        rows += [["" if value is None else value for value in record.values()] for record in records]
        self.write(name, _csv(rows))

    def write_json(self, name, content):
        """Writes `content` as JSON."""
        self.write(name, _json(content))

    def finish(self):
        """Marks the run as complete."""
        self.write("DONE", "")

    def _verify(self, folder):
        try:
            sums = json.loads((folder / "DONE").read_text())
            whole = all(_checksum(folder / name) == value for name, value in sums.items())
        except (OSError, ValueError):
            whole = False
        number = int(folder.name.removeprefix("task_"))
        back = f"go on after task {number - 1}" if number > 1 else "start again"
        require(
            whole,
            f"The checkpoint {folder} is damaged or incomplete; remove that folder and any later one to "
            f"{back}, or give --overwrite to start afresh.",
        )


class NoDirectory:
    """Used instead of a `RunDirectory` if nothing is stored."""

    path, done = None, False

    def finished(self):
        """An empty list: no task was finished before."""
        return []

    def commit(self, number, results, write):
        """Stores nothing."""

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


@contextlib.contextmanager
def open_run(path, settings, about, overwrite=False, kind=RUN):
    """Opens or resumes the run in `path`; the directory is locked inside the `with` block.

    Args:
      path: the directory; created if missing.
      settings: dict of all settings that decide the results; can be written as JSON.
      about: dict of further information: versions (at least of keras_cl), commit; can be written as JSON.
      overwrite: remove an earlier run first.
      kind: `Kind` of the directory.

    Raises:
      InputError: if another process uses it, if it has other settings, or if it cannot be written.
    """
    path = pathlib.Path(path)
    with plain_file_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with _locked(path, kind):
            run = RunDirectory(path)
            known = _known_settings(path, kind)
            if overwrite:
                _clear(path, kind)
            elif known is not None:
                _check_settings(path, known, settings, kind)
            if overwrite or known is None:
                run.write_json("config.json", {"settings": settings, **about})
            yield run


@contextlib.contextmanager
def _locked(path, kind):
    with open(path / ".lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is writing to {path}; wait for it or give --{kind.flag}."
            ) from None
        yield


def require_same(path, settings, kind=RUN):
    """Raises `InputError` unless the directory `path`, which another process uses, has these `settings`."""
    known = _known_settings(path, kind) if path.is_dir() else None
    require(known is not None, f"{path} holds no {kind.name}.")
    _check_settings(path, known, settings, kind)


def _known_settings(path, kind):
    """Settings of the run in `path`, None if there is none.

    Nothing is written to or removed from a directory that this program did not make.
    """
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if not names:
        return None
    try:
        config = json.loads((path / "config.json").read_text())
        settings, _ = config["settings"], config["versions"]["keras_cl"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{path} holds files ({', '.join(names[:3])}) without the config.json of a {kind.name} of this "
            f"program; give another --{kind.flag}."
        ) from None
    return settings


def _check_settings(path, known, settings, kind):
    wanted = json.loads(_json(settings))
    differing = [
        f"{wanted.get(name.removesuffix(DIGEST))} has changed since"
        if name.endswith(DIGEST) and name in known and name in wanted
        else f"--{name} was {_shown(known.get(name))}, now {_shown(wanted.get(name))}"
        for name in sorted(known.keys() | wanted.keys())
        if known.get(name) != wanted.get(name)
    ]
    require(
        not differing,
        f"{path} holds a {kind.name} with other settings: {'; '.join(differing)}. Give another "
        f"--{kind.flag}, or --overwrite to start afresh.",
    )


def _clear(path, kind):
    """Removes the files of a run and nothing else."""
    for pattern in kind.leaves:
        for entry in path.glob(pattern):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _shown(value):
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "not given" if value is None else str(value)


def _json(content):
    return json.dumps(content, indent=2) + "\n"


def _csv(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _checksum(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()
