"""Decoded arrays on disk: written batch by batch, then mapped into memory.

A folder of the cache is complete or is none: it is written under another name, and renamed. The folder that
is written is locked by its process, so that two processes do not decode the same data, and what a killed one
left is written anew.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import warnings

import numpy as np

from keras_cl.errors import Notice, require

LARGE = 64 * 2**20  # bytes of an array that is mapped instead of read
PARTS = ("train", "test")
DAMAGED = "damaged.txt"  # names of the images that were left out
SHOWN = 3  # names in a message


def arrays(folder, make_rows, skip_damaged=False):
    """`((x_train, y_train), (x_test, y_test))` from `folder`; decoded first if it is not there.

    Args:
      folder: of the cache, for this data set, with these options.
      make_rows: function that returns `{"train": Rows, "test": Rows}` to decode, see
        `keras_cl.sources.decoding`.
      skip_damaged: whether rows that cannot be decoded are left out.

    Raises:
      InputError: if rows are damaged, or the arrays fit neither on the disk nor into memory.
    """
    folder = pathlib.Path(folder)
    try:
        found, left_out = _opened(folder) or _made(folder, make_rows)
    except OSError as error:  # a cache that cannot be written costs time, but must not stop the run
        found, left_out = _in_memory(make_rows(), folder.parent, error)
    _tell(left_out, skip_damaged)
    return found


def _opened(folder):
    """The arrays in a folder and the names of images that were left out; None if it is not there, or
    damaged."""
    try:
        left_out = (folder / DAMAGED).read_text().splitlines() if (folder / DAMAGED).exists() else []
        found = tuple(tuple(_array(folder / f"{name}_{part}.npy") for name in "xy") for part in PARTS)
        return found, left_out
    except (OSError, ValueError, EOFError):
        return None


def _made(folder, make_rows):
    with _claimed(folder) as part:
        if found := _opened(folder):  # another process has made it
            return found
        _store(part, make_rows())
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return _opened(folder)


def _array(file):
    mode = "r" if file.stat().st_size > LARGE else None
    return np.asarray(np.load(file, mmap_mode=mode))


def _tell(left_out, skip_damaged):
    """Says which images were left out, or refuses to go on without them."""
    if left_out:
        more = ", ..." if len(left_out) > SHOWN else ""
        images = "image does" if len(left_out) == 1 else "images do"
        said = f"{len(left_out)} {images} not decode: {', '.join(left_out[:SHOWN])}{more}"
        require(skip_damaged, f"{said}; --skip_damaged goes on without.")
        warnings.warn(f"{said}; left out.", Notice, stacklevel=2)


@contextlib.contextmanager
def _claimed(folder):
    """Yields an empty folder beside `folder` that no other process writes to; waits for one that does."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    lock = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _same(lock, part):  # the other one has renamed or removed it
            with _claimed(folder) as part:
                yield part
            return
        for left in part.iterdir():
            left.unlink()
        try:
            yield part
        finally:
            if _same(lock, part):
                shutil.rmtree(part, ignore_errors=True)
    finally:
        os.close(lock)


def _same(opened, path):
    """Whether an open folder is the one at a path."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False


def _store(folder, rows):
    left_out = []
    for part in PARTS:
        images = _Array(folder / f"x_{part}.npy", rows[part].shape, np.uint8)
        labels = _Array(folder / f"y_{part}.npy", (), np.int32)
        with images, labels:
            for x, y in rows[part].decoded(left_out):
                images.append(x)
                labels.append(y)
    if left_out:
        (folder / DAMAGED).write_text("\n".join(left_out))


class _Array:
    """An .npy file of rows that are appended; how many they are is written at the end.

    Not a memory map: on a full disk that would end the process.
    """

    def __init__(self, path, shape, dtype):
        self._path, self._shape, self._dtype, self._rows = path, tuple(shape), np.dtype(dtype), 0

    def _header(self):
        described = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, described)  # as long for any number of rows

    def append(self, values):
        self._rows += len(values)
        self._file.write(np.ascontiguousarray(values, self._dtype).data)

    def __enter__(self):
        self._file = open(self._path, "wb")
        self._header()
        return self

    def __exit__(self, kind, *_):
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._header()


def _in_memory(rows, cache, error):
    """The arrays, decoded into memory, for want of a cache."""
    size = sum(part.count * int(np.prod(part.shape)) for part in rows.values())
    require(
        size < _main_memory() / 2,
        f"The {size / 2**30:,.1f} GiB of decoded images cannot be written to {cache} "
        f"({error.strerror or error}); give a folder with room as --cache_dir.",
    )
    left_out, found = [], []
    for part in PARTS:
        pairs = list(rows[part].decoded(left_out))
        found.append(tuple(map(np.concatenate, zip(*pairs, strict=True))))
    return tuple(found), left_out


def _main_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
