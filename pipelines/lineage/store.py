"""The index of a pipeline root: which artifacts there are or were, and what each was made of, in SQLite.

    <root>/lineage.sqlite    artifacts (id, path, ..., removed), inputs (id, name, input)

The records in the artifacts are the truth. The index is made of them by a scan that can be repeated at any
time. It adds what the artifacts do not know themselves: what was made of them, and which were removed since.
"""

import contextlib
import json
import os
import pathlib
import re
import sqlite3

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.runs import seals
from pipelines import artifacts

INDEX = "lineage.sqlite"
PATIENCE = 60  # seconds that a scan waits for another one

TABLES = """
CREATE TABLE IF NOT EXISTS artifacts (
    id TEXT NOT NULL,
    path TEXT NOT NULL,
    artifact TEXT NOT NULL,
    component TEXT NOT NULL,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    settings TEXT NOT NULL,
    time TEXT NOT NULL,
    removed TEXT NOT NULL DEFAULT '',
    record TEXT NOT NULL,
    PRIMARY KEY (id, path)
);
CREATE TABLE IF NOT EXISTS inputs (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    input TEXT NOT NULL,
    PRIMARY KEY (id, name)
);
CREATE INDEX IF NOT EXISTS made_of ON inputs (input);
"""

# All ids that can be reached from one over `inputs`, from its inputs on or from what was made of it on.
REACHED = """
WITH RECURSIVE reached(id) AS (
    SELECT {there} FROM inputs WHERE {here} = :id
    UNION
    SELECT inputs.{there} FROM inputs JOIN reached ON inputs.{here} = reached.id
)
{records}
"""
RECORDS = "SELECT record, MIN(removed) FROM artifacts WHERE {meant} GROUP BY id ORDER BY time, id"


def refresh(root):
    """Indexes all finished artifacts below a pipeline root; marks those that are gone since.

    It can be repeated, and killed, at any time, and done by several processes at once.

    Args:
      root: folder of the pipeline, with artifacts at any depth.

    Returns:
      path of the index.

    Raises:
      InputError: if there is no such folder, or the index is damaged or cannot be written.
    """
    root = pathlib.Path(root)
    require(root.is_dir(), f"There is no pipeline root {root}.")
    with _opened(root, "rwc") as index:
        index.execute("BEGIN IMMEDIATE")  # scans come one after the other
        with index:
            for statement in TABLES.split(";"):
                index.execute(statement)
            found = dict(_finished(root.absolute()))
            known = {path for (path,) in index.execute("SELECT path FROM artifacts WHERE removed = ''")}
            for path in known - found.keys():
                values = (artifacts.now(), path)
                index.execute("UPDATE artifacts SET removed = ? WHERE path = ? AND removed = ''", values)
            for path, record in found.items():
                _add(index, path, record)
    return root / INDEX


def _finished(root):
    """Paths and records of the finished artifacts below a folder."""
    for place, folders, files in os.walk(root):
        folders.sort()
        if artifacts.RECORD in files:
            folders.clear()
            if seals.DONE in files:
                with contextlib.suppress(InputError):  # a damaged record; whoever reads the artifact is told
                    yield place, artifacts.read_record(place)


def _add(index, path, record):
    text = json.dumps({**record, "path": path})
    now = artifacts.now()
    index.execute(
        "UPDATE artifacts SET removed = ? WHERE path = ? AND id != ? AND removed = ''",
        (now, path, record["id"]),
    )
    names = ("id", "artifact", "component", "digest", "code", "time")
    values = {name: record[name] for name in names}
    values |= {"path": path, "settings": json.dumps(record["settings"]), "removed": "", "record": text}
    marks = ", ".join(f":{name}" for name in values)
    index.execute(f"INSERT OR REPLACE INTO artifacts ({', '.join(values)}) VALUES ({marks})", values)
    inputs = [(record["id"], name, one["id"]) for name, one in record["inputs"].items()]
    index.executemany("INSERT OR IGNORE INTO inputs VALUES (?, ?, ?)", inputs)


def ancestors(root, key):
    """`{id: record}` of all that an artifact was made of, the oldest first; `removed` is "" or a time.

    Args:
      root: folder of the pipeline, indexed by `refresh`.
      key: path of the artifact, its id or the digest of its content, or the beginning of one of these two.

    Raises:
      InputError: if no artifact, or more than one, is meant, with the nearest that is known.
    """
    return _reached(root, key, here="id", there="input")


def descendants(root, key):
    """`{id: record}` of all that was made of an artifact, the oldest first; as `ancestors`."""
    return _reached(root, key, here="input", there="id")


def everything(root):
    """`{id: record}` of all artifacts that there are or were, as `ancestors`."""
    with _opened(root, "ro") as index:
        return _records(index.execute(RECORDS.format(meant="TRUE")))


def find(root, key):
    """The record of an artifact, by `key` as `ancestors` takes it."""
    with _opened(root, "ro") as index:
        return _found(index, root, key)


def _reached(root, key, here, there):
    with _opened(root, "ro") as index:
        given = {"id": _found(index, root, key)["id"]}
        records = RECORDS.format(meant="id IN reached")
        return _records(index.execute(REACHED.format(here=here, there=there, records=records), given))


def _records(rows):
    """`{id: record}` of rows of JSON texts and of what they say about the removal."""
    records = [{**json.loads(text), "removed": removed} for text, removed in rows]
    return {record["id"]: record for record in records}


def _found(index, root, key):
    """The record of the one artifact that a key means."""
    path, begin = os.path.abspath(key), f"{key}%" if re.fullmatch("[0-9a-f]{6,64}", str(key)) else ""
    meant = "path = :path OR id LIKE :begin OR digest LIKE :begin"
    found = _records(index.execute(RECORDS.format(meant=meant), {"path": path, "begin": begin}))
    there = {key: record for key, record in found.items() if not record["removed"]} or found
    if len(there) == 1:
        return next(iter(there.values()))
    if there:
        named = ", ".join(f"{record['component']} {key[:12]}" for key, record in sorted(there.items()))
        raise InputError(f"{key} is that of several artifacts: {named}; give the id of one.")
    known = [value for row in index.execute("SELECT path, id FROM artifacts") for value in row]
    near = did_you_mean(path if os.sep in str(key) else key, known)
    raise InputError(f"There is no artifact {key} in {root}.{near}")


@contextlib.contextmanager
def _opened(root, mode):
    """A connection to the index of a pipeline root; its errors are one sentence."""
    path = pathlib.Path(root).absolute() / INDEX
    require(mode != "ro" or path.is_file(), f"There is no index {path}; pipelines.run makes it.")
    try:
        address = f"{path.as_uri()}?mode={mode}"
        with contextlib.closing(
            sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
        ) as index:
            yield index
    except sqlite3.OperationalError as error:
        raise InputError(f"The index {path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"The index {path} is damaged ({error}); remove it, and it is made again of the artifacts."
        ) from error
