"""The runs of a comparison: from lists of choices and values, or from a file, to one `Cell` for each seed."""

import collections
import dataclasses
import itertools
import json
import pathlib

from keras_cl.compare import files
from keras_cl.compare.cells import Cell
from keras_cl.compare.flags import expanded
from keras_cl.compare.settings import LISTS
from keras_cl.errors import InputError, require
from keras_cl.settings import flags as command_flags
from keras_cl.settings.config import Config
from keras_cl.settings.external import short_name
from keras_cl.sources.reading import data_name

SHOWN = 3  # names of runs in a message; of the others only their number


@dataclasses.dataclass(frozen=True)
class Row:
    """A run of a comparison with all its seeds.

    Attributes:
      label: what it is called.
      flags: `{flag: text}` that it must be able to have.
      options: `{flag: text}` of options, given to the choices that have them.
      varied: flags among `options` that differ between runs.
    """

    label: str
    flags: dict
    options: dict
    varied: tuple = ()

    def label_with(self, flags):
        """The label of the run with these `flags`."""
        shown = [f"{name.rpartition('.')[2]}={flags[name]}" for name in self.varied if name in flags]
        return " ".join([self.label, *shown])


def rows(given):
    """The `Row`s of a `Given` command line.

    Raises:
      InputError: if a file of runs cannot be read.
    """
    flags = {name: text for name, text in given.flags.items() if "." not in name}
    options = {name: text for name, text in given.flags.items() if "." in name}
    if given.settings.runs:
        found = files.read(given.settings.runs)
        return [Row(label, {**flags, **own}, options) for label, own in found.items()]
    names, combined = list(given.several), itertools.product(*given.several.values())
    return [_combined(dict(zip(names, texts, strict=True)), given, flags, options) for texts in combined]


def _combined(values, given, flags, options):
    """The `Row` with one of the values of each flag."""
    method = values.get("method", given.flags.get("method", Config.method))
    varied = [name for name in values if len(given.several[name]) > 1 and name != "method"]
    parts = [_shown(name, values[name]) for name in varied if "." not in name]
    return Row(
        " ".join([short_name(method), *parts]),
        flags | {name: text for name, text in values.items() if "." not in name},
        options | {name: text for name, text in values.items() if "." in name},
        tuple(name for name in varied if "." in name),
    )


def _shown(name, text):
    return data_name(text) if name in LISTS.values() else f"{name}={text}"


def cells(given):
    """The `Cell`s of a command line, and the reasons why the other runs are impossible.

    Returns:
      list of `Cell`s, in the order of the command line, each of other settings and with another label; and
      `{reason: [labels]}`.

    Raises:
      InputError: if a flag fits none of the runs.
    """
    found, impossible, used, wanted = {}, {}, set(), set()
    for row in rows(given):
        wanted |= row.options.keys()
        try:
            flags = {"export": "none", **_fitting(row)}
            used |= flags.keys()
            config = _config(flags)
            _require_many(config)
        except InputError as error:
            impossible.setdefault(str(error), []).append(row.label)
            continue
        for cell in _seeds(row.label_with(flags), flags, config, given.settings.runs_dir):
            found.setdefault(key(cell.config.settings), cell)
    unused = sorted(wanted - used)
    require(
        not unused or (impossible and not found),
        f"--{unused and unused[0]}: none of what is compared has this option.",
    )
    _require_one_device(found.values())
    return _distinct(found.values()), impossible


def _distinct(found):
    """Cells with the names of their directories in the labels that several have, as those of two files with
    one name."""
    count = collections.Counter(cell.label for cell in found)
    return [
        dataclasses.replace(cell, label=f"{cell.label} ({cell.config.name})")
        if count[cell.label] > 1
        else cell
        for cell in found
    ]


def key(settings):
    """Text that is equal for equal settings of a run, also if they were read from a file."""
    return json.dumps(settings, sort_keys=True)


def told(impossible):
    """The reasons of `cells`, as one text."""
    return " ".join(f"{_several(labels)}: {reason}" for reason, labels in impossible.items())


def _several(labels):
    labels = list(dict.fromkeys(labels))
    more = len(labels) - SHOWN
    return ", ".join(labels[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _fitting(row):
    """The flags of a row with those of its options that its choices have; its own flags, behind them, win."""
    if not row.options:
        return row.flags
    known = _config(row.flags).known_options
    return {name: text for name, text in row.options.items() if name in known} | row.flags


def _config(flags):
    return command_flags.parse(["keras_cl.compare", *_command(flags)])


def _command(flags):
    """A command line; flagfiles are read now, because they may change later."""
    parts = [[f"--{name}={text}"] for name, text in flags.items()]
    return [part for one in parts for part in (expanded(one) if one[0].startswith("--flagfile=") else one)]


def _seeds(label, flags, config, runs_dir):
    """Yields one `Cell` per seed; its own flags are the last ones, because flagfiles may have others."""
    for seed in config.seeds:
        one = dataclasses.replace(config, seeds=(seed,))
        place = pathlib.Path(runs_dir, one.name)
        own = [f"--seeds={seed}", f"--run_dir={place}"]
        one = dataclasses.replace(one, run_dir=str(place))
        yield Cell(one, [*_command(flags), *own], f"{label} seed {seed}")


def _require_many(config):
    """Raises `InputError` for settings that are of one run alone."""
    require(
        not config.run_dir,
        f"--run_dir={config.run_dir} is the folder of one run; --runs_dir is the folder of all.",
    )
    require(
        config.strategy != "multiworker",
        "--strategy=multiworker is started by hand on every machine, and not for many runs.",
    )


def _require_one_device(found):
    devices = sorted({cell.config.device for cell in found})
    require(
        len(devices) < 2,
        f"--device is {' and '.join(devices)}; all runs of a comparison are on the same one.",
    )
