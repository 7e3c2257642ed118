"""`keras_cl.learn`, the loop over tasks: trains, evaluates, exports and checkpoints each task of a stream."""

import contextlib
import pathlib
from typing import NamedTuple

import numpy as np

from keras_cl.errors import pick, require
from keras_cl.learning.progress import shown_by
from keras_cl.report import figures
from keras_cl.report.write import complete
from keras_cl.runs.console import Display
from keras_cl.runs.directory import MEASURED, REPORT, NoDirectory, RunDirectory
from keras_cl.runs.exports import Exports, NoExports
from keras_cl.runs.hardware import moved
from keras_cl.runs.history import title_of
from keras_cl.runs.hooks import announced
from keras_cl.runs.learn import Run
from keras_cl.runs.opening import open_run
from keras_cl.runs.plan import Plan, check, size
from keras_cl.runs.provenance import about, described
from keras_cl.runs.results import Results
from keras_cl.runs.samples import collapse
from keras_cl.settings.config import EPOCHS, digest
from keras_cl.streams.base import Stream


class Learned(NamedTuple):
    """What `learn` returns.

    Attributes:
      matrix: accuracy matrix `[T + 1, T]`: row i after i tasks, column j on the test images of task j.
      summary: dict of all metrics of the matrix, and of the costs of the run.
    """

    matrix: np.ndarray
    summary: dict


def learn(
    model,
    stream,
    *,
    epochs=None,
    batch_size=32,
    iterations=0,
    replay_batch_size=0,
    eval_every="task",
    early_stopping=0,
    run_dir=None,
    export_dir=None,
    keep="all",
    export="all",
    callbacks=(),
    overwrite=False,
    display=None,
    eval_tasks="all",
):
    """Trains a model on every task of a stream, and evaluates it on all tasks after each task.

    Args:
      model: a compiled, untrained `ContinualModel`.
      stream: a `Stream`.
      epochs: passes over the training rows of each task; by default 10, and 1 for a stream without tasks.
      batch_size, iterations: rows per step; steps per task instead of epochs.
      replay_batch_size: rows that each draw from the memory adds to a step; 0 for `batch_size`.
      eval_every: "task", or "epoch" to measure the accuracies after each epoch too.
      early_stopping: epochs without a better validation loss after which a task ends at its best; 0 for none.
      run_dir: folder for results, checkpoints, figures and report; the same call resumes a run that was
        stopped. None stores nothing. An open `RunDirectory` is used as it is, and its owner completes it.
      export_dir: folder for one SavedModel per task, 1 to T; None exports nothing.
      keep: "all" checkpoints, or "last" for that of the last finished task alone.
      export: "all" models, "last" for the one after the last task alone, or "none".
      callbacks: Keras callbacks for every call of `fit`; loggers such as `keras_cl.runs.TensorBoard()`.
      overwrite: whether an earlier run in `run_dir` is removed first.
      display: `Display` for the progress; by default the screen.
      eval_tasks: tasks that are evaluated: "all", or "seen": those learned so far, the others are NaN.

    Returns:
      `Learned(matrix, summary)`.

    Raises:
      InputError: one sentence about an unusable argument.
    """
    epochs = _epochs(epochs, stream)
    plan = Plan(epochs, iterations, batch_size, replay_batch_size, eval_every, early_stopping, eval_tasks)
    alone, display = display is None, display or Display()
    _check(model, stream, plan, keep, export, display)
    with _opened(run_dir, model, stream, plan, overwrite) as directory, display.logging(directory.path):
        if alone:
            display.begin(model.name, stream, [model.seed], directory.path)
        exports = _exports(export_dir, model, stream, plan, directory, export, overwrite)
        results = _learned_all(model, stream, plan, directory, exports, keep, callbacks, display)
        if not isinstance(run_dir, RunDirectory):
            complete(directory)
        if alone:
            display.results(results.matrix, results.summary())
            display.report(directory.path)
    return Learned(results.matrix, results.summary())


def _epochs(given, stream):
    usual = 1 if getattr(stream, "every", 0) else EPOCHS
    return usual if given is None else given


def _read(stream, display):
    """Loads the data of a stream, and shows how far it is; what is no stream is refused later."""
    if isinstance(stream, Stream):
        with display.working() as progress:
            stream.read(progress)


def _learned_all(model, stream, plan, directory, exports, keep, callbacks, display):
    """The `Results` of all tasks, of which only those are learned that are not finished in `directory`."""
    results = Results(directory.finished())
    with announced(callbacks, model, stream, plan, directory, results):
        _learn_missing(Run(model, plan, results, directory, exports, keep, callbacks), stream, display)
    if keep == "last":
        directory.keep_last(len(stream))
    exports.settle(stream)
    return results


def _learn_missing(run, stream, display):
    """Learns what is not finished, and writes what was lost or edited."""
    directory, results = run.directory, run.results
    if _complete(stream, directory, run.exports, results, display):
        display.say(f"{directory.path} is complete; --overwrite trains it again.")
    else:
        _learn_tasks(run, stream, display)
        directory.write_results(results)
        directory.write_json("summary.json", results.summary())
        if directory.path:
            figures.draw(directory.path)


def _complete(stream, directory, exports, results, display):
    """Whether nothing has to be learned or written again; says what was lost or edited."""
    if not directory.done or results.tasks < len(stream):
        return False
    lost = [name for name in directory.changed() if name not in MEASURED]
    lost += [f"the model {task.number}" for task in stream if not exports.has(task)]
    if lost:
        display.say(told_lost(directory, lost))
    return set(lost) <= {REPORT}  # which is written at the end of every call


def told_lost(directory, names):
    """A line about files of a complete run that were lost or edited."""
    return f"{', '.join(names)} of {directory.path}: missing or changed, and written again."


def _check(model, stream, plan, keep, export, display):
    _read(stream, display)
    check(model, stream, plan)
    pick("keep", keep, ("all", "last"))
    pick("export", export, ("all", "last", "none"))
    pick("eval_tasks", plan.eval_tasks, ("all", "seen"))


def _opened(run_dir, model, stream, plan, overwrite):
    if run_dir is None:
        return contextlib.nullcontext(NoDirectory())
    if isinstance(run_dir, RunDirectory):
        return contextlib.nullcontext(run_dir)
    return open_run(run_dir, described(model, stream, plan.settings), about(), overwrite)


def _exports(export_dir, model, stream, plan, directory, which, overwrite):
    if export_dir is None or which == "none":
        return NoExports()
    if isinstance(export_dir, Exports):
        return export_dir
    settings = described(model, stream, plan.settings)
    description = {"run": pathlib.Path(export_dir).name, "method": model.name, "seed": model.seed}
    description |= {"settings_hash": digest(settings), "settings": settings}
    exports = Exports(export_dir, description, directory.identity, which)
    if overwrite:
        exports.claim(overwrite)
    return exports


def _learn_tasks(run, stream, display):
    """Learns the tasks that are not finished in the directory of the `Run`."""
    run.exports.claim()
    if not len(run.results):
        require(not run.model.begun, "The model has learned tasks already; make a new one.")
        display.note("evaluation of the untrained network")
        with display.working("untrained network") as progress, shown_by(progress, run.model):
            run.begin(stream)
    else:
        _restore(run, stream, display)
    todo = stream[run.results.tasks :]
    sizes = [size(run.model, tasks, run.plan) for tasks in (todo, stream)]
    with display.training(*sizes) as progress, shown_by(progress, run.model):
        for task in todo:
            record = run.learn(task, progress)
            run.directory.write_results(run.results)
            row = run.results.matrix[-1, : task.number]
            display.learned(title_of(task), record["seconds"], row, record["report"])
            if told := collapse(task, record.get("generated_labels", ())):
                display.say(told)


def _restore(run, stream, display):
    """Restores the model after the last finished task, and exports missing models again."""
    directory, exports, results = run.directory, run.exports, run.results
    missing = [task for task in stream[: results.tasks] if not exports.has(task)]
    with display.working() as progress, progress.phase("export of missing models", len(missing)) as advance:
        for task in missing:
            purpose = f"To export the model {task.number}, which is missing or changed,"
            run.checkpoints.read(directory.kept_folder(task.number, f"{purpose} the run"))
            exports.write(run.model, task, results.up_to(task.number))
            advance()
    run.checkpoints.read(directory.kept_folder(results.tasks, "Resuming"))
    if told := moved(directory):
        display.say(told)
    if results.tasks:
        display.say(f"Resuming after task {results.tasks}.")
