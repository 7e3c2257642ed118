"""What a run shows: a headline, progress while it trains, the matrix and what its numbers mean."""

import contextlib
import time

import numpy as np
import tf_keras as keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from keras_cl import metrics

MEANING = {
    "task": "task-incremental (the task of an image is known and only its classes may answer)",
    "domain": "domain-incremental (all tasks share the outputs and the task is never known)",
    "class": "class-incremental (every class seen so far may answer)",
}
SHOWN = (  # the other numbers of a summary stand in summary.json
    "average_accuracy",
    "forgetting",
    "backward_transfer",
    "forward_transfer",
    "learning_accuracy",
    "worst_accuracy",
)
WIDE = 1000  # columns of a log or pipe
LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on


class Display:
    """Writes to the screen and, once a run directory is open, to its log."""

    def __init__(self, screen=None):
        self.screen = screen or _console()
        self._log, self._before = None, []

    @contextlib.contextmanager
    def logging(self, folder):
        """Also writes to log.txt in a folder inside the `with`, beginning with what was said before; not if
        there is no folder, or a log already."""
        if folder is None or self._log:
            yield
            return
        with open(folder / "log.txt", "a") as file:
            self._log = _console(file=file)
            for content in self._before:
                self.note(*content)
            try:
                yield
            finally:
                self._log, self._before = None, []

    def say(self, *content):
        """Shows and logs some text or tables."""
        self.screen.print(*content)
        self.note(*content)

    def note(self, *content):
        """Logs without showing."""
        if self._log:
            stamp = time.strftime("%H:%M:%S")
            self._log.print(*(f"{stamp} {part}" if isinstance(part, str) else part for part in content))
        else:
            self._before.append(content)

    def matrix(self, R, title):
        """Shows the accuracy matrix `[T+1, T]` in percent; a row is a moment, a column a task."""
        tasks = R.shape[1]
        table = Table(title=title, title_justify="left")
        table.add_column("", min_width=len(f"after task {tasks}"))
        for j in range(tasks):
            table.add_column(f"task {j + 1}", justify="right", min_width=len("100.0"))
        for i, row in enumerate(R):
            cells = ["" if np.isnan(a) else f"{100 * a:.1f}" for a in row]
            table.add_row(f"after task {i}" if i else "untrained", *cells)
        self.say(table)

    def summary(self, summary):
        """Shows the numbers of a summary, of one seed or over seeds, beside what they mean."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name in SHOWN:
            if name in summary:
                meaning = metrics.DESCRIPTIONS[name]
                table.add_row(name.replace("_", " "), _shown(summary[name]), Text(meaning, style="dim"))
        self.say(table)

    def begin(self, method, stream, seeds, path, device=""):
        """Says first what is run, in which scenario, and where results go."""
        line = f"{method} on {stream.name}: {len(stream)} tasks, {MEANING[stream.scenario]}; "
        line += f"seed {','.join(map(str, seeds))}"
        line += f", on {device}" if device else ""
        line += f"; results go to {path}" if path else ""
        self.say(line)

    def results(self, R, summary, seeds=1):
        """Shows the accuracy matrix, a mean over several seeds, and the numbers of the summary."""
        over = f"Mean accuracy (percent) over {seeds} seeds"
        self.matrix(R, over if seeds > 1 else "Accuracy (percent) on the test images of each task")
        self.summary(summary)
        self.sizes(summary)

    def learned(self, title, seconds, accuracies, report):
        """Says that a task was learned, what the method reports, and how well all tasks so far are known."""
        known = "  ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)
        told = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in report.items())
        self.say(f"{title} learned in {seconds:.1f} s{told}; accuracy on the tasks so far: {known}")

    def sizes(self, summary):
        """Says how large the network is, and what the method and its memory hold after the last task."""
        parts = [f"network {_bytes(summary['network_bytes'])} ({summary['parameters']:,} parameters)"]
        parts += [f"method {_bytes(summary['method_bytes'][-1])}"]
        if "sizes" in summary:
            parts.append(f"generator {_bytes(summary['memory_bytes'][-1])}")
        elif summary["memory_bytes"][-1]:
            rows = summary["memory_rows"][-1]
            parts.append(f"memory {_bytes(summary['memory_bytes'][-1])} ({rows:,} rows held)")
        self.say(f"kept     {', '.join(parts)}")
        if "sizes" in summary:
            self.say(_sizes(summary["sizes"]))

    def end(self, remark, results, models):
        """Ends with a remark, if there is one, and the paths."""
        if remark:
            self.say(remark)
        self.say(f"results  {results}\nmodels   {models}")

    def training(self, epochs):
        """A `Training` that follows `epochs` epochs over all tasks."""
        return Training(self, epochs)


class Training(keras.callbacks.Callback):
    """Keras callback: a bar with task, epoch, loss, accuracy and time left. It draws and decides nothing.

    It is a context around all tasks, so that the time left is that of the whole run.
    """

    def __init__(self, display, epochs):
        super().__init__()
        self._display, self._total, self._before, self._title = display, epochs, 0, ""
        self._started = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=display.screen,
            transient=True,
            disable=not display.screen.is_terminal,
        )
        self._line = self._bar.add_task("compiling", total=epochs, numbers="")

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def begin(self, title):
        """Starts on a task."""
        self._title = title

    def on_epoch_begin(self, epoch, logs=None):
        self._place = f"{self._title}  epoch {epoch + 1}/{self.params['epochs']}"

    def on_train_batch_end(self, batch, logs=None):
        done = self._before + (batch + 1) / self.params["steps"]
        self._bar.update(self._line, completed=done, description=self._place, numbers=_numbers(logs))

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        self._before += 1
        left = (now - self._started) / self._before * (self._total - self._before)
        line = f"{self._place}  {_numbers(logs)}  about {left:.0f} s left"
        self._display.note(line)
        if not self._display.screen.is_terminal and now - self._last_line > LINE_EVERY:
            self._display.screen.print(line)
            self._last_line = now


def _console(file=None):
    """A console that shows text as it is; a file or pipe has no width that tables would have to fit into."""
    console = Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    return console


def _bytes(count):
    """1.5 MB and the like."""
    power = sum(count >= 999.5 * 1000**k for k in range(3))  # of what three digits round to
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def _sizes(sizes):
    """Parameters and MiB of network and generator, and how many stored rows would take as much."""
    table = Table(show_header=True, box=None, padding=(0, 2, 0, 0))
    for column in ("", "parameters", "MiB", "stored rows"):
        table.add_column(column, justify="right" if column else "left")
    for name, size in sizes.items():
        table.add_row(name, f"{size['parameters']:,}", f"{size['mib']:.2f}", f"{size['rows']:,}")
    return table


def _numbers(logs):
    return f"loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.3f}"


def _shown(value):
    if isinstance(value, dict):
        spread = f" (sd {value['std']:.4f})" if value["std"] is not None else ""
        return _shown(value["mean"]) + spread
    return "not defined here" if value is None else f"{value:.4f}"
