"""The law of streams without tasks."""

import numpy as np

from keras_cl.check.compare import hold
from keras_cl.errors import InputError
from keras_cl.settings import catalog


def without_tasks(subject):
    """A method that needs no boundaries learns such a stream; another one is refused in a sentence."""
    given = {"stream": "online", "tasks": 1, "stream.phases": 2, "stream.every": 2}
    reason = catalog.needs_boundaries("method", subject.method)
    if reason:
        try:
            subject.config("class", dataset="no/such/file.npz", **given)
            told = "it was not refused"
        except InputError as error:
            told = str(error)
        hold(reason in told or "class-incremental scenario" in told, f"{reason!r} is not said: {told}")
        return
    result = subject.trained("class", **given)
    hold(len(result.losses) == 1 and np.isfinite(result.losses).all(), f"the losses are {result.losses}")
    hold(result.model.memory is None or len(result.model.memory), "the memory stored no row on the way")
