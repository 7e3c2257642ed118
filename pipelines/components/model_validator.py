"""ModelValidator: whether a model may be served, by thresholds on its accuracies.

It reads the Evaluation and the Blessing before it alone. A number that is missing is never a blessing.
"""

import json
import math
import pathlib

from keras_cl.errors import pick, require
from keras_cl.runs.files import as_json, read_json
from pipelines.artifacts import produced
from pipelines.components.evaluator import SLICES

BLESSING = "blessing.json"
THRESHOLDS = {  # None is off
    "min_accuracy": None,
    "min_above_chance": 0.2,
    "max_forgetting": 0.1,
    "max_regression": 0.05,
}
MEANINGS = {
    "min_accuracy": "least accuracy on the new task",
    "min_above_chance": "least part of the way from chance to 1 that the accuracy on the new task has come; "
    "chance is the share of the most frequent class in the test rows of the task, and for a task of one "
    "class a guess among the classes that can be predicted",
    "max_forgetting": "largest loss of accuracy on an earlier task since the best model that had learned it",
    "max_regression": "largest loss of accuracy on any task since the last blessed model",
}


def model_validator(evaluation, previous, thresholds, blessing, code=""):
    """Blesses the newest model of an evaluation, or says why not.

    Args:
      evaluation: the Evaluation after the newest task.
      previous: the Blessing after the task before; "" for the first task.
      thresholds: JSON text that replaces some of `THRESHOLDS`; null is off; "" for none.
      blessing: folder of the Blessing.
      code: digest of the code.

    Raises:
      InputError: if a threshold is unknown, or is no number from 0 to 1.
    """
    limits = limits_of(thresholds)
    inputs = {"evaluation": evaluation, "previous": previous}
    with produced("ModelValidator", {"blessing": blessing}, inputs, code=code, thresholds=limits):
        slices = read_json(pathlib.Path(evaluation, SLICES))
        before = read_json(pathlib.Path(previous, BLESSING)) if previous else {"task": 0, "last_blessed": 0}
        task, last = slices["task"], before["last_blessed"]
        require(
            before["task"] == task - 1 or not previous,
            f"{evaluation} is that after task {task}, and {previous} the blessing after task "
            f"{before['task']}.",
        )
        failed, passed = judged(slices["models"], task, last, limits)
        content = {
            "blessed": not failed,
            "task": task,
            "reasons": failed or passed,
            "last_blessed": last if failed else task,
            "compared_with": last,
            "thresholds": limits,
            "accuracies": _row(slices["models"], task),
        }
        pathlib.Path(blessing, BLESSING).write_text(as_json(content))


def limits_of(thresholds):
    """All thresholds `{name: number or None}`, from the JSON text of those that are not the default."""
    try:
        given = json.loads(thresholds or "{}")
    except ValueError:
        given = None
    require(
        isinstance(given, dict), f"The thresholds of ModelValidator are {thresholds!r}; give a JSON object."
    )
    for name, value in given.items():
        pick("The threshold of ModelValidator", name, THRESHOLDS)
        usable = value is None or (type(value) in (int, float) and 0 <= value <= 1)
        require(
            usable,
            f"The threshold {name} is {value!r}; give a number from 0 to 1, or null for none.",
        )
    return {**THRESHOLDS, **given}


def judged(models, task, last, limits):
    """Sentences about what the model after `task` fails, and about what it passes.

    Args:
      models: the `models` of slices.json.
      task: number of the newest task.
      last: number of the last blessed model, 0 for none.
      limits: thresholds `{name: number or None}`.
    """
    missing = _missing(models, task, last, limits)
    if missing:
        return missing, []
    checks = [*_new_task(models, task, limits)]
    for number in range(1, task):
        checks += _forgotten(models, task, number, limits["max_forgetting"])
    for number in range(1, task + 1) if last else ():
        checks += _worse(models, task, last, number, limits["max_regression"])
    failed = [said for passes, said in checks if not passes]
    return failed, [said for passes, said in checks if passes] or ["No threshold is set."]


def _accuracy(models, after, number):
    """Accuracy of the model after some tasks on a task; None if it is missing or no fraction."""
    found = models.get(str(after), {}).get("tasks", {}).get(str(number), {})
    numbers = [found.get("accuracy"), found.get("chance")]
    right = all(isinstance(value, int | float) and 0 <= value <= 1 for value in numbers)
    return found["accuracy"] if right else None


def _row(models, task):
    """Accuracies of the model after some tasks on each of them, None where one is missing."""
    return [_accuracy(models, task, number) for number in range(1, task + 1)]


def _missing(models, task, last, limits):
    """Sentences about accuracies that the thresholds need and that there are not."""
    pairs = {(task, number) for number in range(1, task + 1)}
    if limits["max_forgetting"] is not None:
        pairs |= {(after, number) for number in range(1, task) for after in range(number, task)}
    if limits["max_regression"] is not None:
        pairs |= {(last, number) for number in range(1, last + 1)}
    return [
        f"The accuracy of model {after} on task {number} is missing."
        for after, number in sorted(pairs)
        if _accuracy(models, after, number) is None
    ]


def _new_task(models, task, limits):
    """Pairs (passes, sentence) about the accuracy on the new task."""
    now = _accuracy(models, task, task)
    chance = models[str(task)]["tasks"][str(task)]["chance"]
    said = f"The accuracy on task {task}, the new one, is {now:.4f}"
    if (least := limits["min_accuracy"]) is not None:
        yield now >= least, f"{said}; min_accuracy is {least:g}."
    if (part := limits["min_above_chance"]) is not None:
        least = chance + part * (1 - chance)
        yield (
            _at_least(now, least),
            f"{said} and chance {chance:.4f}; with min_above_chance {part:g} at least {least:.4f} is needed.",
        )


def _forgotten(models, task, number, most):
    """Pairs (passes, sentence) about the forgetting of an earlier task."""
    if most is None:
        return
    best, model = max((_accuracy(models, after, number), -after) for after in range(number, task))
    now = _accuracy(models, task, number)
    yield (
        _at_least(most, best - now),
        f"The accuracy on task {number} is {now:.4f}, after {best:.4f} with model {-model}: the forgetting "
        f"is {best - now:.4f}; max_forgetting is {most:g}.",
    )


def _worse(models, task, last, number, most):
    """Pairs (passes, sentence) about the comparison with the last blessed model on a task."""
    before, now = _accuracy(models, last, number), _accuracy(models, task, number)
    if most is None or before is None:  # classes that the last blessed model cannot predict
        return
    yield (
        _at_least(most, before - now),
        f"The accuracy on task {number} is {now:.4f}, and that of model {last}, the last blessed one, "
        f"{before:.4f}: the regression is {before - now:.4f}; max_regression is {most:g}.",
    )


def _at_least(value, least):
    """Whether `value >= least`, up to the rounding of differences."""
    return value >= least or math.isclose(value, least, rel_tol=0, abs_tol=1e-9)
