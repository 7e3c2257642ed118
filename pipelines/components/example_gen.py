"""ExampleGen: the examples of one task as TFRecords, from the stream itself or from what arrived."""

import json
import pathlib

from keras_cl.errors import require
from keras_cl.runs.files import make_folder
from keras_cl.settings.build import make_stream
from pipelines.artifacts import linked, produced
from pipelines.examples import arrivals, files, formats, records
from pipelines.examples.plan import SPLITS, Plan, file_of, read_plan
from pipelines.settings import config_of


def example_gen(settings, number, folder, previous, examples, code):
    """Writes the examples of one task, with those of all tasks before it.

    Args:
      settings: text of the settings, see `pipelines.settings`; with "classes" all tasks arrive, and there is
        no stream.
      number: number of the task, from 1.
      folder: file or folder of examples that arrived as this task; "" for those of the stream.
      previous: Examples artifact of the task before; "" for the first task.
      examples: folder to write the Examples artifact to.
      code: digest of the code, see `pipelines.artifacts.code_version`.

    Raises:
      InputError: one sentence about data that are not what is planned, with the file and the row.
    """
    recorded = {"settings": json.loads(settings), "number": number, "folder": folder}
    if folder:
        recorded["folder_sha256"] = files.digest(folder)
    with produced("ExampleGen", {"examples": examples}, {"previous": previous}, code=code, **recorded):
        before, rows = read_plan(previous) if previous else (None, [])
        require(
            len(rows) == number - 1,
            f"The examples of task {number} come after those of task {number - 1}, and the previous ones are "
            f"those of {len(rows)} tasks.",
        )
        plan, splits = _made(settings, number, folder, before)
        rows.append({part: len(splits[part][0]) for part in SPLITS})
        for part in SPLITS:
            file = file_of(examples, number, part)
            make_folder(file.parent)
            records.write(file, *splits[part])
        for place in sorted(pathlib.Path(previous).glob("task_*")) if previous else ():
            linked(place, pathlib.Path(examples) / place.name)
        plan.write(examples, rows)


def _made(settings, number, folder, before):
    """The plan, and the images and original labels `{part: (x, labels)}` of a task.

    `before` is the plan of the tasks before; None for the first task.
    """
    config, classes = config_of(settings), json.loads(settings).get("classes", "")
    stream = None if classes else make_stream(config)
    require(classes == "" or folder, f"With --classes all tasks arrive: give the examples of task {number}.")
    if not folder:
        _require_task(number, len(stream))
        splits = _splits_of(stream[number - 1])
        plan = Plan.of(stream, splits["train"][0].dtype)
        _require_alike(plan, before)
        return plan, splits
    arrived = formats.read(folder)
    if classes:
        image = arrived.images[0]
        given = (before.input_shape, before.dtype) if before else (image.shape, image.dtype)
        own = {name: config.options_of("stream").get(name, 0) for name in ("valid_fraction", "seed")}
        plan = arrivals.plan_of(classes, *given, scenario=config.scenario, **own)
    else:
        plan = Plan.of(stream, stream.source.dtype)
    _require_task(number, len(plan.task_classes))
    _require_alike(plan, before)
    return plan, arrivals.splits_of(arrived, plan, number)


def _splits_of(task):
    """The images and original labels `{part: (x, labels)}` of a task of a stream."""
    opened = {part: task.stream.split(task.index, part).open() for part in SPLITS}
    return {part: (x, task.stream.labels[task.index][units]) for part, (x, units) in opened.items()}


def _require_task(number, tasks):
    require(1 <= number <= tasks, f"There is no task {number}: {tasks} tasks are planned.")


def _require_alike(plan, before):
    """Raises `InputError` unless the tasks before were planned alike."""
    for name, value in vars(plan).items() if before else ():
        known = getattr(before, name)
        require(
            known == value,
            f"The tasks before were planned with the {name} {known}, and this one is with {value}.",
        )
