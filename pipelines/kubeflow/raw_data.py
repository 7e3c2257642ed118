"""Digests of the raw data, so that data which changed are never served from a cache."""

import hashlib
import json
import pathlib
from importlib import metadata

from keras_cl.runs.files import checksums
from keras_cl.settings.config import DIGEST
from pipelines.examples import files


def digests(line, required=True):
    """The digest of the raw data of each task of a `settings.Line` that has arrived.

    Args:
      line: the settings.
      required: whether examples that arrived must be on this machine; else they have the digest "" if they
        are not.
    """
    stream = stream_digest(line.config, required) if line.from_stream else ""
    return [arrived_digest(folder, required) if folder else stream for folder in line.folders]


def stream_digest(config, required=True):
    """The digest of the data set of a run: its files, or the version of the package that embeds it.

    A data set that is required is downloaded and prepared if it is not on this machine, as by the library.
    """
    if config.dataset == "digits":
        return f"scikit-learn {metadata.version('scikit-learn')}"
    if f"dataset{DIGEST}" in config.settings:  # a file, or code from outside
        return config.settings[f"dataset{DIGEST}"]
    folder = config.reading.prepared / config.dataset.replace(":", "/")
    if required and not folder.is_dir():  # else the digest of the next run would be another one
        from keras_cl.devices import device

        device.prepare("cpu", quiet=True)  # imports TensorFlow without its messages
        from keras_cl.settings.build import make_source

        make_source(config).train  # noqa: B018
    return _files(folder)


def arrived_digest(place, required=True):
    """The digest of examples that arrived in a file or folder.

    Raises:
      InputError: if there is nothing that can be read and it is required.
    """
    return files.digest(place) if required or pathlib.Path(place).exists() else ""


def _files(folder):
    """SHA-256 of the names and contents of all files below a folder; "" if there are none."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    found = checksums(folder, names)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest() if found else ""
