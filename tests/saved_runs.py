"""Runs on disk that nothing was trained for: what the tests of reports read."""

import numpy as np

from keras_cl.runs.opening import open_run

ABOUT = {"versions": {"keras_cl": "0.1.0"}, "commit": None, "devices": ["cpu"]}
SETTINGS = {
    "method": "ewc",
    "memory": "",
    "stream": "split",
    "regime": "plain",
    "network": "mlp",
    "dataset": "digits",
    "tasks": 3,
    "scenario": "class",
    "learning_rate": 0.001,
    "seeds": [0],
    "eval_every": "task",
    "method.strength": 100.0,
    "network.hidden": [400, 400],
    "stream.seed": 0,
}


def matrix(last, tasks=3):
    """An accuracy matrix with these accuracies, or this one, after the last task; 0.95 of a task when it was
    learned, and NaN for tasks to come."""
    R = np.full((tasks + 1, tasks), np.nan)
    for row in range(1, tasks + 1):
        R[row, :row] = 0.95
    R[tasks] = last
    return R


def record(accuracies, seconds=2.0):
    """The record of a task, as `Results.add` makes it."""
    return {
        "accuracies": [None if np.isnan(a) else float(a) for a in accuracies],
        "rows": 100,
        "seconds": seconds,
        "epochs": [],
        "parameters": 1000,
        "network_bytes": 4000,
        "method_bytes": 2**20,
        "memory_bytes": 0,
        "memory_rows": 0,
        "report": {},
    }


def write_run(path, matrices, about=ABOUT, finish=True, planned=(), **settings):
    """Writes a run.

    Args:
      path: its directory.
      matrices: accuracy matrix by seed, `{seed: [T + 1, T]}`; the rows of a matrix that has fewer are of the
        tasks that are finished.
      about: what config.json says beside the settings.
      finish: whether the seeds that have all rows are sealed as complete.
      planned: seeds of the run, if more than those of `matrices`.
      settings: other values than those of `SETTINGS`; a name with two underscores has a point there.
    """
    settings = SETTINGS | {name.replace("__", "."): value for name, value in settings.items()}
    seeds = list(planned or matrices)
    with open_run(path, {**settings, "seeds": seeds}, about, grows=("seeds",)) as run:
        for seed, R in matrices.items():
            if len(seeds) == 1:
                _write_seed(run, R, finish)
            else:
                with open_run(path / f"seed_{seed}", {**settings, "seeds": [seed]}, about) as part:
                    _write_seed(part, R, finish)
    return path


def _write_seed(run, R, finish):
    for number, row in enumerate(R):
        run.commit(number, record(row), lambda folder: (folder / "variables").write_bytes(b"weights"))
    if finish and len(R) == R.shape[1] + 1:
        run.finish()
