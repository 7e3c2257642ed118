"""Bars of long work: live in a terminal and in a notebook, a line a minute in a file or a pipe."""

import contextlib
import time

from rich.progress import BarColumn, Progress, TextColumn

from keras_cl.learning import progress
from keras_cl.runs.remaining import told

LINE_EVERY = 60.0  # seconds between lines where no bar can be shown
SHOWN_EVERY = 0.2  # seconds between two states of the bars in a notebook


class Bars(progress.Progress):
    """Progress bars that are there inside its `with` block.

    Args:
      screen: rich's `Console`.
      title: what the work belongs to; it stands before the name of a phase.
    """

    def __init__(self, screen, title=""):
        self.title, self._screen = title, screen
        self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("{task.fields[left]}"),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._notebook = _Notebook(self._bar) if screen.is_jupyter else None

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()
        if self._notebook:
            self._notebook.clear()

    def add(self, description, total):
        """Adds a bar, and returns its number."""
        number = self._bar.add_task(description, total=total, numbers="", left="")
        self._redraw()
        return number

    def update(self, number, **changes):
        """Changes a bar: its description, completed, numbers or left."""
        self._bar.update(number, **changes)
        self._redraw()

    def line(self, text):
        """Shows a line if a bar cannot be shown, and the last line was long ago."""
        now = time.monotonic()
        if not (self._screen.is_terminal or self._notebook) and now - self._last_line > LINE_EVERY:
            self._screen.print(text)
            self._last_line = now

    @contextlib.contextmanager
    def phase(self, name, total):
        place = f"{self.title}  {name}" if self.title else name
        number, started, done = self.add(place, total), time.monotonic(), 0

        def advance(amount=1):
            nonlocal done
            done = min(done + amount, total)
            left = told((time.monotonic() - started) * (total - done) / done) if done else ""
            self.update(number, completed=done, left=left)
            if done < total:
                self.line(f"{place}, {100 * done / total:.0f} percent of it  {left}".rstrip())

        try:
            yield advance
        finally:
            self._bar.remove_task(number)
            self._redraw()

    def _redraw(self):
        if self._notebook:
            self._notebook.show()


class _Notebook:
    """Shows rich's bars as one output of a notebook's cell that is replaced.

    Rich's own way needs ipywidgets, and leaves a widget in a notebook that is saved.
    """

    def __init__(self, bars):
        self._bars, self._shown, self._output = bars, -SHOWN_EVERY, None

    def show(self):
        now = time.monotonic()
        if now - self._shown < SHOWN_EVERY:
            return
        self._shown = now
        if self._output is None:
            from IPython.display import display

            self._output = display(self._bars, display_id=True)
        else:
            self._output.update(self._bars)

    def clear(self):
        if self._output is not None:
            self._output.update({"text/plain": ""}, raw=True)
