"""Groups of runs with numbers of everything that a plot can show, made without training."""

import pathlib

import numpy as np
import PIL.Image
from saved_runs import ABOUT, SETTINGS, record

from keras_cl.metrics import GENERATOR
from keras_cl.report.groups import Group
from keras_cl.runs.results import Results
from keras_cl.runs.saved_run import SavedRun


def group(label="ewc", tasks=5, seeds=3, done=None, epochs=2, path="none", **settings):
    """A `Group` whose numbers are random, but the same for the same label.

    Args:
      label: of the group.
      tasks: number of tasks.
      seeds: number of seeds.
      done: tasks that are finished; all by default.
      epochs: records per task, with learning rates, validation and accuracies; 0 for none.
      path: of each of its runs.
      **settings: other than those of `SETTINGS`.
    """
    settings = {**SETTINGS, "scenario": "domain", "tasks": tasks, "eval_every": "epoch", **settings}
    runs = []
    for seed in range(seeds):
        draws = np.random.default_rng([seed, *label.encode()])
        records = [
            _record(draws, task, tasks, epochs) for task in range((tasks if done is None else done) + 1)
        ]
        own, planned = {**settings, "seeds": [seed]}, tuple(range(seeds))
        runs.append(SavedRun(pathlib.Path(path), pathlib.Path(path), own, ABOUT, Results(records), planned))
    return Group(label, runs)


def _record(draws, after, tasks, epochs):
    accuracies = draws.uniform(0.1, 1, tasks).tolist()
    found = record(accuracies, seconds=draws.uniform(1, 5))
    found |= {"method_bytes": 1000, "memory_bytes": int(draws.integers(1000))}
    found["losses"] = draws.uniform(0, 3, tasks).tolist()
    found["class_accuracies"] = {
        str(task): {str(label): draws.uniform() for label in (2 * task, 2 * task + 1)}
        for task in range(tasks)
    }
    found["epochs"] = [
        {
            "epoch": epoch + 1,
            "loss": draws.uniform(),
            "accuracy": draws.uniform(),
            "val_loss": draws.uniform(),
            "val_accuracy": draws.uniform(),
            "learning_rate": 0.1 / (epoch + 1),
            "rows": 10 * (epochs * (after - 1) + epoch + 1),
            "seen_accuracy": draws.uniform(),
            "phase": after,
            "phase_1": draws.uniform(),
            "accuracies": accuracies if epoch + 1 == epochs else draws.uniform(0.1, 1, tasks).tolist(),
        }
        for epoch in range(epochs * (after > 0))
    ]
    if after == tasks:
        counts = draws.integers(0, 9, (2 * tasks, 2 * tasks)) + 40 * np.eye(2 * tasks, dtype=int)
        found["confusion"] = {"labels": list(range(2 * tasks)), "counts": counts.tolist()}
    return found


def write_curvature(folder, tasks=5, eigenvalues=3):
    """Writes a curvature.csv of random numbers to a folder."""
    names = ["task", *(f"eigenvalue_{i + 1}" for i in range(eigenvalues))]
    names += [f"task_1_{name}" for name in ("bound", "predicted", "forgetting")]
    draws = np.random.default_rng(0)
    rows = [[task, *draws.uniform(0.1, 9, len(names) - 1).round(3)] for task in range(1, tasks + 1)]
    rows[0][-3:] = [""] * 3
    text = "".join(",".join(map(str, row)) + "\n" for row in [names, *rows])
    (folder / "curvature.csv").write_text(text)


def write_generator_quality(folder, tasks=5):
    """Writes a generator_quality.csv of random numbers to a folder, and neighbours of three images."""
    draws = np.random.default_rng(1)
    names = ["task", "images", "classes", *GENERATOR]
    rows = [[t, 200, 2 * t, *draws.uniform(0.1, 0.9, len(GENERATOR)).round(3)] for t in range(1, tasks + 1)]
    _write_csv(folder / "generator_quality.csv", names, rows)
    names = ["task", "image", "label", "neighbour", "neighbour_label", "distance"]
    rows = [
        [t, i, 10 * i, k, 10 * i + k, t + k / 10]
        for t in range(1, tasks + 1)
        for i in (1, 2, 3)
        for k in (1, 2)
    ]
    _write_csv(folder / "nearest.csv", names, rows)
    (folder / "samples").mkdir(exist_ok=True)
    image = np.zeros((9, 9), np.uint8).repeat(50, axis=0).repeat(50, axis=1)
    PIL.Image.fromarray(image).save(folder / "samples" / f"nearest_{tasks:03d}.png")


def _write_csv(file, names, rows):
    file.write_text("".join(",".join(map(str, row)) + "\n" for row in [names, *rows]))


def write_samples(folder, tasks=5):
    """Writes grids of generated images to a folder: image k after t tasks has the grey value k + t."""
    (folder / "samples").mkdir(exist_ok=True)
    image = np.arange(100, dtype=np.uint8).reshape(10, 10).repeat(40, axis=0).repeat(40, axis=1)
    for task in range(1, tasks + 1):
        PIL.Image.fromarray(image + np.uint8(task)).save(folder / "samples" / f"task_{task:03d}.png")
