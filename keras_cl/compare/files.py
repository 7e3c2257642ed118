"""Runs of a comparison from a file: a folder of flagfiles, a TOML file or a CSV file."""

import csv
import io
import pathlib
import re

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.settings import catalog
from keras_cl.settings.flags import main_options
from keras_cl.settings.options import text

TABLE = "run"  # of a TOML file


def read(path):
    """The runs in `path`.

    Returns:
      `{label: {flag: text}}`; a label names the file, and the line in it.

    Raises:
      InputError: one sentence about the first unusable file or cell, with its line.
    """
    path = pathlib.Path(path)
    readers = {".toml": _toml, ".csv": _csv}
    require(path.exists(), f"--runs={path}: there is no such file or folder.")
    require(
        path.is_dir() or path.suffix in readers,
        f"--runs={path} must be a folder of flagfiles, a .toml or a .csv file.",
    )
    found = _folder(path) if path.is_dir() else readers[path.suffix](path)
    require(found, f"--runs={path} names no run.")
    return found


def _folder(path):
    files = sorted(path.glob("*.flags"))
    require(files, f"--runs={path}: there is no flagfile (*.flags) in this folder.")
    return {file.stem: {"flagfile": str(file)} for file in files}


def _csv(path):
    records = _records(path)
    _, names = next(records, (1, None))
    require(names, f"--runs={path} is empty; its first line names the flags.")
    names = [name.strip().removeprefix("--") for name in names]
    for name in names:
        _require_flag(f"{path.name} line 1", name)
        require(names.count(name) == 1, f"{path.name} line 1 names --{name} twice.")
    found = {}
    for line, cells in records:
        label = f"{path.name} line {line}"
        if not any(cells):
            continue
        require(len(cells) == len(names), f"{label} has {len(cells)} cells, and line 1 {len(names)} names.")
        pairs = zip(names, map(str.strip, cells), strict=True)
        found[label] = {name: cell for name, cell in pairs if cell}
    return found


def _records(path):
    """Yields the number of the line and the cells of each row."""
    records = csv.reader(io.StringIO(_text(path)))
    try:
        yield from ((records.line_num, cells) for cells in records)
    except csv.Error as error:
        raise InputError(f"{path.name} line {records.line_num}: {error}.") from None


def _toml(path):
    try:
        import tomllib
    except ImportError:
        raise InputError(f"--runs={path}: TOML needs Python 3.11; give a .csv file.") from None
    content = _text(path)
    try:
        read = tomllib.loads(content)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise InputError(
            f'--runs={path} is no TOML: {error} (an option is a name in quotes: "method.strength" = 1.0).'
        ) from None
    others = sorted(read.keys() - {TABLE})
    require(not others, f"--runs={path} has {others and others[0]!r} outside of [[{TABLE}]].")
    require(isinstance(read.get(TABLE, []), list), f"--runs={path}: each run begins with [[{TABLE}]].")
    header = re.compile(rf"\s*\[\[\s*{TABLE}\s*\]\]")
    lines = [number for number, line in enumerate(content.splitlines(), 1) if header.match(line)]
    places = [f"{path.name} line {number}" for number in lines]
    if len(places) != len(read.get(TABLE, [])):  # written in another way, as run = [{...}]
        places = [f"{path.name} run {number}" for number, _ in enumerate(read[TABLE], 1)]
    return {place: _flags(place, run) for place, run in zip(places, read.get(TABLE, []), strict=True)}


def _flags(place, run):
    require(isinstance(run, dict), f"{place}: a run is a table of flags.")
    found = {}
    for name, value in run.items():
        pairs = {f"{name}.{option}": one for option, one in value.items()} if isinstance(value, dict) else {}
        for flag, one in (pairs or {name: value}).items():
            _require_flag(place, flag)
            found[flag] = _value(place, flag, one)
    return found


def _value(place, flag, value):
    many = isinstance(value, list)
    plain = all(isinstance(part, bool | int | float | str) for part in (value if many else [value]))
    require(plain, f"{place}: --{flag} is {value!r}; give a number, text, true, false or a list of these.")
    return text(tuple(value) if many else value)


def _require_flag(place, name):
    """Raises `InputError` unless there is a flag called `name`, or it may be an option of a choice."""
    known = [option.name for option in main_options()]
    axis, dot, _ = name.partition(".")
    if name in known or (dot and axis in (*catalog.AXES, *catalog.LISTS, "dataset")):
        return
    near = did_you_mean(f"--{name}", [f"--{one}" for one in known])
    raise InputError(f"{place}: there is no flag --{name}.{near}")


def _text(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"--runs={path} cannot be read: {reason}.") from None
