"""Records of trials, one file each, from which a stopped search resumes.

Keras Tuner's own resuming loses the position in a grid and the random state of a Bayesian search. Here a
search always starts again. Its tuner is a function of the seed and asks for the same configurations in the
same order; those that were tried are looked up in these files.
"""

import hashlib
import json
import math
import os
import pathlib

from keras_cl.errors import require

KINDS = {"values": dict, "status": str, "numbers": dict, "seconds": (int, float), "message": str}


class Journal:
    """The records of a search.

    Args:
      folder: folder of the files; processes that share it share the records.

    A record is a dict with the `values` `{flag: value}` and the `budget` that were tried, a `status`,
    "completed" or "failed", the measured `numbers`, the `seconds` it took and the `message` of a failure.
    """

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)

    def check(self, objective):
        """Raises `InputError` if a record is damaged, or is completed and lacks the number `objective`."""
        for file in sorted(self._folder.glob("*.json")):
            record = self._read(file)
            whole = record["status"] == "failed" or objective in record["numbers"]
            require(whole, _damaged(file))

    def find(self, values, budget):
        """The record of a configuration; None if it was not tried."""
        file = self._file(values, budget)
        return self._read(file) if file.exists() else None

    def keep(self, record):
        """Writes a record atomically."""
        file = self._file(record["values"], record["budget"])
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_text(json.dumps(record, indent=2) + "\n")
        aside.replace(file)

    def _read(self, file):
        try:
            record = json.loads(file.read_text())
        except (OSError, ValueError, RecursionError):
            record = None
        require(_whole(record), _damaged(file))
        require(self._file(record["values"], record["budget"]) == file, _damaged(file))
        return record

    def _file(self, values, budget):
        key = json.dumps([values, budget], sort_keys=True)
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"


def _whole(record):
    """Whether something read from a file is a record."""
    if not isinstance(record, dict) or record.keys() != {*KINDS, "budget"}:
        return False
    kinds = all(isinstance(record[name], kind) for name, kind in KINDS.items())
    return (
        kinds
        and record["status"] in ("completed", "failed")
        and all(map(_finite, record["numbers"].values()))
    )


def _finite(number):
    return isinstance(number, int | float) and math.isfinite(number)


def _damaged(file):
    return f"{file} is damaged; remove it, and its configuration is tried again."
