"""Runs as a pandas DataFrame, for a notebook."""

from keras_cl.runs.saved_run import read


def load(paths):
    """The runs in directories as a pandas DataFrame, one row per seed.

    The columns are:

    - run, path: directory of the run, and of the seed in it.
    - seed: seed of the model.
    - done, finished_tasks: whether all tasks are finished, and how many are.
    - version: version of keras_cl that began the run.
    - the settings by their names in config.json, such as method or method.strength (NaN or None where a run
      has no such setting; the entries of dicts are columns like optimizer.learning_rate; lists are tuples).
    - the metrics and costs after the last task that are one number, see `SavedRun.summary`; NaN where a
      metric is not defined, and in runs that are not finished.
    - matrix: the accuracy matrix, an array `[T + 1, T]`; NaN for what was not measured. Those of several
      seeds are stacked by `np.stack(frame["matrix"])`.

    Args:
      paths: a path, or several; each is the directory of a run, or a pattern such as "runs/*".

    Returns:
      a `pandas.DataFrame`, in the order of the paths and the seeds.

    Raises:
      InputError: if there is no run at a path, or it is damaged.
    """
    import pandas as pd

    runs = read(paths)
    frame = pd.DataFrame([_place(run) | _settings(run.settings) | _numbers(run) for run in runs])
    frame["matrix"] = pd.Series([run.matrix for run in runs], dtype=object)
    return frame


def _place(run):
    return {
        "run": str(run.run),
        "path": str(run.path),
        "seed": run.seed,
        "done": run.done,
        "finished_tasks": run.tasks,
        "version": run.version,
    }


def _numbers(run):
    return {name: float("nan") if value is None else value for name, value in run.summary.items()}


def _settings(settings, prefix=""):
    """Settings with a name each, and values that pandas can group by."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _settings(value, f"{prefix}{name}.")
        elif prefix + name != "seeds":
            found[prefix + name] = _hashable(value)
    return found


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
