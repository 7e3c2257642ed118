"""One version of a model and its life: START, LOADING, AVAILABLE, UNLOADING, END."""

import os
import pathlib
import threading

from keras_cl.serve.errors import ServingError
from keras_cl.serve.servable import PROGRAM, Servable

LARGEST = 2**63 - 1  # version numbers are int64


class Version:
    """A version of a model.

    Attributes:
      number: its number.
      folder: its folder.
      state: its state, a word of TensorFlow Serving's.
      error: the `ServingError` with which it was refused, or None.
      fingerprint: of its files when it was tried last.
    """

    def __init__(self, number, folder):
        self.number, self.folder = number, folder
        self.state, self.error, self.fingerprint = "START", None, None
        self._servable, self._leases, self._changed = None, 0, threading.Condition()

    def load(self, name, batching):
        """Loads the version and calls it once; `error` says why if either fails."""
        self.state, self.error = "LOADING", None
        self.fingerprint = fingerprint(self.folder)
        try:
            servable = Servable(name, self.number, self.folder, batching)
            servable.warm_up()
        except Exception as error:  # damaged files raise many kinds of errors
            self.error = _refusal(error)  # first, so that nobody sees an end without a reason
            self.state = "END"
            return
        with self._changed:
            self._servable, self.state = servable, "AVAILABLE"

    def acquire(self):
        """The `Servable`, which stays loaded until `release`; None if it is not available."""
        with self._changed:
            if self.state != "AVAILABLE":
                return None
            self._leases += 1
            return self._servable

    def release(self):
        """Ends what `acquire` began."""
        with self._changed:
            self._leases -= 1
            self._end_if_unused()

    def unload(self):
        """Takes no more requests; the version ends when those in progress have ended."""
        with self._changed:
            if self.state == "AVAILABLE":
                self.state = "UNLOADING"
                self._end_if_unused()

    def wait(self, seconds):
        """Waits until no request is in progress; returns whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._leases, seconds)

    def _end_if_unused(self):
        if self.state == "UNLOADING" and not self._leases:
            self._servable, self.state = None, "END"
        self._changed.notify_all()


def versions_in(folder):
    """Folders of versions by number, whole or not; None if the folder cannot be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    numbers = {name: int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 20}
    return {number: pathlib.Path(folder) / name for name, number in numbers.items() if number <= LARGEST}


def fingerprint(folder):
    """Names, sizes and times of the files of a version; None if its program is not among them."""
    files = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            try:
                found = os.stat(path)
            except OSError:  # it was removed in between
                return None
            files.append((os.path.relpath(path, folder), found.st_size, found.st_mtime_ns))
    return tuple(sorted(files)) if any(name == PROGRAM for name, _, _ in files) else None


def _refusal(error):
    """The `ServingError` of what went wrong when a version was loaded."""
    if isinstance(error, ServingError):
        return error
    first = str(error).strip().partition("\n")[0]
    return ServingError("UNKNOWN", f"{type(error).__name__}: {first}" if first else type(error).__name__)
