"""Faults at a file operation: a process that is killed there, or a disk that is full.

The operations are counted, not listed, so a test goes through all that a function does.
"""

import builtins
import contextlib
import io
import multiprocessing
import os
import signal
from unittest import mock

FORK = multiprocessing.get_context("fork")  # for tests without threads and without TensorFlow
OPERATIONS = [
    (os, "open"),
    (os, "mkdir"),
    (os, "rename"),
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
    (os, "fsync"),
    (os, "sendfile"),
    (os, "scandir"),
    (io, "open"),
    (builtins, "open"),
]


def writes(name, path=None, *args, **kwargs):
    """Whether a call changes what is on the disk; between two of them it is the same."""
    if name == "open":
        mode = kwargs.get("mode", args[0] if args else "r")
        return isinstance(mode, str) and mode[0] in "wa"
    return name != "scandir" and not (name == "mkdir" and os.path.isdir(path))


def anything(name, *args, **kwargs):
    return True


def takes_room(name, *args, **kwargs):
    """Whether a call can find the disk full."""
    return name not in ("unlink", "rmdir") and writes(name, *args, **kwargs)


@contextlib.contextmanager
def disturbed(happens, which):
    """Calls `happens(number)` before each file operation of a kind, the first being number 1."""
    count = 0

    def watched(real, name):
        def call(*args, **kwargs):
            nonlocal count
            if which(name, *args, **kwargs):
                count += 1
                happens(count)
            return real(*args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        for target, name in OPERATIONS:
            stack.enter_context(mock.patch.object(target, name, watched(getattr(target, name), name)))
        yield


def counted(act, which):
    """Number of file operations of `act()`."""
    numbers = [0]
    with disturbed(numbers.append, which):
        act()
    return numbers[-1]


def in_a_fork(act):
    """Exit code of a process of its own that does `act()`, minus the signal that ended it."""
    process = FORK.Process(target=act)
    process.start()
    process.join(60)
    return process.exitcode


def killed_at(number, which, act):
    def kill(count):
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with disturbed(kill, which):
        act()
