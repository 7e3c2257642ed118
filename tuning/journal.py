"""Records of trials, one file each, from which a stopped search resumes.

Keras Tuner's own resuming loses the position in a grid and the random state of a Bayesian search. Here a
search always starts again. Its tuner is a function of the seed and asks for the same configurations in the
same order; those that were tried are looked up in these files.
"""

import hashlib
import json
import os
import pathlib


class Journal:
    """The records of a search.

    Args:
      folder: folder of the files; processes that share it share the records.

    A record is a dict with the `values` `{flag: value}` and the `budget` that were tried, a `status`,
    "completed" or "failed", the measured `numbers`, the `seconds` it took and the `message` of a failure.
    """

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)

    def find(self, values, budget):
        """The record of a configuration; None if it was not tried."""
        file = self._file(values, budget)
        return json.loads(file.read_text()) if file.exists() else None

    def keep(self, record):
        """Writes a record atomically."""
        file = self._file(record["values"], record["budget"])
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        aside.write_text(json.dumps(record, indent=2) + "\n")
        aside.replace(file)

    def _file(self, values, budget):
        key = json.dumps([values, budget], sort_keys=True)
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
