"""What loggers share: which numbers are logged under which names, and that nothing is logged twice."""

import warnings

import tf_keras as keras

from keras_cl import metrics
from keras_cl.errors import Notice
from keras_cl.runs.files import as_json, replace
from keras_cl.runs.loggers import LEDGER, images, ledger

COSTS = ("seconds", "parameters", "network_bytes", "method_bytes", "memory_bytes", "memory_rows")
NOTHING = {"tasks": -1, "epochs": 0, "ended": False}


class Logger(keras.callbacks.Callback):
    """Base class of loggers. A subclass has the methods `open`, `scalars`, `image` and `close`.

    Numbers of the training are counted by epochs since the beginning of the run (by steps with `iterations`),
    those after a task by tasks. What was logged is noted in the run directory, so that a resumed run logs
    what is missing, and a run that was finished without a logger can be logged later.
    """

    _open = _failed = False  # a log that failed is mended after the task
    service = ""  # name in the run directory
    errors = ()  # of a service that cannot be reached; what was not logged is logged after the next task

    def open(self, description, noted):
        """Begins to log a run, or goes on; `noted` is a dict for what identifies it in the service."""
        raise NotImplementedError

    def scalars(self, axis, number, values):
        """Logs `{name: value}` at a number of the axis "epoch" or "task"."""
        raise NotImplementedError

    def image(self, name, number, png):
        """Logs an image, the bytes of a PNG, at a number of tasks."""
        raise NotImplementedError

    def close(self, results, error=None):
        """Ends the log of a run; `error` is what stopped it, None if all tasks are finished."""
        raise NotImplementedError

    def on_run_begin(self, description):
        self._path, self._results = description["path"], description["results"]
        self._noted = NOTHING | ledger(self._path).get(self.service, {})
        self._open = False
        if not self._noted["ended"]:
            self.open(description, self._noted)
            self._open = True
            self._note()
            self._log(self._results)

    def on_task_begin(self, task):
        self._log(self._results)  # of the untrained network

    def on_epoch_recorded(self, task, record):
        before = sum(map(_length, self._results.records))
        if self._open and not self._failed:
            self._attempt(self._epoch, before + _position(record), record)

    def on_task_end(self, task, results):
        self._log(results)

    def on_run_end(self, results):
        if self._open:
            self._log(results)
            if not self._failed:  # else its end is logged when the same command is given again
                self._attempt(self.close, results)
            self._note(ended=not self._failed)
            self._open = False

    def on_run_stopped(self, results, error):
        if self._open:
            self._attempt(self.close, results, error)
            self._open = False

    def _log(self, results):
        """Logs all records of a run that were not logged yet."""
        if self._open:
            self._attempt(self._log_missing, results)

    def _log_missing(self, results):
        before = 0
        for number, record in enumerate(results.records):
            for epoch in record["epochs"]:
                self._epoch(before + _position(epoch), epoch)
            before += _length(record)
            if number > self._noted["tasks"]:
                self._task(number, results.up_to(number))

    def _epoch(self, number, record):
        if number <= self._noted["epochs"]:
            return
        accuracies = _by_task("epoch/accuracy_of_task", record.get("accuracies") or ())
        values = {f"epoch/{k}": v for k, v in record.items() if k not in ("epoch", "step", "accuracies")}
        self.scalars("epoch", number, _measured(values | accuracies))
        self._note(epochs=number)

    def _task(self, number, results):
        self.scalars("task", number, values_after(number, results))
        if number:
            self.image("matrix", number, images.matrix(results.matrix))
        samples = self._path and self._path / "samples" / f"task_{number:03d}.png"
        if samples and samples.is_file():
            self.image("generator", number, samples.read_bytes())
        self._note(tasks=number)

    def _attempt(self, function, *given):
        try:
            function(*given)
            self._failed = False
        except self.errors as error:
            self._failed = True
            warnings.warn(f"{type(self).__name__} could not log: {error}", Notice, stacklevel=2)

    def _note(self, **facts):
        self._noted |= facts
        if self._path:
            replace(self._path / LEDGER, as_json(ledger(self._path) | {self.service: self._noted}))


def values_after(number, results):
    """`{name: value}` of what is known after a number of tasks: accuracies and losses by task, the metrics of
    the tasks so far, costs, and the report of the method."""
    record, R = results.records[-1], results.matrix
    values = _by_task("accuracy/task", record["accuracies"])
    values |= _by_task("loss/task", record.get("losses") or ())
    if number:
        known = metrics.summary(R[:, :number]) | results.anytime()
        values |= {f"metrics/{k}": v for k, v in known.items()}
    values |= {f"cost/{name}": record[name] for name in COSTS}
    values |= {f"method/{name}": value for name, value in record["report"].items()}
    return _measured(values)


def flat(settings):
    """Settings as `{name: value}` of texts, numbers and truth values; lists are joined by commas."""
    return {name: _flat(value) for name, value in settings.items()}


def _flat(value):
    if isinstance(value, bool | int | float | str):
        return value
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _by_task(name, values):
    return {f"{name}_{task}": value for task, value in enumerate(values, start=1)}


def _measured(values):
    """Only the numbers; what was not measured is None."""
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def _position(record):
    """The step, or the epoch, of a record of the training on a task."""
    return record.get("step", record["epoch"])


def _length(record):
    """The number of steps, or epochs, of a task."""
    return max(map(_position, record["epochs"]), default=0)
