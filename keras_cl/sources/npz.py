"""Your own arrays: an .npz file of x_train, y_train, x_test and y_test, checked before training."""

import functools
import pathlib
import warnings

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.sources.base import Source, scale_of

KEYS = ("x_train", "y_train", "x_test", "y_test")


def npz(path):
    """Source of the arrays in the .npz file at `path` (requirements: see `sources.from_arrays`)."""
    file = pathlib.Path(path)
    require(file.is_file() or file.exists(), f"There is no file {path}.")
    try:
        require(file.is_file(), "it is not a regular file")  # a pipe would block
        with open(file, "rb") as opened:  # closed here, which np.load forgets if the file is damaged
            loaded = _loaded(opened)
            missing = [key for key in KEYS if key not in loaded]
            arrays = [loaded[key] for key in KEYS if key in loaded]
    except Exception as error:  # damaged files raise many kinds of errors
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{lines[0].strip().rstrip('.'):.200}"
        raise InputError(f"{path} cannot be read as an .npz file of plain arrays: {reason}.") from None
    require(
        not missing,
        f"{path} has no {' and no '.join(missing)}; it must hold {', '.join(KEYS)} "
        f"and holds {_listed([ascii(key)[1:-1] for key in loaded]) or 'nothing'}.",
    )
    return checked(path, *arrays)


def _loaded(opened):
    """The arrays of an open .npz file, which are read when they are asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of header texts that are no Python
        loaded = np.load(opened, allow_pickle=False)
    require(isinstance(loaded, np.lib.npyio.NpzFile), "it holds one array")
    return loaded


def checked(name, x_train, y_train, x_test, y_test, signals=False):
    """Source of four arrays; raises `InputError` with one sentence about the first problem in them."""
    x_train, x_test = (
        _images(name, key, x, signals) for key, x in (("x_train", x_train), ("x_test", x_test))
    )
    y_train, y_test = (_labels(name, key, y) for key, y in (("y_train", y_train), ("y_test", y_test)))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        require(
            len(x) == len(y) > 0,
            f"{name}: x_{part} has {len(x)} rows and y_{part} has {len(y)}; "
            "they must have the same number, at least one.",
        )
    require(
        x_train.shape[1:] == x_test.shape[1:] and x_train.dtype == x_test.dtype,
        f"{name}: x_train holds {x_train.shape[1:]} images of {x_train.dtype}, x_test "
        f"{x_test.shape[1:]} of {x_test.dtype}; both must be alike.",
    )
    classes = np.unique(y_train)
    strange = np.setdiff1d(y_test, classes)
    require(
        not len(strange),
        f"{name}: y_test has the label {strange[:1].tolist()[0] if len(strange) else ''}, "
        f"which y_train never has; known labels are {_listed(classes)}.",
    )
    arrays = ((x_train, y_train), (x_test, y_test))
    return Source(
        name,
        x_train.shape[1:],
        tuple(classes.tolist()),
        scale_of(x_train.dtype),
        functools.partial(lambda loaded: loaded, arrays),
    )


def _images(name, key, x, signals):
    x = np.asarray(x)
    require(
        x.dtype == np.uint8 or np.issubdtype(x.dtype, np.floating),
        f"{name}: {key} is of type {x.dtype}; images must be uint8 (0 to 255) or floats.",
    )
    require(
        x.ndim in (2, 3, 4, 5),
        f"{name}: {key} has shape {x.shape}; it must be [n, height, width], [n, height, width, channels], "
        "[n, depth, height, width, channels], [n, steps, 1] or [n, features].",
    )
    require(0 not in x.shape[1:], f"{name}: {key} has shape {x.shape}; its images have no pixels.")
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            x = x.astype(np.float32, copy=False)
        broken = np.flatnonzero(~np.isfinite(x).all(axis=tuple(range(1, x.ndim))))
        require(
            not len(broken),
            f"{name}: {key} has NaN or infinite values in {len(broken)} rows, first in row "
            f"{broken[0] if len(broken) else ''}.",
        )
    # A signal has its channels already: nobody has images that are one pixel wide.
    return x[..., np.newaxis] if x.ndim == 3 and x.shape[-1] != 1 and not signals else x


def _labels(name, key, y):
    y = np.asarray(y)
    whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool(np.all(np.trunc(y) == y)))
    require(
        y.ndim == 1 and whole,
        f"{name}: {key} has shape {y.shape} and type {y.dtype}; labels must be whole numbers, one per row.",
    )
    wrong = y[(y < 0) | (y >= 2**31)]
    require(
        not len(wrong),
        f"{name}: {key} has the label {wrong[0] if len(wrong) else ''}; labels must be at least 0 and below "
        "2**31.",
    )
    return y.astype(np.int32)


def _listed(classes):
    return ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
