"""A `Job` is a function by its name with its arguments, an `Outcome` what came of it.

Every way to run jobs has the same contract: `run(jobs, ..., watch)` yields one `Outcome` per job, in the
order in which they end, and tells a `Watch` what happens in between. A job that fails does not end the rest.
"""

import dataclasses
import importlib
import inspect
import pathlib
import sys
import time
import traceback
from typing import Any

from keras_cl.errors import InputError

EVERY = 0.5  # seconds between two reports


@dataclasses.dataclass(frozen=True)
class Job:
    """A call of an importable function.

    Attributes:
      name: what it is called on the screen; names are unique among jobs that are run together.
      function: "module:function". If the function has a parameter `report`, it gets a function
        `report(fraction, text)` to say how far it is.
      arguments: its keyword arguments; a dict that can be written as JSON.
    """

    name: str
    function: str
    arguments: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a `Job`.

    Attributes:
      job: the `Job`.
      state: "done" or "failed".
      value: what the function returned, which can be written as JSON; None if it failed.
      error: why it failed, as one sentence; "" if it did not.
      seconds: time it took.
    """

    job: Job
    state: str
    value: Any = None
    error: str = ""
    seconds: float = 0.0


class Watch:
    """Is told what happens while jobs are run; this one ignores it."""

    def started(self, job):
        """A job has begun."""

    def progress(self, job, fraction, text):
        """A job says how far it is, as a fraction, and what it does."""

    def ended(self, outcome):
        """A job has ended."""


def run(jobs, watch=None):
    """Runs jobs in this process, one after the other; yields their `Outcome`s."""
    watch = watch or Watch()
    for job in jobs:
        watch.started(job)
        outcome = perform(job, lambda fraction, text, job=job: watch.progress(job, fraction, text))
        watch.ended(outcome)
        yield outcome


def seldom(tell):
    """A function `report(fraction, text)` that calls `tell` with these, and not more than twice a second."""
    last = -EVERY

    def report(fraction, text):
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY:
            last = now
            tell(fraction, text)

    return report


def perform(job, report=None):
    """The `Outcome` of a job that is done here and now.

    Args:
      job: a `Job`.
      report: function of a fraction and a text.
    """
    began = time.monotonic()
    try:
        module, _, name = job.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        more = {"report": report} if "report" in inspect.signature(function).parameters else {}
        value, error = function(**job.arguments, **more), ""
    except Exception as failure:  # whatever it is, the other jobs go on
        value, error = None, _reason(failure)
    return Outcome(job, "failed" if error else "done", value, error, time.monotonic() - began)


def _reason(error):
    """One sentence about an exception; one that no user can mend names its place in the code."""
    if isinstance(error, InputError):
        return str(error)
    exhausted = getattr(sys.modules.get("tensorflow"), "errors", None)
    kinds = (MemoryError, exhausted.ResourceExhaustedError) if exhausted else (MemoryError,)
    if isinstance(error, kinds):
        first = str(error).partition("\n")[0].rstrip(".")
        return f"The memory is exhausted{': ' if first else ''}{first}."
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error} ({pathlib.Path(place.filename).name}, line {place.lineno})"
    return str(InputError(said))
