"""`keras_cl.learn`, the loop over tasks: trains, evaluates, exports and checkpoints each task of a stream."""

import contextlib
import dataclasses
import pathlib
import time
from typing import NamedTuple

import numpy as np

from keras_cl.errors import Diverged, pick, require
from keras_cl.runs import figures, samples
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.console import Display
from keras_cl.runs.directory import NoDirectory, RunDirectory
from keras_cl.runs.early_stopping import early_stopping as stops
from keras_cl.runs.exports import Exports, NoExports
from keras_cl.runs.hardware import moved
from keras_cl.runs.history import EpochHistory, title_of
from keras_cl.runs.opening import open_run
from keras_cl.runs.plan import Plan, check, passes, size
from keras_cl.runs.provenance import about, described
from keras_cl.runs.results import Results, plain
from keras_cl.runs.step_history import StepHistory
from keras_cl.settings.config import digest


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
    epochs=10,
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
):
    """Trains a model on every task of a stream, and evaluates it on all tasks after each task.

    Args:
      model: a compiled, untrained `ContinualModel`.
      stream: a `Stream`.
      epochs: passes over the training rows of each task.
      batch_size: rows per step.
      iterations: steps per task instead of epochs.
      replay_batch_size: rows that each draw from the memory adds to a step; 0 for `batch_size`.
      eval_every: "task", or "epoch" to measure the accuracies after each epoch too.
      early_stopping: epochs without a better validation loss after which a task ends at its best; 0 for none.
      run_dir: folder for results, checkpoints and figures; the same call resumes a run that was stopped.
        None stores nothing. An open `RunDirectory` is used as it is, and its owner calls `finish`.
      export_dir: folder for one SavedModel per task, 1 to T; None exports nothing.
      keep: "all" checkpoints, or "last" for that of the last finished task alone.
      export: "all" models, "last" for the one after the last task alone, or "none".
      callbacks: Keras callbacks for every call of `fit`.
      overwrite: whether an earlier run in `run_dir` is removed first.
      display: `Display` for the progress; by default the screen.

    Returns:
      `Learned(matrix, summary)`.

    Raises:
      InputError: one sentence about an unusable argument.
    """
    plan = Plan(epochs, iterations, batch_size, replay_batch_size, eval_every, early_stopping)
    check(model, stream, plan)
    alone, display = display is None, display or Display()
    _check_kept(keep, export)
    with _opened(run_dir, model, stream, plan, overwrite) as directory, display.logging(directory.path):
        if alone:
            display.begin(model.name, stream, [model.seed], directory.path)
        exports = _exports(export_dir, model, stream, plan, directory, export)
        if overwrite:
            exports.claim(overwrite)
        results = _learned_all(model, stream, plan, directory, exports, keep, callbacks, display)
        if not isinstance(run_dir, RunDirectory):
            directory.finish()
        if alone:
            display.results(results.matrix, results.summary())
    return Learned(results.matrix, results.summary())


def _learned_all(model, stream, plan, directory, exports, keep, callbacks, display):
    """The `Results` of all tasks, of which only those are learned that are not finished in `directory`."""
    results = Results(directory.finished())
    if _complete(stream, directory, exports, results, display):
        display.say(f"{directory.path} is complete; --overwrite trains it again.")
    else:
        _learn_tasks(model, stream, plan, results, directory, exports, keep, callbacks, display)
        directory.write_results(results)
        directory.write_json("summary.json", results.summary())
        _draw(directory)
    if keep == "last":
        directory.keep_last(len(stream))
    exports.settle(stream)
    return results


def _complete(stream, directory, exports, results, display):
    """Whether nothing has to be learned or written again; says what was lost or edited."""
    if not directory.done or results.tasks < len(stream):
        return False
    lost = [name for name in directory.changed() if not name.startswith("curvature.")]
    lost += [f"the model {task.number}" for task in stream if not exports.has(task)]
    if lost:
        display.say(told_lost(directory, lost))
    return not lost


def told_lost(directory, names):
    """A line about files of a complete run that were lost or edited."""
    return f"{', '.join(names)} of {directory.path}: missing or changed, and written again."


def _check_kept(keep, export):
    pick("keep", keep, ("all", "last"))
    pick("export", export, ("all", "last", "none"))


def _opened(run_dir, model, stream, plan, overwrite):
    if run_dir is None:
        return contextlib.nullcontext(NoDirectory())
    if isinstance(run_dir, RunDirectory):
        return contextlib.nullcontext(run_dir)
    return open_run(run_dir, described(model, stream, dataclasses.asdict(plan)), about(), overwrite)


def _exports(export_dir, model, stream, plan, directory, which):
    if export_dir is None or which == "none":
        return NoExports()
    if isinstance(export_dir, Exports):
        return export_dir
    settings = described(model, stream, dataclasses.asdict(plan))
    description = {"run": pathlib.Path(export_dir).name, "method": model.name, "seed": model.seed}
    description |= {"settings_hash": digest(settings), "settings": settings}
    return Exports(export_dir, description, directory.identity, which)


def _learn_tasks(model, stream, plan, results, directory, exports, keep, callbacks, display):
    """Learns the tasks that are not finished in `directory`, and adds them to the `Results`."""
    exports.claim()
    checkpoints = Checkpoints(model)
    if not len(results):
        require(not model.begun, "The model has learned tasks already; make a new one.")
        display.note("evaluation of the untrained network")
        untrained = results.add(model, model.accuracies(stream, after=0))
        directory.commit(0, untrained, checkpoints.write)
    else:
        _restore(model, stream, directory, checkpoints, exports, results, display)
    todo = stream[results.tasks :]
    sizes = [size(model, tasks, plan) for tasks in (todo, stream)]
    with display.training(*sizes) as progress:
        for task in todo:
            started = time.monotonic()
            epochs = _learned(model, task, plan, directory, progress, *callbacks)
            seconds = round(time.monotonic() - started, 3)

            progress.phase("evaluation")
            waits = not model.training_tasks(task)  # for a later task; nothing was learned to be measured
            row = np.full(len(stream), np.nan) if waits else model.accuracies(stream)
            if epochs:
                best = min(epochs, key=lambda epoch: epoch["val_loss"]) if plan.early_stopping else epochs[-1]
                best["accuracies"] = plain(row)
            record = results.add(model, row, len(task.train), seconds, epochs)
            if model.memory is not None and model.memory.generates:
                record["generated_labels"] = samples.label_counts(task, model.memory, stream.num_classes)
                if directory.path:
                    samples.draw(directory.path, task, model.memory)
            progress.phase("export")
            exports.write(model, task, results)
            directory.commit(task.number, record, checkpoints.write, alone=keep == "last")
            directory.write_results(results)
            display.learned(title_of(task), seconds, row[: task.number], record["report"])


def _learned(model, task, plan, directory, progress, *callbacks):
    """Learns a task; returns the records of its epochs, none if the method does not train on this task."""
    progress.begin(title_of(task))
    try:
        return learn_task(model, task, plan, progress, *callbacks)
    except Diverged as error:
        kept = f"Finished tasks, up to task {task.index}, are kept in {directory.path}. "
        kept = kept if task.index and directory.path else ""
        raise Diverged(f"{error}. {kept}A smaller --learning_rate may help.") from None


def learn_task(model, task, plan, *callbacks):
    """Learns one task by a `Plan` or a `Config`; returns the records of its epochs, none if the method does
    not train on this task.

    Raises:
      Diverged: if the loss or the weights are no longer finite.
    """
    model.begin_task(task)
    epochs = _fit(model, task, plan, callbacks) if model.training_tasks(task) else []
    model.end_task(task)
    return epochs


def _fit(model, task, plan, callbacks):
    batches = model.batches(task, plan.batch_size, plan.iterations, plan.replay_batch_size)
    history = _history(model, task, plan, batches)
    model.fit(
        batches,
        epochs=passes(plan),
        verbose=0,
        callbacks=[history, *callbacks, *stops(plan, task)],
        validation_data=task.valid if len(task.valid) else None,
    )
    # The loss of a step is computed before its update, so only the weights show if the last step diverged.
    if not all(np.isfinite(variable).all() for variable in (*model.network.weights, *model.trained)):
        raise Diverged(f"The weights are no longer finite after {title_of(task)}")
    return history.epochs


def _history(model, task, plan, batches):
    measured = plan.eval_every == "epoch"
    if not plan.iterations:
        return EpochHistory(model, task, measured)
    steps = plan.iterations * len(model.training_tasks(task))
    chunk = batches.element_spec[0].y.shape[0]
    return StepHistory(model, task, measured, steps=steps, chunk=chunk)


def _restore(model, stream, directory, checkpoints, exports, results, display):
    """Restores the model after the last finished task, and exports missing models again."""
    for task in stream[: results.tasks]:
        if not exports.has(task):
            purpose = f"To export the model {task.number}, which is missing or changed,"
            checkpoints.read(directory.kept_folder(task.number, f"{purpose} the run"))
            exports.write(model, task, results.up_to(task.number))
    checkpoints.read(directory.kept_folder(results.tasks, "Resuming"))
    if told := moved(directory):
        display.say(told)
    if results.tasks:
        display.say(f"Resuming after task {results.tasks}.")


def _draw(directory):
    if directory.path:
        figures.draw(directory.path)
