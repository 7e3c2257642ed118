"""Progress of long work outside of the training steps, such as evaluation and importances of weights."""

import contextlib


class Progress:
    """Shows nothing; what shows something has the same method.

    Work is said to be done in blocks that there are anyway: no compiled loop is cut for it.
    """

    @contextlib.contextmanager
    def phase(self, name, total):
        """Inside the `with` block, the work `name` is under way.

        Args:
          name: the work, in words.
          total: amount of the work, in any unit.

        Yields:
          function of the amount that was done since its last call.
        """
        yield lambda amount=1: None


QUIET = Progress()


@contextlib.contextmanager
def shown_by(progress, model):
    """Inside the `with` block, a `Progress` shows the long work of a `ContinualModel` and its memory."""
    parts = [part for part in (model, model.memory) if part is not None]
    for part in parts:
        object.__setattr__(part, "progress", progress)  # not tracked by Keras
    try:
        yield
    finally:
        for part in parts:
            object.__delattr__(part, "progress")
