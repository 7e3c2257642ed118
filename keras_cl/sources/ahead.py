"""Rows of an array that is mapped from a file, of which the disk is told before they are copied."""

import mmap
import time

import numpy as np

FAST = 2**29  # bytes a second: slower than that, rows were not in the page cache of the system
PROBE = 2**16  # bytes of a block that are copied first, to see whether it is there


def reader(base):
    """Function of row numbers `[m]`, from 0, that returns these rows of an array."""
    found = _mapping(base)
    return base.__getitem__ if found is None else _Mapped(base, found)


class _Mapped:
    """Rows of a mapped array.

    A page that is not in memory stops the copy until it was read, so that the disk has one request at a time.
    Hence the system is told the pages of a whole block before (MADV_WILLNEED), and reads them side by side in
    their order on the disk. Telling costs as much as a copy from memory: while blocks are there, only the
    first rows of a block are copied untold, and the others are told if these were not there. For the rows
    that are not told the system does not read what lies around them (MADV_RANDOM): that would be up to some
    MiB for each row, and drive out of the page cache what comes next.
    """

    def __init__(self, base, mapping):
        self._base, self._mapping, self._slow = base, mapping, True
        start = np.frombuffer(mapping, np.uint8, 1).__array_interface__["data"][0]
        self._offset = base.__array_interface__["data"][0] - start
        self._probed = max(1, PROBE // max(1, base.strides[0]))

    def __call__(self, rows):
        block = np.empty((len(rows), *self._base.shape[1:]), self._base.dtype)
        self._mapping.madvise(mmap.MADV_RANDOM)
        try:
            copied = 0 if self._slow else self._copy(block, rows, 0, self._probed)
            self._copy(block, rows, copied, len(rows))
        finally:
            self._mapping.madvise(mmap.MADV_NORMAL)
        return block

    def _copy(self, block, rows, start, end):
        """Copies a part of the rows, told if the last ones were slow; returns its end."""
        rows, out = rows[start:end], block[start:end]
        started = time.perf_counter()
        if self._slow and len(rows):
            self._tell(rows)
        # With "raise" there would be a second copy.
        self._base.take(rows, axis=0, out=out, mode="wrap")
        if len(rows):
            self._slow = out.nbytes < FAST * (time.perf_counter() - started)
        return end

    def _tell(self, rows):
        size, page = self._base.strides[0], mmap.PAGESIZE
        place = self._offset + np.unique(rows) * size
        first, behind = place // page * page, place + size
        own = np.flatnonzero(np.append(True, first[1:] > behind[:-1]))  # where a run of pages begins
        ends = np.append(behind[own[1:] - 1], behind[-1:])
        for start, end in zip(first[own].tolist(), ends.tolist(), strict=True):
            self._mapping.madvise(mmap.MADV_WILLNEED, start, end - start)


def _mapping(array):
    """The `mmap.mmap` that has the rows of an array, if each is one piece of it; None if there is none."""
    whole = isinstance(array, np.ndarray) and array.flags.c_contiguous
    while isinstance(array, np.ndarray):
        array = array.base
    told = whole and isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED")
    return array if told else None
