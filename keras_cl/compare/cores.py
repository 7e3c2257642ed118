"""Cores of this machine, and which of them other pools of workers have."""

import contextlib
import os
import pathlib
import tempfile

from keras_cl.runs.files import try_lock


def available():
    """Numbers of the cores that this process may use."""
    with contextlib.suppress(AttributeError):  # where a process cannot be kept on some cores
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def claimed(count):
    """Yields `count` cores, first those that no other process of this user has claimed."""
    with contextlib.ExitStack() as held:
        free, taken = [], []
        for core in available() if count else ():
            if len(free) < count and _claim(core, held):
                free.append(core)
            else:
                taken.append(core)
        yield [*free, *taken][:count]


def _claim(core, held):
    """Whether nobody has the core; then its lock is kept until `held` ends."""
    folder = pathlib.Path(tempfile.gettempdir(), f"keras_cl-cores-{os.getuid()}")
    try:
        folder.mkdir(exist_ok=True)
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open(folder / str(core), "a"))
            if not try_lock(file):
                return False
            held.enter_context(opened.pop_all())
            return True
    except OSError:  # nobody can say who has it
        return False
