"""--generator_quality: measures the generator of a run after each task, from its checkpoints."""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning.network import image_shape
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.files import replace
from keras_cl.runs.quality import table
from keras_cl.runs.quality.examiner import Examiner, label_names
from keras_cl.runs.samples import tiled
from keras_cl.settings.build import make_model

FLAG = "generator_quality"
LEAST = 100  # images


def check(config, model):
    """Raises `InputError` if the generator of a `Config` cannot be measured, before data is read."""
    if not config.generator_quality:
        return
    memory = model.memory
    require(
        memory is not None and memory.generates,
        f"--{FLAG} measures the generator of a memory, and this {config.name_of('method')} has none; "
        f"--memory=vae is one.",
    )
    takes = tuple(image_shape(model.network))
    draws = tuple(getattr(memory.generator, "image_shape", takes))
    require(
        None in takes or draws == takes,
        f"--{FLAG} measures images, of the shape {takes} here, and the generator of this "
        f"{config.name_of('method')} draws arrays of the shape {draws}.",
    )
    require(
        config.generator_quality >= LEAST,
        f"--{FLAG} is {config.generator_quality} images; give at least {LEAST}, or 0 to measure nothing.",
    )


def measured(config, stream, path):
    """Whether the run directory `path` has the measurements that `config` asks for."""
    return len(table.records(path, config.generator_quality)) == len(stream)


def write(config, stream, seed, directory, display, kept):
    """Measures the checkpoints of a finished run; goes on where it was stopped.

    Args:
      config: the `Config`.
      stream: its stream.
      seed: the seed of the run.
      directory: its `RunDirectory`.
      display: a `Display`.
      kept: dict that keeps the `Examiner` for other seeds.
    """
    examiner = kept.setdefault(FLAG, None) or Examiner(stream, config.generator_quality)
    kept[FLAG] = examiner
    model = make_model(config, stream, seed)
    checkpoints, path = Checkpoints(model), directory.path
    records = table.records(path, config.generator_quality)
    near = [row for row in table.rows_of(path, table.NEAREST) if int(row["task"]) <= len(records)]
    with display.working("generator") as progress:
        for task in stream[len(records) :]:
            folder = directory.kept_folder(task.number, f"--{FLAG}")
            model.restore(stream, task.number, lambda folder=folder: checkpoints.read(folder))
            record, neighbours = examiner.measure(model.memory, task, seed, progress)
            near += _rows(task, neighbours)
            _draw(path, task, neighbours)
            directory.write_table(table.NEAREST, near)
            records.append(record)
            directory.write_table(table.FILE, records)
            display.say(f"generator after task {task.number}: {table.told(record)}")


def _rows(task, found):
    """Rows of nearest.csv: labels by the oracle, and of the training images."""
    names = label_names(task.stream)
    for i, (unit, units, distances) in enumerate(
        zip(found.units, found.near_units, found.distances, strict=True), start=1
    ):
        for k, (own, distance) in enumerate(zip(units, distances, strict=True), start=1):
            row = {"task": task.number, "image": i, "label": names[unit], "neighbour": k}
            yield row | {"neighbour_label": names[own], "distance": float(f"{distance:.6g}")}


def _draw(path, task, found):
    """Writes samples/nearest_<n>.png: a row per generated image, which is first, then its neighbours."""
    x = np.concatenate([found.images[:, np.newaxis], found.near], axis=1)
    x = x.reshape(-1, *x.shape[2:])
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        return
    x = np.rint(255 * task.stream.source.scale * x.astype(float)).clip(0, 255).astype(np.uint8)
    file = path / "samples" / f"nearest_{task.number:03d}.png"
    file.parent.mkdir(exist_ok=True)
    replace(file, tf.io.encode_png(tiled(x, 1 + found.near.shape[1])).numpy())
