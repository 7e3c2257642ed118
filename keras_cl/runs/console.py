"""Output of a run on the screen: a headline, progress, the accuracy matrix and its metrics."""

import collections
import contextlib
import pathlib
import time

import numpy as np
import tf_keras as keras
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_cl import anytime, metrics
from keras_cl.runs.bars import Bars
from keras_cl.runs.directory import REPORT
from keras_cl.runs.remaining import Remaining, told
from keras_cl.runs.results import bytes_told
from keras_cl.streams.parts.shown import counted

MEANING = {
    "task": "task-incremental (the task of an image is known and only its classes may answer)",
    "domain": "domain-incremental (all tasks share the outputs and the task is never known)",
    "class": "class-incremental (every class seen so far may answer)",
}
SHOWN = (  # the other numbers are in summary.json
    "average_accuracy",
    "forgetting",
    "backward_transfer",
    "forward_transfer",
    "learning_accuracy",
    "worst_accuracy",
)
KEPT = 100  # lines for a log that is not open yet
WIDE = 1000  # columns of a log file or pipe


class Display:
    """Writes to the screen and, once a run directory is open, to its log."""

    def __init__(self, screen=None):
        self.screen = screen or _console()
        self.place = 0, 1  # of this run among the seeds, and their number
        self._log, self._before = None, _earlier()

    @contextlib.contextmanager
    def logging(self, folder):
        """Inside the `with` block, also writes to log.txt in a folder, starting with all earlier output. If
        there is no folder nothing is logged; if there is already a log it is used."""
        if self._log:
            yield
            return
        with contextlib.nullcontext() if folder is None else open(folder / "log.txt", "a") as file:
            before, self._before = self._before, None
            self._log = file and _console(file=file)
            for content in before if file else ():
                self.note(*content)
            try:
                yield
            finally:
                self._log, self._before = None, _earlier()

    def say(self, *content):
        """Shows and logs text or tables."""
        self.screen.print(*content)
        self.note(*content)

    def note(self, *content):
        """Logs without showing."""
        if self._log:
            stamp = time.strftime("%H:%M:%S")
            self._log.print(*(f"{stamp} {part}" if isinstance(part, str) else part for part in content))
        elif self._before is not None:
            self._before.append(content)

    def matrix(self, R, title):
        """Shows the accuracy matrix `[T+1, T]` in percent; row i is measured after i tasks."""
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
        """Shows the numbers of a summary, of one seed or over seeds, with their meaning."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name in SHOWN:
            meaning = Text(metrics.DESCRIPTIONS[name], style="dim")
            table.add_row(name.replace("_", " "), _shown(summary.get(name)), meaning)  # none: in no seed
        self.say(table)

    def begin(self, method, stream, seeds, path, device=""):
        """Shows the headline: method, stream, scenario, seeds, device and folder of the results."""
        parts = "one pass without tasks" if stream.every else counted(len(stream), "task") + stream.sizes
        line = f"{method} on {stream.name}: {parts}, {MEANING[stream.scenario]}; "
        line += f"seed {','.join(map(str, seeds))}"
        line += f", on {device}" if device else ""
        line += f"; results go to {path}" if path else ""
        self.say(line)

    def results(self, R, summary, seeds=1):
        """Shows the accuracy matrix (the mean over several seeds) and the numbers of the summary."""
        over = f"Mean accuracy (percent) over {seeds} seeds"
        self.matrix(R, over if seeds > 1 else "Accuracy (percent) on the test images of each task")
        self.summary(summary)
        self.anytime(summary)
        self.generator(summary)
        self.sizes(summary)

    def anytime(self, summary):
        """Shows the numbers of a pass without tasks, if it was one."""
        self._described({name: summary[name] for name in anytime.DESCRIPTIONS if name in summary})

    def generator(self, summary):
        """Shows how good the generator is after the last task, if that was measured."""
        self._described({name: summary[name][-1] for name in metrics.GENERATOR if name in summary})

    def _described(self, values):
        """Shows numbers with their meaning."""
        known = metrics.GENERATOR | anytime.DESCRIPTIONS
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in values.items():
            table.add_row(name.replace("_", " "), _shown(value), Text(known[name], style="dim"))
        if table.row_count:
            self.say(table)

    def learned(self, title, seconds, accuracies, report):
        """Shows that a task was learned, the report of the method, and the accuracy on all tasks so far."""
        if np.isnan(accuracies).all():
            return self.say(f"{title} waits to be learned with a later one")
        known = "  ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)
        told = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in report.items())
        return self.say(f"{title} learned in {seconds:.1f} s{told}; accuracy on the tasks so far: {known}")

    def sizes(self, summary):
        """Shows the sizes of the network, the method's state and its memory after the last task."""
        parts = [f"network {bytes_told(summary['network_bytes'])} ({summary['parameters']:,} parameters)"]
        parts += [f"method {bytes_told(summary['method_bytes'][-1])}"]
        if "sizes" in summary:
            parts.append(f"generator {bytes_told(summary['memory_bytes'][-1])}")
        elif summary["memory_bytes"][-1]:
            rows = summary["memory_rows"][-1]
            parts.append(f"memory {bytes_told(summary['memory_bytes'][-1])} ({rows:,} rows held)")
        if "equal_rows" in summary:
            total = sum((summary["network_bytes"], summary["method_bytes"][-1], summary["memory_bytes"][-1]))
            equal = f"as many bytes as {summary['equal_rows'][-1]:,} images of the stream"
            parts.append(f"together {bytes_told(total)}: {equal}")
        self.say(f"kept     {', '.join(parts)}")
        if "sizes" in summary:
            self.say(_sizes(summary["sizes"]))

    def end(self, remark, results, models):
        """Shows a remark, if there is one, and the paths."""
        if remark:
            self.say(remark)
        self.say(f"results  {results}\nmodels   {models or 'none are exported'}")
        self.report(results)

    def report(self, path):
        """Shows where the report of the run in a directory is, if there is one."""
        if path and pathlib.Path(path, REPORT).exists():
            self.say(f"report   {pathlib.Path(path, REPORT)}")

    def working(self, title=""):
        """`Bars` for long work that is no training, as a context manager; a title stands before the work."""
        return Bars(self.screen, title)

    def bars(self):
        """The `Bars` of a `Training`."""
        return Bars(self.screen)

    def training(self, todo, whole=None):
        """A `Training` for the tasks to come.

        Args:
          todo: amount of training of each task to come, in any unit.
          whole: the same for all tasks of the run; by default those to come are all.
        """
        return Training(self, todo, todo if whole is None else whole)


class Training(keras.callbacks.Callback):
    """Keras callback: a progress bar with task, epoch, loss, accuracy and remaining time.

    It is a context manager around all tasks. The remaining time is that of all tasks and all seeds.
    """

    def __init__(self, display, todo, whole):
        super().__init__()
        self._display, self._place = display, ""
        run, runs = display.place
        self._left = Remaining([*todo, *(runs - 1 - run) * list(whole)])
        self._earlier = runs * sum(whole) - sum(self._left.sizes)
        self._bars = display.bars()
        self._line = self._bars.add("compiling", runs * sum(whole))
        self.phase = self._bars.phase  # as `keras_cl.learning.progress.Progress`

    def __enter__(self):
        self._bars.__enter__()
        return self

    def __exit__(self, *given):
        self._bars.__exit__(*given)

    def begin(self, title):
        """Starts a task."""
        self._bars.title = title

    def follow(self, name):
        """Shows what is done now that training on the task has ended."""
        line = f"{self._bars.title}  {name}"
        self._bars.update(self._line, description=line, numbers="")
        self._display.note(line)
        self._bars.line(line)

    def on_train_begin(self, logs=None):
        self._left.begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._place = f"{self._bars.title}  epoch {epoch + 1}/{self.params['epochs']}"
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        within = (batch + 1) / self.params["steps"]
        self._left.reach((self._epoch + within) / self.params["epochs"])
        numbers, left = _numbers(logs), told(self._left.seconds)
        done = self._earlier + self._left.done
        self._bars.update(self._line, completed=done, description=self._place, numbers=numbers, left=left)
        if within < 1:  # else the epoch ends
            self._bars.line(f"{self._place}, {100 * within:.0f} percent of it  {numbers}  {left}".rstrip())

    def on_epoch_end(self, epoch, logs=None):
        line = f"{self._place}  {_numbers(logs)}  {told(self._left.seconds)}".rstrip()
        self._display.note(line)
        self._bars.line(line)

    def on_train_end(self, logs=None):
        self._left.end()
        self.follow("end of task")


def _earlier():
    """What is said before there is a log; of a program without one only the last lines are kept."""
    return collections.deque(maxlen=KEPT)


def _console(file=None):
    """A console that shows text unchanged; tables in a file or pipe have no width limit."""
    notebook = None if file is None else False  # in a notebook, rich would show what is for a file
    console = Console(
        file=file, force_jupyter=notebook, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    if not console.is_terminal:
        console.width = WIDE
    return console


def _sizes(sizes):
    """Table of parameters and MiB of network and generator, and of the stored rows of the same size."""
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
