"""`keras_cl.load`: the model of a run as it was after a task."""

import pathlib
from typing import NamedTuple

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.methods.base import ContinualModel
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.directory import RunDirectory
from keras_cl.runs.files import read_json
from keras_cl.runs.results import Results
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from keras_cl.streams.base import Stream


class Loaded(NamedTuple):
    """What `load` returns.

    Attributes:
      model: the compiled `ContinualModel` as it was after the task.
      matrix: accuracy matrix `[tasks + 1, T]` up to that task.
      stream: the `Stream` that it learns.
    """

    model: ContinualModel
    matrix: np.ndarray
    stream: Stream


def load(run_dir, task=None, *, seed=None, model=None, stream=None, data_dir="", cache_dir=""):
    """Returns the model of a run as it was after a task.

    Args:
      run_dir: directory of the run.
      task: number of tasks learned, 0 for the untrained model; by default all finished tasks.
      seed: the seed, if the run has several.
      model, stream: for a run that was begun by `keras_cl.learn`: its stream, and a model made and compiled
        in the same way. Other runs record in config.json how to make theirs.
      data_dir, cache_dir: folders of the data, as in training.

    Returns:
      `Loaded(model, matrix, stream)`; the model can be evaluated and can learn the next task.

    Raises:
      InputError: if there is no such run or task, or it is damaged.
    """
    path, settings = _settings(pathlib.Path(run_dir), seed)
    directory = RunDirectory(path)
    results = Results(directory.finished())
    task = results.tasks if task is None else task
    require(0 <= task <= results.tasks, f"{path} has finished {results.tasks} tasks, and task is {task}.")
    folder = directory.kept_folder(task, "load")
    if settings.get("program") == "keras_cl.learn":
        require(
            model is not None and stream is not None,
            f"{path} was begun by keras_cl.learn; give load its stream, and its compiled model.",
        )
    else:
        config = _config(path, settings, data_dir, cache_dir)
        stream = make_stream(config)
        model = make_model(config, stream, config.seeds[0])
    model.restore(stream, task, lambda: Checkpoints(model).read(folder))
    return Loaded(model, results.up_to(task).matrix, stream)


def _settings(path, seed):
    """The directory of one seed and the settings in its config.json."""
    named = {folder.name.removeprefix("seed_"): folder for folder in path.glob("seed_[0-9]*")}
    seeds = {int(name): folder for name, folder in named.items() if name.isdigit()}
    listed = ", ".join(map(str, sorted(seeds)))
    if seed is not None:
        require(not seeds or seed in seeds, f"{path} has no seed {seed}; it has {listed}.")
        path = seeds.get(seed, path)
    require(seed is not None or not seeds, f"{path} has several seeds; give load one of seed={listed}.")
    try:
        settings = read_json(path / "config.json")["settings"]
    except (OSError, ValueError, KeyError):
        settings = None
    require(isinstance(settings, dict), f"{path} is no run of this program: it has no readable config.json.")
    return path, settings


def _config(path, settings, data_dir, cache_dir):
    """The `Config` of a run from its settings."""
    try:
        return Config.from_settings(settings, data_dir, cache_dir)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InputError(f"The settings in {path / 'config.json'} are damaged: {error}.") from None
