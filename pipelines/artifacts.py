"""Artifacts: folders that components write, each with a record of what it was made of.

    <artifact>/artifact.json     component, inputs and their digests, settings, code version, times
    <artifact>/history.json.gz   the records of all artifacts that it was made of, back to the raw data
    <artifact>/DONE              the checksums of all files, the records among them

A component verifies its inputs before it reads them, and its outputs get their records when it succeeds. An
artifact without DONE is unfinished, and one whose files differ from DONE was edited; neither is ever read.

The digest of an artifact is that of its content. Artifacts of several tasks may have the same content (a
schema that did not change), so each also has an `id`: the digest of its content, component, settings, code
version and the ids of its inputs. Where it lies and when it was made are not in it, so the same work has the
same id everywhere, and an id vouches for the whole way back.
"""

import contextlib
import datetime
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import zlib

from keras_cl.errors import InputError, require
from keras_cl.runs import seals
from keras_cl.runs.files import as_json, checksums, make_folder, read_json, replace, sync

RECORD, HISTORY = "artifact.json", "history.json.gz"
LINEAGE = "lineage.json"  # in a served model: its record, and those of all that it was made of
BESIDE = (RECORD, HISTORY, seals.DONE)  # files that are no content
DECIDING = ("artifact", "component", "digest", "settings", "code")  # with the inputs, what an id is made of


@contextlib.contextmanager
def produced(component, outputs, inputs=None, *, code="", **settings):
    """Runs the body of a component: verified inputs, and outputs that are complete or are no artifacts.

    Args:
      component: TFX's name of the component, for example "Trainer".
      outputs: `{name: folder}`; the folders are made, emptied if an unfinished component left them.
      inputs: `{name: folder}` of the artifacts that it reads; None for one that there is not, as the model
        before the first task.
      code: digest of the code, see `code_version`.
      settings: what else decides the outputs; can be written as JSON.

    Yields:
      `{name: {"path", "digest", "id"}}` of the inputs, for their record; the body reads the inputs and writes
      the outputs.

    Raises:
      InputError: names an input that is unfinished, was edited, or changed meanwhile, or a link in an output;
        also if a file cannot be read or written, as on a full disk.
    """
    settings = json.loads(json.dumps(settings))  # what cannot be recorded fails before the work, not after it
    outputs = {name: pathlib.Path(folder).absolute() for name, folder in outputs.items()}
    with _file_errors(component):
        read, history = _read(inputs or {})
        stamps = {one["path"]: _stamps(one["path"]) for one in read.values()}
        began = now()
        for folder in outputs.values():
            if folder.exists():
                shutil.rmtree(folder)
            make_folder(folder)
        yield read
        _require_unchanged(stamps)
        made = {"component": component, "inputs": read, "settings": settings, "code": code, "began": began}
        _finish(outputs, made, history)


def verified(folder):
    """The digest of the content of an artifact.

    Raises:
      InputError: if it is missing, unfinished, or was edited since.
    """
    return verified_record(folder)["digest"]


def verified_record(folder):
    """The record of an artifact whose files are as recorded; raises `InputError` as `verified` does."""
    folder = pathlib.Path(folder)
    require(seals.read_seal(folder) is not None, f"The artifact {folder} is missing or unfinished.")
    changed = edited(folder)
    require(
        not changed,
        f"The artifact {folder} was edited: the digest of {', '.join(changed[:3])} is not the one recorded.",
    )
    return read_record(folder)


def edited(folder):
    """Names of the files of a finished artifact that were changed, added or removed since it was recorded."""
    names = differing(folder)
    if names:
        return names
    record, done = read_record(folder), seals.read_seal(folder)["files"]
    whole = record["digest"] == digest_of_files(done) and record["id"] == identity(record)
    return [] if whole else [RECORD]  # the seal was made again, but not the record


def differing(folder):
    """Names of the files that were changed, added or removed since the DONE of a folder was written."""
    done = seals.read_seal(folder)["files"]
    found = {**dict.fromkeys(done), **_sums(folder, beside=(seals.DONE,))}
    return sorted(name for name in found if found[name] != done.get(name))


def read_record(folder):
    """The dict in the artifact.json of a folder.

    Raises:
      InputError: if there is none.
    """
    try:
        record = read_json(pathlib.Path(folder) / RECORD)
    except (OSError, ValueError):
        raise InputError(f"{folder} is no artifact: it has no readable {RECORD}.") from None
    require(is_record(record), f"The {RECORD} in {folder} is damaged.")
    return record


def is_record(found):
    """Whether something that was read is a record, with all that an id is made of."""
    texts = ("artifact", "component", "digest", "code", "path", "id", "began", "time")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in texts):
        return False
    return (
        _is_time(found["began"])
        and _is_time(found["time"])
        and isinstance(found.get("settings"), dict)
        and isinstance(found.get("inputs"), dict)
        and all(map(_is_input, found["inputs"].values()))
    )


def _is_input(found):
    return isinstance(found, dict) and all(
        isinstance(found.get(name), str) for name in ("path", "digest", "id")
    )


def _is_time(text):
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def history_of(folder):
    """`{id: record}` of an artifact and of all that it was made of.

    Raises:
      InputError: if the records cannot be read.
    """
    record, path = read_record(folder), pathlib.Path(folder) / HISTORY
    try:
        history = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, ValueError, EOFError, zlib.error):
        raise InputError(f"{path}, the records of what {folder} was made of, is damaged.") from None
    return {**history, record["id"]: record}


def identity(record):
    """The id of an artifact, from its record."""
    inputs = {name: one["id"] for name, one in record["inputs"].items()}
    return _digest({**{name: record[name] for name in DECIDING}, "inputs": inputs})


def digest_of(folder):
    """SHA-256 of the names and contents of all files of a folder, without the records."""
    return digest_of_files(_sums(folder))


def digest_of_files(sums, without=BESIDE):
    """The digest of a folder from the checksums of its files, as in its DONE."""
    return _digest({name: value for name, value in sums.items() if name not in without})


def now():
    """The time, as records have it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def code_version():
    """Digest of the code that decides results: this library's sources and the versions of what it runs on."""
    from importlib import metadata

    root = pathlib.Path(__file__).resolve().parents[1]
    files = sorted(
        file for part in ("keras_cl", "pipelines", "tuning") for file in (root / part).rglob("*.py")
    )
    versions = {name: metadata.version(name) for name in ("tensorflow", "tf_keras", "numpy")}
    return _digest({**checksums(root, [str(file.relative_to(root)) for file in files]), **versions})


def linked(source, target):
    """A copy of a folder whose files share the disk space of the source where the disk allows it.

    Its records and seal are left out, because the copy becomes part of another artifact. A file that is
    edited in place is edited in all artifacts that share it, and `verified` refuses each of them.
    """
    top = str(source)

    def skipped(folder, names):
        return set(BESIDE) if folder == top else set()

    shutil.copytree(top, target, copy_function=_link, ignore=skipped, dirs_exist_ok=True)


def _read(inputs):
    """What a record says of the inputs, and the records of all that they were made of."""
    read, history = {}, {}
    for name, folder in inputs.items():
        if folder:
            record = verified_record(folder)
            path = str(pathlib.Path(folder).absolute())
            read[name] = {"path": path, "digest": record["digest"], "id": record["id"]}
            history |= history_of(folder)
    return read, history


@contextlib.contextmanager
def _file_errors(component):
    """Converts the errors of a full or unwritable disk to one sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{component} could not read or write its files: {reason_of(error)}.") from error


def reason_of(error):
    """What an `OSError` says, with the file; of a copy, the one that is written."""
    if isinstance(error, shutil.Error):  # of several files of a folder
        _, target, reason = error.args[0][0]
        return f"{reason.partition('] ')[2].partition(': ')[0] or reason} ({target})"
    name = error.filename2 or error.filename
    return f"{error.strerror or error}{f' ({name})' if name else ''}"


def _require_unchanged(stamps):
    """Raises `InputError` if an input, `{path: stamps}`, changed meanwhile."""
    for path, before in stamps.items():
        after = _stamps(path)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        require(not names, f"The artifact {path} changed while it was read: {', '.join(names[:3])}.")


def _finish(outputs, made, history):
    """Writes the records of the outputs, and when all of them are on disk, their seals."""
    sums = {}
    for name, folder in outputs.items():
        content = _sums(folder)
        record = {"artifact": name, "digest": digest_of_files(content), **made, "path": str(folder)}
        record |= {"id": identity(record), "time": now()}
        (folder / RECORD).write_text(as_json(record))
        (folder / HISTORY).write_bytes(gzip.compress(json.dumps(history).encode(), mtime=0))
        for entry in (*folder.rglob("*"), folder):
            sync(entry)
        sums[folder] = content | checksums(folder, [RECORD, HISTORY])
    for folder, files in sums.items():
        replace(folder / seals.DONE, as_json({"files": files}))


def _sums(folder, beside=BESIDE):
    """`{name: SHA-256}` of the files of a folder, without those of the names `beside` at its top."""
    folder = pathlib.Path(folder)
    entries = [entry for entry in sorted(folder.rglob("*")) if entry.is_symlink() or not entry.is_dir()]
    for entry in entries:
        require(not entry.is_symlink(), f"{entry} is a link; an artifact holds its files itself.")
    names = [entry.relative_to(folder).as_posix() for entry in entries]
    return checksums(folder, [name for name in names if name not in beside])


def _stamps(folder):
    """`{name: ...}`, by which a file that was written to differs; linking it elsewhere changes nothing."""
    entries = [entry for entry in pathlib.Path(folder).rglob("*") if not entry.is_dir()]
    stats = {str(entry.relative_to(folder)): entry.stat() for entry in entries}
    return {name: (one.st_ino, one.st_size, one.st_mtime_ns) for name, one in stats.items()}


def _link(source, target):
    try:
        os.link(source, target)
    except FileExistsError:  # copying would write into a file that another artifact may share
        raise
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
