"""Small components that stand for those of the line: graph, cache, faults and messages without any training.

`write(folder)` leaves a package `pipelines` that comes before the library's on PYTHONPATH. Every call is
written to calls.txt, and faults.json says which component of which task fails, and how.
"""

import json
import os
import pathlib
import signal
import time

NAMES = (
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "tuner",
    "trainer",
    "evaluator",
    "model_validator",
    "infra_validator",
    "pusher",
)
BLESSED = {"blessed": True, "reasons": []}


def write(folder):
    """Writes the package; returns what PYTHONPATH has to be."""
    components = folder / "pipelines" / "components"
    components.mkdir(parents=True)
    for package in (components.parent, components):
        path = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
        (package / "__init__.py").write_text(path)
    for name in NAMES:
        (components / f"{name}.py").write_text(f"from stand_ins import {name}\n")
    (folder / "calls.txt").touch()
    fail(folder)
    return os.pathsep.join([str(folder), str(pathlib.Path(__file__).parent)])


def fail(folder, **faults):
    """Sets the faults, `{component: (task, "error", "bug", "hang", "kill" or "unblessed")}`."""
    (folder / "faults.json").write_text(json.dumps(faults))


def calls(folder):
    """The calls since the last look, `[(component, task)]`."""
    lines = (folder / "calls.txt").read_text().split("\n")[:-1]
    (folder / "calls.txt").write_text("")
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def _made(component, folder, inputs, code, files, previous=""):
    """Writes an artifact; `files` is called with the number of the task."""
    import pipelines
    from keras_cl.errors import InputError
    from pipelines.artifacts import produced

    number = max([_task(artifact) for artifact in inputs.values() if artifact], default=0)
    number += component in ("example_gen",)
    place = pathlib.Path(pipelines.__path__[0]).parent
    with open(place / "calls.txt", "a") as file:
        file.write(f"{component} {number}\n")
    task, fault = json.loads((place / "faults.json").read_text()).get(component, (0, ""))
    fault = fault if task == number else ""
    with produced(component, {folder.rpartition("/")[2]: folder}, inputs, code=code):
        for name, content in {"task.json": {"task": number}, **files(number, fault)}.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (pathlib.Path(folder) / name).write_text(text)
        if fault == "error":
            raise InputError("The images are upside down.")
        if fault == "bug":
            raise ValueError("nobody thought of this")
        if fault == "hang":
            (place / "hanging").write_text(str(os.getpid()))
            time.sleep(60)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def _task(artifact):
    return json.loads((pathlib.Path(artifact) / "task.json").read_text())["task"]


def _nothing(number, fault):
    return {}


def example_gen(settings, number, folder, previous, examples, code):
    from pipelines.settings import config_of

    inputs = {"previous": previous}
    _made("example_gen", examples, inputs, code, lambda n, f: {"stream.txt": config_of(settings).stream})


def statistics_gen(examples, previous, statistics, code):
    _made("statistics_gen", statistics, {"examples": examples, "previous": previous}, code, _nothing)


def schema_gen(statistics, previous, schema, code):
    _made("schema_gen", schema, {"statistics": statistics, "previous": previous}, code, _nothing)


def example_validator(statistics, schema, thresholds, anomalies, code):
    inputs = {"statistics": statistics, "schema": schema}
    _made("example_validator", anomalies, inputs, code, lambda n, f: {"thresholds.json": thresholds})


def tuner(settings, tune, examples, hyperparameters, code):
    _made("tuner", hyperparameters, {"examples": examples}, code, lambda n, f: {"best.json": tune})


def trainer(settings, number, examples, previous, hyperparameters, model, code):
    inputs = {"examples": examples, "previous": previous, "hyperparameters": hyperparameters}
    _made("trainer", model, inputs, code, _nothing)


def evaluator(settings, model, examples, previous, evaluation, code):
    def files(number, fault):
        head = ",".join(["after_tasks", *(f"task_{j + 1}" for j in range(number))])
        rows = [",".join([str(i), *("0.9" for _ in range(number))]) for i in range(1, number + 1)]
        matrix = "\n".join([head, "0" + "," * number, *rows, ""])
        return {"matrix.csv": matrix, "metrics.json": {"average_accuracy": 0.9, "forgetting": None}}

    inputs = {"model": model, "examples": examples, "previous": previous}
    _made("evaluator", evaluation, inputs, code, files)


def _blessing(number, fault):
    told = {"blessed": False, "reasons": ["Task 1 was forgotten."]} if fault == "unblessed" else BLESSED
    return {"blessing.json": {**told, "task": number, "last_blessed": number}}


def model_validator(evaluation, previous, thresholds, blessing, code):
    _made("model_validator", blessing, {"evaluation": evaluation, "previous": previous}, code, _blessing)


def infra_validator(model, examples, infra_blessing, code):
    inputs = {"model": model, "examples": examples}

    def files(number, fault):
        refused = {"blessed": False, "reasons": ["There was no memory."]} if fault == "unblessed" else BLESSED
        return {"infra_blessing.json": refused}

    _made("infra_validator", infra_blessing, inputs, code, files)


def pusher(model, blessing, infra_blessing, serving_dir, model_name, pushed, code):
    from keras_cl.runs import seals

    both = (blessing, "blessing.json"), (infra_blessing, "infra_blessing.json")
    found = [json.loads((pathlib.Path(folder) / name).read_text()) for folder, name in both]
    told = {name: found[0][name] + found[1][name] for name in ("blessed", "reasons")}
    told["blessed"] = told["blessed"] == 2

    def files(number, fault):
        served = pathlib.Path(serving_dir, model_name, str(number))
        if told["blessed"]:
            served.mkdir(parents=True, exist_ok=True)
            (served / "model.txt").write_text(f"model {number}")
            seals.seal_all(served)
        facts = {"version": number, "path": str(served) if told["blessed"] else ""}
        return {"pushed.json": {"pushed": told["blessed"], **facts, "reasons": told["reasons"]}}

    inputs = {"model": model, "blessing": blessing, "infra_blessing": infra_blessing}
    _made("pusher", pushed, inputs, code, files)
