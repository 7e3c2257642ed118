"""The display of a run in a worker: it shows nothing, and reports how far the run is."""

from rich.console import Console

from keras_cl.runs.bars import Bars
from keras_cl.runs.console import Display


class Reported(Display):
    """Writes the log of a run, and calls `tell` with the fraction that is done and what is done.

    Args:
      tell: function of a fraction and a text; None for nobody.
    """

    def __init__(self, tell=None):
        super().__init__(Console(quiet=True))
        self._tell, self._fraction = tell or (lambda fraction, text: None), 0.0

    def working(self, title=""):
        """The bars of work that is no training: the fraction stays what it was."""
        return _Reporting(self, title)

    def bars(self):
        """The bars of the training."""
        return _Reporting(self, counts=True)

    def reached(self, line, counts):
        """Reports the state of a bar of rich's."""
        if counts and line.total:
            self._fraction = line.completed / line.total
        self._tell(self._fraction, line.description)


class _Reporting(Bars):
    """Bars that nobody sees; if the first of them `counts`, it says how far the run is."""

    def __init__(self, display, title="", counts=False):
        super().__init__(display.screen, title)
        self._display, self._counts = display, counts

    def update(self, number, **changes):
        super().update(number, **changes)
        line = next(line for line in self._bar.tasks if line.id == number)
        self._display.reached(line, self._counts and number == self._bar.tasks[0].id)
