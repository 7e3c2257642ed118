"""What was measured of a choice: rows of the committed results that were made with it."""

import dataclasses
import functools
import json

from docs.site.links import ROOT
from keras_cl.settings import flags
from keras_cl.settings.config import Config

RESULTS = ROOT / "results"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the results.

    Attributes:
      table: name of its folder in results/.
      name: name of its files there.
      config: the `Config` of its flagfile.
      measured: content of its JSON file.
      claims: the entries of the table's published.json about it.
    """

    table: str
    name: str
    config: Config
    measured: dict
    claims: list

    @property
    def key(self):
        """The row in the tables of `results.tables`."""
        return self.table, self.name

    @property
    def stream(self):
        """What was learned, in a few words."""
        config = self.config
        stream = f"{config.name_of('stream')} {config.dataset}"
        return f"{stream}, {config.tasks} tasks, {config.scenario}-incremental"


@functools.cache
def all_rows():
    """Every `Row` of the results, by table and name."""
    files = sorted(RESULTS.glob("*/*.flags"))
    return [_row(file) for file in files if file.with_suffix(".json").exists()]


def rows(axis, name):
    """The rows made with a choice."""
    several = f"{axis}.{name}"  # the axis of one choice where a setting names several
    return [r for r in all_rows() if name in (r.config.choices.get(axis), r.config.choices.get(several))]


def row(table, name):
    """One row, or None."""
    return next((row for row in all_rows() if row.key == (table, name)), None)


def curve(measured):
    """Mean and standard deviation over seeds of the average accuracy after each task, in percent.

    None where the row has no accuracies after every task.
    """
    found = measured.get("accuracy_of_tasks_seen") or {}
    mean, std = found.get("mean") or [], found.get("std") or []
    if len(mean) < 2 or None in mean:
        return None
    return [100 * v for v in mean], [100 * (v or 0) for v in std] or [0] * len(mean)


def _row(file):
    published = file.with_name("published.json")
    claims = json.loads(published.read_text()) if published.exists() else []
    return Row(
        table=file.parent.name,
        name=file.stem,
        config=flags.parse(["main", f"--flagfile={file}"]),
        measured=json.loads(file.with_suffix(".json").read_text()),
        claims=[claim for claim in claims if claim.get("row") == file.stem],
    )
