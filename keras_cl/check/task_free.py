"""The law of streams without tasks."""

import numpy as np

from keras_cl.check.compare import hold
from keras_cl.errors import InputError
from keras_cl.settings import catalog

ONLINE = {"stream": "online", "tasks": 1, "stream.phases": 2, "stream.every": 2}


def without_tasks(subject):
    """A method that needs no boundaries learns such a stream; another one is refused in a sentence."""
    always = catalog.needs_boundaries("method", subject.method)
    if always:  # whatever its options: told before data are read
        _refused(lambda: subject.config("class", dataset="no/such/file.npz", **ONLINE), always)
        return
    as_made = subject.trained(subject.scenarios[-1]).model
    reasons = [one.needs_boundaries for one in (as_made, as_made.memory) if one is not None]
    if any(reasons):  # by an option or by its memory
        _refused(lambda: subject.trained("class", **ONLINE), *filter(None, reasons))
        return
    result = subject.trained("class", **ONLINE)
    hold(len(result.losses) == 1 and np.isfinite(result.losses).all(), f"the losses are {result.losses}")
    hold(result.model.memory is None or len(result.model.memory), "the memory stored no row on the way")


def _refused(attempt, *reasons):
    try:
        attempt()
        told = "it was not refused"
    except InputError as error:
        told = str(error)
    said = any(reason in told for reason in reasons) or "class-incremental scenario" in told
    hold(said, f"{' or '.join(map(repr, reasons))} is not said: {told}")
