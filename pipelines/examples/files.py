"""The files of examples that arrived: which there are, the lines of a CSV file, and the digest of all."""

import csv
import hashlib
import os
import pathlib

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.runs.files import checksums

WORDS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid"}
WORDS |= {"eval": "valid", "test": "test", "testing": "test"}
COLUMNS = ("path", "label", "split")


def found(path):
    """The kind of the files of examples at `path`, TFRecord, CSV or npz, and these files; of CSV or npz one.

    Raises:
      InputError: if it is missing, or is of no format or of several.
    """
    path = pathlib.Path(path)
    require(path.exists(), f"--examples names {path}, and there is no such file or folder.")
    inside = sorted(path.rglob("*"), key=str) if path.is_dir() else [path]
    files = [f for f in inside if f.is_file() and not f.name.startswith(".")]
    kinds = {
        "CSV": [file for file in files if file.suffix == ".csv"],
        "npz": [file for file in files if file.suffix == ".npz"],
        "TFRecord": [file for file in files if "tfrec" in file.name],
    }
    kinds = {kind: own for kind, own in kinds.items() if own}
    possible = "TFRecord files, a .csv file with the columns path and label, or an .npz file"
    require(kinds, f"{path} has no examples; it must be, or hold, {possible}.")
    names = [str(own[0].name) for own in kinds.values()]
    require(len(kinds) == 1, f"{path} has examples of several formats: {', '.join(names)}; leave one there.")
    (kind, own), *_ = kinds.items()
    require(
        len(own) == 1 or kind == "TFRecord",
        f"{path} has several files of examples, {own[0].name} and {own[-1].name}; leave one there.",
    )
    return kind, own


def digest(path):
    """SHA-256 of the names and contents of the files of examples, the images of a CSV file included.

    Raises:
      InputError: if there is nothing that can be read.
    """
    kind, files = found(path)
    if kind == "CSV":
        files = files + sorted({image for image, *_ in lines_of(files[0])})
    top = pathlib.Path(path)
    top = top if top.is_dir() else top.parent
    content = checksums(top, [os.path.relpath(file, top) for file in files])
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()


def lines_of(file):
    """Yields the path of the image, the label, the split and the number of every line of a CSV file."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened, strict=True, skipinitialspace=True)
            _require_columns(file, rows.fieldnames or [])
            for row in rows:
                place = f"{file}, line {rows.line_num}"
                require(row["path"], f"{place}: there is no path.")
                label, part = _label(row["label"], place), _part(row.get("split"), place)
                yield file.parent / row["path"], label, part, rows.line_num
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file} cannot be read as CSV: {error}.") from None


def _require_columns(file, found):
    missing = [name for name in COLUMNS[:2] if name not in found]
    near = did_you_mean(missing[0], found) if missing else ""
    require(
        not missing,
        f"{file} has no column {' and no '.join(missing)}; it has {', '.join(found) or 'nothing'}, and must "
        f"have path, label and, if wanted, split.{near}",
    )


def _label(text, place):
    try:
        return int(text)
    except (TypeError, ValueError):
        raise InputError(f"{place}: the label is {text!r}; labels must be whole numbers.") from None


def _part(text, place):
    known = WORDS.get((text or "").strip().lower(), "")
    require(
        known or not (text or "").strip(),
        f"{place}: the split is {text!r}; it must be train, valid, test, or empty.",
    )
    return known
