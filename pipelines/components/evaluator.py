"""Evaluator: the accuracy of all models so far on all tasks so far, computed from the exported models.

    matrix.csv    the accuracy matrix `[T + 1, T]`, as `keras_cl.main` writes it; row 0 is empty
    slices.json   accuracy, rows and chance of each model on each task, and on each class of it
    metrics.json  the metrics of `keras_cl.metrics` over the tasks so far

Measured is what the evaluation before does not have: the new model on all tasks, and the earlier models on
the new task. So the matrix is complete after the last task, and equals that of `keras_cl.main`.
"""

import json
import pathlib

import numpy as np

from keras_cl import metrics
from keras_cl.errors import require
from keras_cl.runs.files import as_json, read_json
from pipelines.artifacts import produced
from pipelines.components.trainer import CONFIG, MODELS, RESULTS
from pipelines.settings import config_of

SLICES, MATRIX, METRICS = "slices.json", "matrix.csv", "metrics.json"


def evaluator(settings, model, examples, previous, evaluation, code=""):
    """Evaluates the models so far on the test rows of the tasks so far.

    Args:
      settings: the settings as text, see `pipelines.settings.text_of`.
      model: the Model after the newest task.
      examples: Examples of all tasks so far.
      previous: the Evaluation after the task before; "" to measure everything.
      evaluation: folder of the new Evaluation.
      code: digest of the code.

    Raises:
      InputError: if an exported model cannot be loaded, or `previous` is of another run.
    """
    inputs = {"model": model, "examples": examples, "previous": previous}
    with produced("Evaluator", {"evaluation": evaluation}, inputs, code=code, settings=json.loads(settings)):
        facts, known = read_json(pathlib.Path(model, CONFIG)), _known(previous)
        require(
            known["run"] in (None, facts["run"]),
            f"{previous} evaluates models of another run than {model}.",
        )
        models, stream = _measured(config_of(settings), pathlib.Path(model), examples, facts, known["models"])
        _write(pathlib.Path(evaluation), models, stream, facts)


def matrix_of(slices, tasks):
    """The accuracy matrix `[tasks + 1, tasks]` of slices.json; NaN for what is not measured."""
    R = np.full((tasks + 1, tasks), np.nan)
    for after, model in slices["models"].items():
        for number, found in model["tasks"].items():
            R[int(after), int(number) - 1] = found["accuracy"]
    return R


def _known(previous):
    return read_json(pathlib.Path(previous, SLICES)) if previous else {"run": None, "models": {}}


def _measured(config, model, examples, facts, known):
    """`{model: slices}` of all models so far, measured where `known` has nothing, and the stream."""
    from keras_cl.devices import device

    device.prepare(config.device, quiet=not config.verbosity)
    from keras_cl.evaluate import require_one_run, signature_of
    from pipelines.examples.recorded import stream_of

    stream, newest = stream_of(examples), facts["task"]
    records = read_json(model / RESULTS)["records"]
    versions = [model / MODELS / str(number) for number in range(1, newest + 1)]
    require_one_run(versions)
    models = {}
    for number, version in enumerate(versions, 1):
        tasks = dict(known.get(str(number), {"tasks": {}})["tasks"])
        waits = not records[number]["epochs"]  # its method learns this task with a later one
        new = [task for task in stream[:newest] if str(task.number) not in tasks and not waits]
        new = [task for task in new if stream.answering(task.index, number) is not None]
        signature = signature_of(version, stream) if new else None
        tasks |= {str(task.number): _slices(signature, task, number) for task in new}
        models[str(number)] = {"tasks": tasks, "classes": _over_tasks(tasks)}
    return models, stream


def _slices(signature, task, after):
    """Accuracy, rows and chance of the model after some tasks on a task, and on each of its classes."""
    from keras_cl.evaluate import correct

    right = correct(signature, task)
    _, units = task.test.open()
    labels = task.stream.labels[task.index][units]
    classes = {str(label): _counted(right[labels == label]) for label in np.unique(labels)}
    return {**_counted(right), "chance": _chance(task, labels, after), "classes": classes}


def _counted(right):
    return {"accuracy": float(np.mean(right)), "rows": len(right)}


def _chance(task, labels, after):
    """Accuracy without looking at the images: that of the most frequent class of the task; for a task of one
    class, that of a guess among the classes that can be predicted."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) > 1:
        return float(counts.max() / counts.sum())
    return float(1 / task.stream.answering(task.index, after).sum())


def _over_tasks(tasks):
    """Accuracy and rows of each class over the tasks that have it."""
    found = {}
    for task in tasks.values():
        for label, one in task["classes"].items():
            found.setdefault(label, []).append(one)
    return {label: _joined(found[label]) for label in sorted(found, key=int)}


def _joined(parts):
    rows = sum(part["rows"] for part in parts)
    right = sum(round(part["accuracy"] * part["rows"]) for part in parts)
    return {"accuracy": right / rows, "rows": rows}


def _write(folder, models, stream, facts):
    from keras_cl.runs.directory import matrix_csv

    newest = facts["task"]
    slices = {"run": facts["run"], "task": newest, "scenario": stream.scenario, "models": models}
    R = matrix_of(slices, len(stream))
    (folder / SLICES).write_text(as_json(slices))
    (folder / MATRIX).write_text(matrix_csv(R))
    (folder / METRICS).write_text(as_json(metrics.summary(R[: newest + 1, :newest])))
