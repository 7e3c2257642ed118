"""Artifacts of a small production line, made without training: what components write, with real records."""

import json

from keras_cl.runs import seals
from pipelines.artifacts import linked, produced

CODE = "c0de" * 16
THRESHOLDS = {"min_accuracy": None, "max_forgetting": 0.1}
SETTINGS = json.dumps({"settings": {"method": "ewc", "stream": "split", "dataset": "digits", "tasks": 5}})


def examples(root, task, previous=None, text=""):
    """An Examples artifact of tasks 1 to `task`, as ExampleGen leaves them."""
    folder = root / f"task{task}" / "example-gen" / "examples"
    given = {"settings": SETTINGS, "number": task, "folder": ""}
    with produced("ExampleGen", {"examples": folder}, {"previous": previous}, code=CODE, **given):
        if previous:
            linked(previous, folder)
        (folder / f"task_{task:03d}").mkdir()
        (folder / f"task_{task:03d}" / "rows").write_text(f"rows of task {task}{text}")
    return folder


def model(root, task, read, previous=None, text=""):
    """A Model artifact with the exported models 1 to `task`."""
    folder = root / f"task{task}" / "trainer" / "model"
    inputs = {"examples": read, "previous": previous}
    with produced("Trainer", {"model": folder}, inputs, code=CODE, settings=SETTINGS, number=task):
        if previous:
            linked(previous, folder)
        version = folder / "saved_models" / str(task)
        (version / "variables").mkdir(parents=True)
        (version / "saved_model.pb").write_text(f"graph of task {task}{text}")
        (version / "variables" / "variables.index").write_text(f"weights of task {task}{text}")
        (version / "task.json").write_text(json.dumps({"task": task}))
        seals.seal_all(version, run="a run", task=task)
    return folder


def evaluation(root, task, of, read, previous=None):
    """An Evaluation artifact."""
    folder = root / f"task{task}" / "evaluator" / "evaluation"
    inputs = {"model": of, "examples": read, "previous": previous}
    with produced("Evaluator", {"evaluation": folder}, inputs, code=CODE, settings=SETTINGS):
        (folder / "matrix.csv").write_text(f"matrix after task {task}")
    return folder


def blessing(root, task, of, previous=None, blessed=True, about=None):
    """A Blessing artifact of the evaluation `of`."""
    folder = root / f"task{task}" / "model-validator" / "blessing"
    reasons = [] if blessed else ["Task 1 forgot 30 points; at most 10 are allowed."]
    told = {"blessed": blessed, "task": about or task, "reasons": reasons, "last_blessed": task - 1}
    inputs = {"evaluation": of, "previous": previous}
    with produced("ModelValidator", {"blessing": folder}, inputs, code=CODE, thresholds=THRESHOLDS):
        (folder / "blessing.json").write_text(json.dumps(told))
    return folder


def infra_blessing(root, task, of, read, blessed=True):
    """An InfraBlessing artifact of the model `of`."""
    folder = root / f"task{task}" / "infra-validator" / "infra_blessing"
    told = {"blessed": blessed, "task": task, "reasons": [] if blessed else ["The server did not answer."]}
    with produced("InfraValidator", {"infra_blessing": folder}, {"model": of, "examples": read}, code=CODE):
        (folder / "infra_blessing.json").write_text(json.dumps(told))
    return folder


def small(component, artifact, root, task, **inputs):
    """An artifact whose content is the same in every task, as a schema that does not change."""
    folder = root / f"task{task}" / component.lower() / artifact
    with produced(component, {artifact: folder}, inputs, code=CODE):
        (folder / f"{artifact}.pbtxt").write_text("unchanged")
    return folder


def line(root, tasks=2):
    """Artifacts of all tasks, `[{name: folder}]`, without the Pusher's."""
    made = []
    for task in range(1, tasks + 1):
        before = made[-1] if made else {}
        one = {"examples": examples(root, task, before.get("examples"))}
        one["statistics"] = small(
            "StatisticsGen",
            "statistics",
            root,
            task,
            examples=one["examples"],
            previous=before.get("statistics"),
        )
        one["schema"] = small(
            "SchemaGen", "schema", root, task, statistics=one["statistics"], previous=before.get("schema")
        )
        one["anomalies"] = small(
            "ExampleValidator", "anomalies", root, task, statistics=one["statistics"], schema=one["schema"]
        )
        one["model"] = model(root, task, one["examples"], before.get("model"))
        one["evaluation"] = evaluation(root, task, one["model"], one["examples"], before.get("evaluation"))
        one["blessing"] = blessing(root, task, one["evaluation"], before.get("blessing"))
        one["infra_blessing"] = infra_blessing(root, task, one["model"], one["examples"])
        made.append(one)
    return made
