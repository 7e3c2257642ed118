"""Rows of an array that is mapped from a file, of which the disk is told before they are copied."""

import mmap
import time

import numpy as np

FAST = 2**29  # bytes a second: slower than that, a block was not in the page cache of the system


def reader(base):
    """Function of row numbers `[m]` that returns these rows of an array."""
    found = _mapping(base)
    return base.__getitem__ if found is None else _Mapped(base, found)


class _Mapped:
    """Rows of a mapped array.

    A page that is not in memory stops the copy until it was read, so that the disk has one request at a time.
    Hence the system is told the pages of a whole block before (MADV_WILLNEED), and reads them side by side in
    their order on the disk. Telling costs as much as a copy from memory: after a block that was there, the
    next one is not told.
    """

    def __init__(self, base, mapping):
        self._base, self._mapping, self._slow = base, mapping, True
        start = np.frombuffer(mapping, np.uint8, 1).__array_interface__["data"][0]
        self._offset = base.__array_interface__["data"][0] - start

    def __call__(self, rows):
        if self._slow and len(rows):
            self._tell(rows)
        started = time.perf_counter()
        block = self._base.take(rows, axis=0)
        self._slow = block.nbytes < FAST * (time.perf_counter() - started)
        return block

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
