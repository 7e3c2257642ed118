"""Runs read from their directories: settings, results, and how far they are."""

import contextlib
import dataclasses
import glob
import os
import pathlib
import re

import numpy as np

import keras_cl
from keras_cl import metrics
from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.runs import seals
from keras_cl.runs.directory import RESULTS, RunDirectory
from keras_cl.runs.files import checksums, read_json
from keras_cl.runs.quality import table as quality
from keras_cl.runs.results import Results

CONFIG = "config.json"


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """One seed of a run, as its directory has it.

    Attributes:
      path: its directory, `seed_<n>` in that of a run with several seeds.
      run: directory of the run.
      settings: dict of the settings in config.json; "seeds" has one entry.
      about: the rest of config.json: versions, commit, devices, origins.
      results: the `Results` of the untrained network and of the finished tasks. If nothing was measured yet,
        there is one record, without any accuracy.
      planned: all seeds of the run, also those that have not begun.
    """

    path: pathlib.Path
    run: pathlib.Path
    settings: dict
    about: dict
    results: Results
    planned: tuple[int, ...]

    @property
    def seed(self):
        """Seed of the model."""
        return self.settings["seeds"][0]

    @property
    def tasks(self):
        """Number of finished tasks."""
        return self.results.tasks

    @property
    def total(self):
        """Number of tasks of the stream."""
        return len(self.results.records[0]["accuracies"])

    @property
    def done(self):
        """Whether all tasks are finished."""
        return self.tasks == self.total

    @property
    def state(self):
        """How far it is, in words: "finished", "3 of 5 tasks" or "not begun"."""
        return (
            "finished" if self.done else f"{self.tasks} of {self.total} tasks" if self.tasks else "not begun"
        )

    @property
    def version(self):
        """Version of keras_cl that began the run; "" if config.json does not say it."""
        return _version(self.about)

    @property
    def other_version(self):
        """Whether another version of keras_cl than this one began the run."""
        return self.version != keras_cl.__version__

    @property
    def matrix(self):
        """The accuracy matrix `[T + 1, T]`; NaN for what was not measured, also after tasks to come."""
        R = self.results.matrix
        return np.concatenate([R, np.full((self.total + 1 - len(R), self.total), np.nan)])

    @property
    def summary(self):
        """Dict of the metrics and the costs that are one number, after the last task.

        Seconds are those of all tasks together; sizes, what the method reports, and how good the generator
        is, are those after the last task. A metric is None if it was not measured. Of a run that is not
        finished every metric is None, and there are no costs.
        """
        if not self.done:
            return dict.fromkeys(metrics.DESCRIPTIONS)
        costs = {}
        with contextlib.suppress(KeyError):  # records of another version may lack some
            costs = self.results.costs()
        costs |= quality.numbers(self.path, self.total)
        return {**self.results.metrics(), **_scalars(costs)}


def _version(about):
    versions = about.get("versions")
    return str(versions.get("keras_cl", "")) if isinstance(versions, dict) else ""


def _scalars(costs, prefix=""):
    """Costs as one number each."""
    found = {}
    for name, value in costs.items():
        if isinstance(value, dict):
            found |= _scalars(value, f"{prefix}{name}.")
            continue
        if isinstance(value, list) and value:
            value = sum(value) if name == "seconds" else value[-1]
        if isinstance(value, int | float):
            found[prefix + name] = value
    return found


def read(paths):
    """The runs in directories, one `SavedRun` per seed, in the order of the paths and the seeds.

    Seeds that have not begun are left out, unless none has. A directory that is named twice counts once.

    Args:
      paths: a path, or several; each is the directory of a run, or a pattern such as "runs/*", of which only
        directories with a run count.

    Raises:
      InputError: if there is no run at a path, or it is damaged.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    require(paths, "No run is given: give the directory of a run, or a pattern such as runs/*.")
    found = {}
    for run in (run for path in paths for run in _directories(os.path.expanduser(path))):
        for saved in _read(run):
            found.setdefault(saved.path.resolve(), saved)
    return list(found.values())


def _directories(path):
    """The directories of the runs at a path or a pattern."""
    if os.path.isdir(path) or not glob.has_magic(path):
        require(os.path.isdir(path), f"There is no run at {path}.{_nearest(path)}")
        return [pathlib.Path(path)]
    found = [pathlib.Path(name) for name in sorted(glob.glob(path, recursive=True))]
    found = [folder for folder in found if (folder / CONFIG).is_file() and _is_run(_content(folder))]
    require(found, f"There is no run at {path}.{_nearest(path)}")
    return found


def _nearest(path):
    """What is where a path ends to exist, and the nearest name there."""
    place = pathlib.Path(pathlib.Path(path).anchor)
    for part in pathlib.Path(path).relative_to(place).parts:
        if not (place / part).is_dir():
            names = sorted(entry.name for entry in place.iterdir() if (entry / CONFIG).is_file())
            others = sorted(entry.name for entry in place.iterdir() if entry.is_dir())
            shown = f" {place} has {', '.join(names[:5])}{', ...' * (len(names) > 5)}." if names else ""
            return shown + did_you_mean(re.sub(r"[*?\[\]]", "", part), names or others)
        place /= part
    return ""


def _read(run):
    """The `SavedRun`s of a run directory."""
    config = _config(run)
    planned = tuple(config["settings"]["seeds"])
    parts = [run / f"seed_{seed}" for seed in planned] if len(planned) > 1 else [run]
    begun = [part for part in parts if (part / CONFIG).is_file()]
    if config.get("overwriting"):  # what is there is another run's, and is being removed
        begun = []
    if begun:
        return [_read_seed(part, run, config, planned) for part in begun]
    first = {**config["settings"], "seeds": [planned[0]]}
    return [_saved(parts[0], run, {**config, "settings": first}, planned, [])]


def _read_seed(path, run, of_run, planned):
    config = _config(path)
    return _saved(path, run, {**of_run, **config}, planned, _records(path, config))


def _saved(path, run, config, planned, records):
    about = {name: value for name, value in config.items() if name not in ("settings", "run")}
    results = Results(records or _nothing(path, config["settings"]))
    return SavedRun(path, run, config["settings"], about, results, planned)


def _nothing(path, settings):
    """The records of a run of which nothing was measured yet."""
    tasks = settings.get("tasks") or len(settings.get("task_classes") or ())
    require(tasks, f"{path} has no result yet.")
    return [{"accuracies": [None] * tasks, "rows": 0, "seconds": 0.0, "epochs": [], "report": {}}]


def _records(path, config):
    """The records of the untrained network and of the finished tasks, from the checkpoints."""
    directory, records = RunDirectory(path), []
    count = len(list((path / "checkpoints").glob("task_[0-9]*")))  # before reading: a run may go on meanwhile
    for number, folder in enumerate(map(directory.task_folder, range(count))):
        require(folder.is_dir(), f"The run {path} is damaged: {folder} is gone, and there are later ones.")
        records.append(_record(folder, number, config))
        width = len(records[0]["accuracies"])
        _require_whole(len(records[-1]["accuracies"]) == width >= number, folder, config)
    gone = directory.task_folder(0) / RESULTS
    require(
        records or not directory.done,
        f"{path} is a finished run whose results are gone: {gone}, and those of later tasks.",
    )
    return records


def _record(folder, number, config):
    """The record in the checkpoint after `number` tasks; its variables are not read."""
    done = seals.read_seal(folder)
    found = checksums(folder, [RESULTS])[RESULTS]
    whole = done and found and done["files"].get(RESULTS) == found
    require(whole, f"The results of a run are damaged: {folder / RESULTS} is not as it was written.")
    own = {**seals.identity_of(config), "task": number}
    require(
        {name: done.get(name) for name in own} == own,
        f"The checkpoint {folder} is that of another run or another task than its place says.",
    )
    record = read_json(folder / RESULTS)
    _require_whole(_is_row(record.get("accuracies")), folder, config)
    return record


def _is_row(accuracies):
    return isinstance(accuracies, list) and all(a is None or isinstance(a, int | float) for a in accuracies)


def _require_whole(condition, folder, config):
    """Raises `InputError` unless a record is as this version understands it."""
    own, version = keras_cl.__version__, _version(config)
    whose = f" (it was written by keras_cl {version}, and this is {own})" * (version != own)
    require(condition, f"{folder / RESULTS} is not understood: it has no accuracy for every task{whose}.")


def _config(path):
    """The content of config.json."""
    if (path / CONFIG).is_file():
        content = _content(path)
        require(_is_run(content), f"{path} is no run: {path / CONFIG} has no settings of a run.")
        return content
    inside = [entry for entry in path.iterdir() if (entry / CONFIG).is_file()]
    told = f" There is one in {len(inside)} of its folders: give '{path}/*'." if inside else ""
    raise InputError(f"{path} is no run of this program: it has no {CONFIG}.{told}")


def _content(path):
    try:
        return read_json(path / CONFIG)
    except (OSError, ValueError):
        raise InputError(f"The run {path} is damaged: {path / CONFIG} cannot be read.") from None


def _is_run(content):
    settings = content.get("settings")
    seeds = settings.get("seeds") if isinstance(settings, dict) else None
    named = isinstance(seeds, list) and seeds and all(isinstance(seed, int) for seed in seeds)
    return bool(named and isinstance(settings.get("method"), str))
