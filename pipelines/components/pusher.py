"""Pusher: a blessed model becomes a version that is served, whole or not at all.

    <serving_dir>/<model_name>/<task>/   the SavedModel after the task; evaluation.json, its accuracies; and
                                         lineage.json, its way back

A version that is served never changes. It is copied aside, into a hidden folder that no server takes for a
version, forced to disk, and renamed. A push that is killed leaves that folder at most, and the next one
removes it.
"""

import contextlib
import pathlib
import shutil
import time

from keras_cl.errors import InputError, require
from keras_cl.runs import seals
from keras_cl.runs.files import as_json, checksums, make_folder, read_json, sync, try_lock, written_aside
from pipelines import artifacts
from pipelines.artifacts import LINEAGE
from pipelines.settings import require_model_name

LOCK = ".lock"
EVALUATION = "evaluation.json"  # which `saved_model.read_description` of the library reads
PATIENCE = 60  # seconds that a push waits for another one


def pusher(model, blessing, infra_blessing, serving_dir, model_name, pushed, code):
    """Copies the SavedModel of a task to where it is served, if it was blessed and validated.

    Args:
      model: Model artifact, whose `saved_models/<task>` is pushed.
      blessing: Blessing artifact of that model, from the ModelValidator.
      infra_blessing: InfraBlessing artifact of that model, from the InfraValidator.
      serving_dir: folder of the models that are served.
      model_name: folder below it, the name by which clients ask for the model.
      pushed: folder of the Pushed artifact: `pushed.json` with `pushed`, `version`, `path` and `reasons`.
      code: digest of the code, see `artifacts.code_version`.

    Raises:
      InputError: if an input was edited, the artifacts are not about the same model, another model is
        served as this version, or the disk does not take it.
    """
    require(serving_dir, "serving_dir is missing: the folder of the models that are served.")
    require_model_name(model_name)
    inputs = {"model": model, "blessing": blessing, "infra_blessing": infra_blessing}
    for name, folder in inputs.items():
        require(folder, f"{name} is missing: only a model with both blessings is pushed.")
    place = {"serving_dir": str(serving_dir), "model_name": model_name}
    with (
        artifacts.produced("Pusher", {"pushed": pushed}, inputs, code=code, **place) as read,
        _file_errors(pathlib.Path(serving_dir, model_name)),
    ):
        task, reasons, accuracies = _judged(inputs, read["model"]["id"])
        served = pathlib.Path(serving_dir, model_name, str(task))
        if not reasons:
            record = {"component": "Pusher", "settings": place, "code": code, "inputs": read}
            added = {EVALUATION: as_json({"accuracies": accuracies})}
            _push(pathlib.Path(model, "saved_models", str(task)), served, record, inputs.values(), added)
        told = {"pushed": not reasons, "version": task, "path": "" if reasons else str(served)}
        pathlib.Path(pushed, "pushed.json").write_text(as_json({**told, "reasons": reasons}))


def _judged(inputs, model):
    """The task that the three artifacts are about, the reasons not to push its model, and its accuracies."""
    found, reasons = {}, []
    for name, file in (("blessing", "blessing.json"), ("infra_blessing", "infra_blessing.json")):
        path = pathlib.Path(inputs[name], file)
        require(path.is_file(), f"{inputs[name]} is no {name}: it has no {file}.")
        told = found[name] = read_json(path)
        require(
            model in artifacts.history_of(inputs[name]),
            f"The {name} {inputs[name]} is not about {inputs['model']}: it was made of another model.",
        )
        if told.get("blessed") is not True:
            reasons += told.get("reasons") or [f"The {name} {inputs[name]} gives no reason."]
    task, other = (told.get("task") for told in found.values())
    versions = pathlib.Path(inputs["model"], "saved_models")
    newest = max((int(entry.name) for entry in versions.glob("*") if entry.name.isdigit()), default=0)
    require(
        task == other == newest,
        f"The artifacts are about different tasks: the model about task {newest}, the blessing about task "
        f"{task}, the infra_blessing about task {other}.",
    )
    version = versions / str(task)
    require(
        seals.read_seal(version)
        and not artifacts.differing(version)
        and read_json(version / "task.json").get("task") == task,
        f"{version} is not the whole model of task {task}.",
    )
    return task, reasons, found["blessing"].get("accuracies")


def _push(version, served, record, inputs, added):
    """Copies the folder of a model, with files `{name: text}` added, unless that model is already there."""
    digest = _digest(version)
    make_folder(served.parent)
    with _alone(served.parent):
        for leftover in served.parent.glob(".*.aside"):
            shutil.rmtree(leftover)
        if not served.is_symlink() and not served.exists():
            with written_aside(served) as aside:
                lineage = as_json(_lineage(record, digest, served, inputs))
                _copy(version, aside, {**added, LINEAGE: lineage})
            return
        require(
            seals.read_seal(served) is not None and not artifacts.differing(served),
            f"{served} was edited, or was never pushed, and a version that is served never changes: remove "
            f"it, or give another model_name.",
        )
        require(
            _digest(served) == digest,
            f"{served} already holds another model, and a version that is served never changes: give another "
            f"model_name.",
        )
        sync(served.parent)  # a push that was killed may have renamed it a moment ago


def _digest(version):
    """The digest of an exported model from its seal, without what a push adds to it."""
    return artifacts.digest_of_files(seals.read_seal(version)["files"], without=(LINEAGE, EVALUATION))


def _lineage(record, digest, served, inputs):
    """The dict in lineage.json: the record of the served model, and those of all that it was made of."""
    history = {}
    for folder in inputs:
        history |= artifacts.history_of(folder)
    record = {"artifact": "served", "digest": digest, **record, "path": str(served.absolute())}
    moment = artifacts.now()
    return {
        "record": {**record, "id": artifacts.identity(record), "began": moment, "time": moment},
        "history": history,
    }


def _copy(version, aside, added):
    """Copies a model with its seal, to which files are added; the copy belongs to whoever pushes."""
    done = seals.read_seal(version)
    for name in done["files"]:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(version / name, aside / name)
    require(checksums(aside, done["files"]) == done["files"], f"{version} changed while it was copied.")
    for name, text in added.items():
        (aside / name).write_text(text)
    facts = {name: value for name, value in done.items() if name != "files"}
    seals.seal(aside, [*done["files"], *added], **facts)


@contextlib.contextmanager
def _alone(folder):
    """Waits until no other process pushes to a folder; the system ends the wait when that process ends."""
    with open(folder / LOCK, "a") as file:
        began = time.monotonic()
        while not try_lock(file):
            require(
                time.monotonic() - began < PATIENCE,
                f"Another process has been pushing to {folder} for {PATIENCE} seconds; push again later.",
            )
            time.sleep(0.02)
        yield


@contextlib.contextmanager
def _file_errors(served):
    """Converts the errors of a full or unwritable disk to one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"Pushing to {served} failed: {artifacts.reason_of(error)}. "
            f"What was served before still is; push again."
        ) from error
