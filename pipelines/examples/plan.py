"""The plan of a line: what all its tasks are, before their examples have arrived."""

import dataclasses
import pathlib

from keras_cl.errors import InputError, require
from keras_cl.runs.files import as_json, read_json, replace

PLAN = "plan.json"
SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the tasks of a line are, also those whose examples have not arrived.

    Attributes:
      name: name of the stream.
      source: name of its data.
      scenario: "task", "domain" or "class".
      task_classes: the original labels of every task.
      train_classes: those of its training rows, see `Stream`.
      classes: all original labels of the data, ascending, which decide the output units.
      input_shape: shape of an image as the tasks show it.
      dtype: "uint8" or "float32".
      scale: factor from values of images to [0, 1].
      distinct_classes: whether the same label is another class in every task, see `Stream`.
      valid_fraction: fraction of the training rows held out for validation.
      seed: seed of the stream.
    """

    name: str
    source: str
    scenario: str
    task_classes: tuple[tuple[int, ...], ...]
    classes: tuple[int, ...]
    input_shape: tuple[int, ...]
    dtype: str
    scale: float
    distinct_classes: bool = False
    valid_fraction: float = 0.0
    seed: int = 0
    train_classes: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, stream, dtype):
        """The plan of a stream whose images are of `dtype`."""
        return cls(
            name=stream.name,
            source=str(stream.source.name),
            scenario=stream.scenario,
            task_classes=tuple(tuple(map(int, classes)) for classes in stream.task_classes),
            classes=tuple(map(int, stream.source.classes)),
            input_shape=tuple(map(int, stream.input_shape)),
            dtype=str(dtype),
            scale=float(stream.source.scale),
            distinct_classes=stream.distinct_classes,
            valid_fraction=float(stream.valid_fraction),
            seed=int(stream.seed),
            train_classes=tuple(tuple(map(int, classes)) for classes in stream.train_classes),
        )

    def write(self, folder, rows):
        """Writes the plan of an Examples artifact.

        Args:
          folder: the artifact.
          rows: `{"train": n, "valid": n, "test": n}` for each task that has arrived.
        """
        content = {**dataclasses.asdict(self), "arrived": len(rows), "rows": list(rows)}
        replace(pathlib.Path(folder) / PLAN, as_json(content))


def read_plan(folder):
    """The `Plan` of an Examples artifact, and the number of rows `{part: n}` of each task that has arrived.

    Raises:
      InputError: if the folder is no Examples artifact.
    """
    try:
        content = {"train_classes": (), **read_json(pathlib.Path(folder) / PLAN)}  # older ones have none
        fields = {field.name: content[field.name] for field in dataclasses.fields(Plan)}
        rows = [{part: int(own[part]) for part in SPLITS} for own in content["rows"]]
        for name in ("classes", "input_shape"):
            fields[name] = tuple(fields[name])
        for name in ("task_classes", "train_classes"):
            fields[name] = tuple(map(tuple, fields[name]))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} holds no examples: it has no readable {PLAN}.") from None
    return Plan(**fields), rows


def classes_of(text, scenario):
    """The labels of all planned tasks, a tuple for each, from a text as 0,1/2,3/4,5.

    Raises:
      InputError: if the text is not written like that, or the scenario cannot have such tasks.
    """
    try:
        tasks = tuple(tuple(int(label) for label in task.split(",")) for task in text.split("/"))
    except ValueError:
        raise InputError(f"--classes is {text!r}; give the labels of all tasks as in 0,1/2,3/4,5.") from None
    lowest = min(label for task in tasks for label in task)
    require(lowest >= 0, f"--classes has the label {lowest}; labels must not be negative.")
    require(
        scenario == "class" or min(map(len, tasks)) > 1,
        f"--classes={text} has tasks of one class, which can only be class-incremental: with one possible "
        f"answer there is nothing to learn; give --scenario=class.",
    )
    return tasks


def task_folder(folder, number):
    """The folder of a task, with its number from 1, in an artifact of all tasks so far."""
    return pathlib.Path(folder) / f"task_{number:03d}"


def file_of(folder, number, part):
    """The TFRecord file of a split of a task, with its number from 1, in an Examples artifact."""
    return task_folder(folder, number) / f"Split-{part}" / "data_tfrecord-00000-of-00001"
