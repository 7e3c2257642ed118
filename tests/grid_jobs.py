"""Jobs for the tests of workers: functions that tell of their process, fail, wait or die."""

import os
import pathlib
import signal
import time

from keras_cl.errors import InputError


def where():
    """The process and the cores that it may use."""
    return {"pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0)), "tensorflow": _loaded()}


def doubled(number, report):
    """Says how far it is, and waits until that can have been heard."""
    report(0.5, f"number {number}")
    return 2 * number


def refused():
    raise InputError("This cannot be.")


def broken():
    return {}["missing"]


def killed_once(mark):
    """Kills its process the first time."""
    if not pathlib.Path(mark).exists():
        pathlib.Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time"


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def ended():
    print("no such library")
    os._exit(3)


def waits(mark):
    """Writes its process to a file, and goes on for ever."""
    pathlib.Path(mark).write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


def _loaded():
    import sys

    return "tensorflow" in sys.modules
