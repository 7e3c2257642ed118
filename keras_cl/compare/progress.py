"""Progress over all runs: bars with the time left in a terminal, a line a minute elsewhere.

Nothing here imports TensorFlow, which only the workers need.
"""

import threading
import time
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from keras_cl.compare.jobs import Watch
from keras_cl.runs.remaining import told

LINE_EVERY = 60.0  # seconds between lines where there is no terminal
ENOUGH = 0.02  # of a run, before the time left is estimated


class _Running(NamedTuple):
    bar: int
    fraction: float = 0.0
    text: str = ""


def console():
    """The screen, on which text is shown unchanged and lines are not broken."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def postponed(outcome):
    """Whether a run was left to another process that trains it."""
    return outcome.state == "done" and bool((outcome.value or {}).get("in_use"))


class Overview(Watch):
    """Shows how far all runs are, and says at once which one failed and why.

    A context manager around the runs.

    Args:
      total: number of runs to come.
      screen: rich `Console`.
      every: seconds between lines where there is no terminal.
      clock: function that returns seconds.
    """

    def __init__(self, total, screen, every=LINE_EVERY, clock=time.monotonic):
        self.total, self.done, self.failed = total, 0, []
        self._screen, self._every, self._clock = screen, every, clock
        self._shows = screen.is_terminal and not screen.is_jupyter
        self._running, self._began = {}, clock()
        self._ended = threading.Event()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            console=screen,
            transient=True,
            disable=not self._shows,
        )
        self._all = self._bars.add_task(self._headline(), total=total, note="")

    def __enter__(self):
        self._bars.start()
        if not self._shows:
            threading.Thread(target=self._lines, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._bars.stop()

    def started(self, job):
        """Adds a bar; a run whose worker died begins again."""
        self._remove(job)
        bar = self._bars.add_task(job.name, total=1.0, note="")
        self._running = {**self._running, job.name: _Running(bar)}
        self._update()

    def progress(self, job, fraction, text):
        """Moves the bar of a run."""
        bar = self._running[job.name].bar
        self._running = {**self._running, job.name: _Running(bar, fraction, text)}
        self._bars.update(bar, completed=fraction, note=text)
        self._update()

    def ended(self, outcome):
        """Removes the bar, and says why the run failed if it did."""
        self._remove(outcome.job)
        if outcome.state == "failed":
            self.failed.append(outcome)
            self._screen.print(f"{outcome.job.name} failed: {outcome.error}")
        self.done += not postponed(outcome)
        self._update()

    def _remove(self, job):
        if job.name in self._running:
            self._bars.remove_task(self._running[job.name].bar)
        self._running = {name: how for name, how in self._running.items() if name != job.name}

    @property
    def seconds_left(self):
        """Seconds that are left; None if too little is done to say it."""
        units = self._units()
        if units < ENOUGH:
            return None
        return (self.total - units) * (self._clock() - self._began) / units

    def line(self):
        """How far all runs are, as a line."""
        running = [f"{name} ({how.text or 'begins'})" for name, how in self._running.items()]
        parts = [self._headline(), told(self.seconds_left), f"now {', '.join(running)}" if running else ""]
        return "; ".join(part for part in parts if part)

    def _headline(self):
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{self.done} of {self.total} runs{failed}"

    def _update(self):
        left = told(self.seconds_left)
        self._bars.update(self._all, description=self._headline(), completed=self._units(), note=left)

    def _units(self):
        """Number of runs that are done, with the parts of those that are running."""
        return self.done + sum(how.fraction for how in self._running.values())

    def _lines(self):
        while not self._ended.wait(self._every):
            self._screen.print(self.line())
