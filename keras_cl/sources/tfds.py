"""Image data sets from tensorflow-datasets, decoded once and then loaded from plain .npy files.

Decoding MNIST takes about five seconds, loading the decoded arrays a few milliseconds. The cache key is the
name, the version and the description of the prepared data. The cache is written to a temporary folder and
then renamed.
"""

import contextlib
import functools
import hashlib
import importlib
import os
import pathlib
import shutil
import tempfile

import numpy as np

from keras_cl.errors import InputError
from keras_cl.sources.base import Source

# Image shape and number of classes, so that a stream can be checked before anything is read.
SHAPES = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "svhn_cropped": ((32, 32, 3), 10),
}


def tfds(name, *, data_dir="", cache_dir=""):
    """Source of the tensorflow-datasets data set `name` (one of `SHAPES`).

    Downloads and prepares it if possible, when the folder has no prepared copy.
    """
    shape, count = SHAPES[name]
    load = functools.partial(_load, name, data_dir, cache_dir)
    return Source(name, shape, tuple(range(count)), 1 / 255, load)


def _load(name, data_dir, cache_dir):
    folder = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    cache_root = pathlib.Path(cache_dir or "~/.cache/keras_cl").expanduser()
    info = _prepared(folder, name)
    if info is None:
        _download(name, folder)
        info = _prepared(folder, name)
    cached = cache_root / f"{name}-{info.parent.name}-{hashlib.sha256(info.read_bytes()).hexdigest()[:12]}"
    try:
        return _cached(cached)
    except (OSError, ValueError, EOFError):  # not cached yet, or damaged
        arrays = _decode(name, folder)
        shutil.rmtree(cached, ignore_errors=True)
        with contextlib.suppress(OSError):  # a failed write costs time, but must not stop the run
            _store(cached, arrays)
        return arrays


def _cached(folder):
    parts = ("train", "test")
    return tuple(tuple(np.load(folder / f"{array}_{part}.npy") for array in "xy") for part in parts)


def _prepared(folder, name):
    """dataset_info.json of the newest prepared version of `name` under `folder`, or None."""
    found = [
        file
        for file in (folder / name).glob("*.*.*/dataset_info.json")
        if all(part.isdigit() for part in file.parent.name.split("."))
    ]
    return max(found, key=lambda file: [*map(int, file.parent.name.split("."))], default=None)


def _download(name, folder):
    """Downloads and prepares `name` with tensorflow-datasets, or says in one sentence how to provide it."""
    import tensorflow_datasets

    with contextlib.suppress(ImportError):  # its ten retries take minutes when offline
        importlib.import_module("tensorflow_datasets.core.download.downloader").MAX_RETRIES = 3
    try:
        tensorflow_datasets.builder(name, data_dir=folder).download_and_prepare()
    except Exception as error:  # the library passes on every kind of network and file error
        raise InputError(
            f"The data set {name} is not in {folder} and could not be downloaded "
            f"({type(error).__name__}): give --data_dir (or set TFDS_DATA_DIR to) a folder where "
            f"tensorflow-datasets has prepared it, or put it into an .npz file with x_train, y_train, x_test "
            f"and y_test and give --dataset=path/to/file.npz."
        ) from error


def _decode(name, folder):
    import tensorflow_datasets

    def part(split):
        data = tensorflow_datasets.load(
            name, split=split, data_dir=folder, download=False, batch_size=-1, as_supervised=True
        )
        x, y = tensorflow_datasets.as_numpy(data)
        return np.ascontiguousarray(x), y.astype(np.int32)

    try:
        return part("train"), part("test")
    except Exception as error:  # damaged records raise many kinds of errors
        raise InputError(
            f"The data set {name} in {folder} cannot be read ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'})."
        ) from error


def _store(folder, arrays):
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for part, pair in zip(("train", "test"), arrays, strict=True):
            for array, values in zip("xy", pair, strict=True):
                np.save(aside / f"{array}_{part}.npy", values)
        aside.rename(folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not folder.is_dir():  # another process may have stored the same data first
            raise
