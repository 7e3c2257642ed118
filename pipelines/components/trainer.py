"""Trainer: one task of the stream, from the model of the task before.

    saved_models/1 ... t    the exported models of all tasks so far, as `keras_cl.evaluate` reads them
    checkpoints/task_00t    variables of the model, the method and the optimizer: where the next task begins
    results.json            one record for the untrained model and one per task: sizes, seconds, epochs
    config.json             settings, hyperparameters, versions, devices; the identifier of the run

What is done is what `keras_cl.main` does with the same settings, so the weights are the same bit for bit.
Only accuracies are not measured here: the Evaluator measures them from the exported model.
"""

import hashlib
import json
import pathlib

from keras_cl.errors import require
from keras_cl.runs.files import as_json, read_json
from keras_cl.settings.config import digest
from pipelines.artifacts import history_of, linked, produced, read_record
from pipelines.settings import PROGRAM, config_of

CONFIG, RESULTS, MODELS = "config.json", "results.json", "saved_models"
BEST = "best.json"  # of the Hyperparameters


def trainer(settings, number, examples, previous, hyperparameters, model, code=""):
    """Trains the model on one task.

    Args:
      settings: the settings as text, see `pipelines.settings.text_of`.
      number: the task, from 1.
      examples: Examples with this task and all before it.
      previous: the Model after the task before; "" for the first task.
      hyperparameters: Hyperparameters that replace settings from this task on; "" for those of `previous`.
      model: folder of the new Model.
      code: digest of the code.

    Raises:
      Diverged: if the loss or the weights are no longer finite.
      InputError: if the examples or the previous model are not those that the task needs.
    """
    inputs = {"examples": examples, "previous": previous, "hyperparameters": hyperparameters}
    with produced(
        "Trainer", {"model": model}, inputs, code=code, number=number, settings=json.loads(settings)
    ):
        before = _before(previous, number)
        chosen = {**before.get("hyperparameters", {}), **chosen_values(hyperparameters)}
        config = config_of(settings)
        _require_same_settings(before, config)
        facts = {
            "run": before.get("run") or _identifier(config, examples),
            "task": number,
            "base": config.settings,  # without hyperparameters
            "hyperparameters": chosen,
        }
        _train(configured(config, chosen), facts, before, examples, previous, pathlib.Path(model))


def configured(config, values):
    """`config` with its settings and options replaced by `{flag: value}`."""
    from tuning import space

    values = {flag: tuple(value) if isinstance(value, list) else value for flag, value in values.items()}
    return space.configured(config, values)


def chosen_values(hyperparameters):
    """`{flag: value}` of Hyperparameters, {} without any."""
    return read_json(pathlib.Path(hyperparameters) / BEST) if hyperparameters else {}


def _before(previous, number):
    """The dict in the config.json of the previous model, {} before the first task."""
    if not previous:
        require(number == 1, f"Task {number} needs the model after task {number - 1}, and none was given.")
        return {}
    before = read_json(pathlib.Path(previous) / CONFIG)
    require(
        before["task"] == number - 1,
        f"Task {number} needs the model after task {number - 1}, and {previous} is that after task "
        f"{before['task']}.",
    )
    return before


def _require_same_settings(before, config):
    """Raises `InputError` if the previous model was trained with other settings than hyperparameters."""
    known, now = before.get("base"), json.loads(as_json(config.settings))
    differing = [
        f"--{name} was {known.get(name)}, now {now.get(name)}"
        for name in sorted({*(known or now), *now})
        if known and known.get(name) != now.get(name)
    ]
    require(
        not differing,
        f"The previous model was trained with other settings: {'; '.join(differing)}. Give these, or train "
        f"from the first task on.",
    )


def _identifier(config, examples):
    """Identifies the run: the settings, and the examples that it begins with."""
    content = [config.settings, read_record(examples)["digest"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _train(config, facts, before, examples, previous, model):
    """Trains the task of the `facts`, and writes all files of the Model."""
    from keras_cl.devices import device

    device.prepare(config.device, quiet=not config.verbosity)
    from keras_cl.learning.progress import shown_by
    from keras_cl.runs.console import Display
    from keras_cl.runs.directory import RunDirectory
    from keras_cl.runs.exports import Exports
    from keras_cl.runs.hardware import moved
    from keras_cl.runs.learn import Run
    from keras_cl.runs.plan import check, size
    from keras_cl.runs.provenance import about
    from keras_cl.runs.results import Results
    from keras_cl.settings.build import make_model
    from pipelines.examples.recorded import stream_of

    display, stream, directory = Display(), stream_of(examples), RunDirectory(model)
    number = facts["task"]
    _require_planned(config, stream, number)
    task = stream[number - 1]
    network = make_model(config, stream, config.seeds[0])
    facts = {**about(), **facts, "settings": config.settings}
    directory.write_json(CONFIG, facts | {"devices": before.get("devices") or facts["devices"]})
    if told := moved(directory, config.device):
        display.say(told)
    check(network, stream, config, [task])
    if previous:
        linked(pathlib.Path(previous, MODELS), model / MODELS)
    results = Results(read_json(pathlib.Path(previous, RESULTS))["records"] if previous else ())
    exports = Exports(model / MODELS, _description(config, facts, examples), directory.identity)
    run = Run(network, config, results, directory, exports, keep="last", measured=False)
    _restore(run, stream, number, before, previous)
    with display.training(size(network, [task], config)) as progress, shown_by(progress, network):
        record = run.learn(task, progress)
    told = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in record["report"].items())
    display.say(f"task {number} learned in {record['seconds']:.1f} s{told}")
    directory.write_json(RESULTS, {"records": results.records})


def _require_planned(config, stream, number):
    """Raises `InputError` unless the examples are planned as the settings say, and have this task."""
    planned, wanted = (len(stream), stream.scenario), (config.tasks, config.scenario)
    require(
        planned == wanted,
        f"The examples are of {planned[0]} tasks in the {planned[1]}-incremental scenario, and the settings "
        f"of {wanted[0]} in the {wanted[1]}-incremental one.",
    )
    require(1 <= number <= len(stream), f"There is no task {number}: the stream has {len(stream)} tasks.")


def _description(config, facts, examples):
    """What the task.json of an exported model says of its run; the hash is that of the whole run."""
    seed = config.seeds[0]
    described = {"run": config.name, "method": config.name_of("method"), "seed": seed}
    settings = config.settings_of(seed)
    if any(record["settings"].get("folder") for record in history_of(examples).values()):
        settings["program"] = PROGRAM  # the settings do not say which examples arrived as files
    return {**described, "settings_hash": digest(facts["base"]), "settings": settings}


def _restore(run, stream, number, before, previous):
    """Leaves the model of the `Run` as it was after the task before."""
    if not previous:
        run.begin(stream)
        return
    from keras_cl.runs.directory import RunDirectory

    folder = RunDirectory(previous).kept_folder(number - 1, f"Task {number}")
    run.model.restore(stream, number - 1, lambda: run.checkpoints.read(folder))
    if run.plan.learning_rate != before["settings"]["learning_rate"]:  # the checkpoint has the earlier one
        run.model.optimizer.learning_rate = run.plan.learning_rate
