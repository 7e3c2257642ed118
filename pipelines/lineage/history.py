"""Histories: which artifacts were made of which, read from a served model, an artifact or the index."""

import dataclasses
import functools
import graphlib
import json
import pathlib

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.runs import seals
from keras_cl.runs.files import read_json
from pipelines import artifacts
from pipelines.artifacts import LINEAGE
from pipelines.lineage import store


@dataclasses.dataclass(frozen=True)
class History:
    """Artifacts and what each was made of.

    Attributes:
      start: id of the artifact that was asked for.
      records: `{id: record}`, that of `start` among them; what an artifact was made of comes before it.
      tasks: `{id: number}` of the newest task that an artifact is about; 0 where that is not known.
      forward: whether they were made of `start`; else `start` was made of them.
      edits: `{id: [names of files]}` of the artifacts that are not as they were made.
      missing: ids of the artifacts that are not where they were made.
    """

    start: str
    records: dict
    tasks: dict
    forward: bool = False
    edits: dict = dataclasses.field(default_factory=dict)
    missing: frozenset = frozenset()

    @functools.cached_property
    def edges(self):
        """`[(input, name, id)]`: the first is the input `name` of the second; both are in `records`."""
        return [
            (one["id"], name, record["id"])
            for record in self.records.values()
            for name, one in record["inputs"].items()
            if one["id"] in self.records
        ]


def read(target, root="", forward=False, verify=True):
    """The history of a served model or an artifact.

    Args:
      target: folder of a served version, of served versions (the newest is meant), of an artifact or in it;
        or the id or the digest of an artifact, or its beginning.
      root: pipeline root with the index, for an id or a digest, for `forward` (by default that in which the
        artifact lies), and for artifacts that were moved.
      forward: what was made of the artifact, instead of what it was made of.
      verify: whether the files of all artifacts are read, to find those that were edited.

    Raises:
      InputError: if there is no such artifact, or its records are damaged.
    """
    found = _found(target, root, forward)
    edits = {key: _edited(record, verify) for key, record in found.records.items()}
    missing = frozenset(key for key, record in found.records.items() if not _is_here(record))
    return dataclasses.replace(
        found, edits={k: names for k, names in edits.items() if names}, missing=missing
    )


def _found(target, root, forward):
    place = _place(pathlib.Path(target))
    record = None if place else store.find(_scanned(root, target), target)
    if record and record["removed"]:
        history = store.ancestors(root, record["id"])
    else:
        place = place or pathlib.Path(record["path"])
        record, history = _served(place) if (place / LINEAGE).is_file() else _recorded(place)
    if not forward:
        return _whole(record["id"], _placed({**history, record["id"]: record}, root))
    if record["artifact"] == "served":  # what was made of the model that is served
        record = history[record["inputs"]["model"]["id"]]
    root = _scanned(root or _root_of(pathlib.Path(record["path"])), target)
    key = store.find(root, record["id"])["id"]
    return _ordered(key, [key, *store.descendants(root, key)], store.everything(root), forward=True)


def _place(path):
    """The folder with the records that a path means; None if it is no path of a file."""
    path = path.absolute()
    if path.is_dir() and not (path / artifacts.RECORD).is_file():
        versions = [entry for entry in path.iterdir() if entry.name.isdigit() and (entry / LINEAGE).is_file()]
        if versions:
            return max(versions, key=lambda entry: int(entry.name))
    if path.exists():
        for place in (path, *path.parents):
            if any((place / name).is_file() for name in (artifacts.RECORD, LINEAGE)):
                return place
        inside = [entry.parent for entry in path.glob("*/*") if entry.name.isdigit()]
        near = f" Did you mean {inside[0]}?" if inside else ""
        raise InputError(f"{path} is neither a served model with a {LINEAGE} nor an artifact.{near}")
    return None


def _root_of(place):
    """The nearest folder above one that has an index; "" if none has."""
    return next((folder for folder in place.parents if (folder / store.INDEX).is_file()), "")


def _scanned(root, target):
    """The pipeline root, with its index of this moment."""
    path = pathlib.Path(target)
    is_path = path.exists() or not str(target).isalnum()
    near = did_you_mean(path.name, [entry.name for entry in path.parent.glob("*")])
    require(root or path.exists() or not is_path, f"There is no {target}.{near}")
    advice = "for an id or a digest give --pipeline_root, the folder of all artifacts"
    require(root, f"{target} is no artifact; {advice}.{'' if is_path else near}")
    store.refresh(root)
    return root


def _placed(records, root):
    """Records with the places where the artifacts are now, if they lie in a pipeline root that was moved."""
    if not root:
        return records
    store.refresh(root)
    places = {key: one["path"] for key, one in store.everything(root).items() if not one["removed"]}
    return {key: {**record, "path": places.get(key, record["path"])} for key, record in records.items()}


def _whole(key, records):
    """The history of an artifact; the record of every input must be there."""
    lost = {one["id"] for record in records.values() for one in record["inputs"].values()} - records.keys()
    require(not lost, f"The records of {', '.join(sorted(lost))[:70]} are missing in the history of {key}.")
    return _ordered(key, records, records)


def _ordered(start, keys, known, forward=False):
    """The history of some of the artifacts whose records are known, in order and with their tasks."""
    keys, tasks = set(keys), {}
    inputs = {key: [one["id"] for one in record["inputs"].values()] for key, record in known.items()}
    try:
        order = [key for key in graphlib.TopologicalSorter(inputs).static_order() if key in known]
    except graphlib.CycleError:
        raise InputError(f"The records in the history of {start} are damaged: they go in a circle.") from None
    for key in order:
        own = known[key]["settings"].get("number")
        before = [tasks.get(one, 0) for one in inputs[key]]
        tasks[key] = max([own if isinstance(own, int) else 0, *before])
    records = {key: known[key] for key in order if key in keys}
    return History(start, records, {key: tasks[key] for key in records}, forward)


def _recorded(place):
    """The record of an artifact where it lies now, and the records of all that it was made of."""
    return {**artifacts.read_record(place), "path": str(place)}, artifacts.history_of(place)


def _served(place):
    """The record of a served model where it lies now, and the records of all that it was made of."""
    path = place / LINEAGE
    try:
        told = read_json(path)
    except (OSError, ValueError):
        raise InputError(f"{path} is damaged.") from None
    history = told.get("history")
    known = isinstance(history, dict) and all(
        map(artifacts.is_record, [told.get("record"), *history.values()])
    )
    require(known, f"{path} is damaged: it has not the records of a history.")
    return {**told["record"], "path": str(place)}, history


def _is_here(record):
    folder = pathlib.Path(record["path"])
    if record["artifact"] == "served":
        return (folder / LINEAGE).is_file()
    try:
        return artifacts.read_record(folder)["component"] == record["component"]
    except InputError:
        return folder.is_dir()  # damaged, but here


def _edited(record, verify):
    """Names of the files of an artifact that are not as they were made, as far as they are here."""
    folder = pathlib.Path(record["path"])
    if artifacts.identity(record) != record["id"]:
        return ["its record"]
    if not verify or not _is_here(record):
        return []
    if seals.read_seal(folder) is None:
        return [seals.DONE]
    return (artifacts.differing if record["artifact"] == "served" else artifacts.edited)(folder)


def settings_of(record):
    """The settings of the run, a dict, and the other settings of an artifact."""
    others = dict(record["settings"])
    run = others.pop("settings", {})
    if isinstance(run, str):
        try:
            run = json.loads(run)
        except ValueError:
            run = {}
    run = run.get("settings", run) if isinstance(run, dict) else {}
    others |= {name: str(others[name]) for name in ("folder", "folder_sha256") if others.get(name)}
    return run, {name: value for name, value in others.items() if value not in ("", None, {}, [])}
