"""Learns one task of a run: trains, evaluates, exports and stores a checkpoint."""

import dataclasses
import time

import numpy as np

from keras_cl.errors import Diverged
from keras_cl.methods.base import ContinualModel
from keras_cl.runs import samples
from keras_cl.runs.anytime_history import AnytimeHistory
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.early_stopping import early_stopping as stops
from keras_cl.runs.history import EpochHistory, title_of
from keras_cl.runs.hooks import tell
from keras_cl.runs.plan import passes
from keras_cl.runs.results import Results, measures_of, plain
from keras_cl.runs.step_history import StepHistory


@dataclasses.dataclass
class Run:
    """A run while it learns: its model and what it has of finished tasks.

    Args:
      model: the `ContinualModel`.
      plan: a `Plan` or a `Config`.
      results: the `Results` so far.
      directory: the `RunDirectory` of the checkpoints.
      exports: the `Exports`.
      keep: "all" checkpoints, or "last" for that of the last finished task alone.
      callbacks: Keras callbacks for every call of `fit`; see `hooks` for what else they are told.
      measured: whether the accuracies on all tasks are measured after each; if not, they are empty.
    """

    model: ContinualModel
    plan: object
    results: Results
    directory: object
    exports: object
    keep: str = "all"
    callbacks: tuple = ()
    measured: bool = True

    def __post_init__(self):
        self.checkpoints = Checkpoints(self.model)

    def begin(self, stream):
        """Stores the untrained model, whose memory now knows the stream."""
        if self.model.memory is not None:
            self.model.memory.bind(stream)
        row, measures = self._evaluated(stream, 0) if self.measured else _nothing(stream)
        record = self.results.add(self.model, row, measures=measures, row_bytes=stream.row_bytes)
        self.directory.commit(0, record, self.checkpoints.write)

    def learn(self, task, progress):
        """Learns the next task, and stores its record, its exported model and its checkpoint.

        Raises:
          Diverged: if the loss or the weights are no longer finite.
        """
        tell(self.callbacks, "on_task_begin", task)
        model, started = self.model, time.monotonic()
        epochs = _learned(model, task, self.plan, self.directory, progress, *self.callbacks)
        seconds = round(time.monotonic() - started, 3)

        progress.follow("evaluation")
        waits = not model.training_tasks(task)  # for a later task; nothing was learned to be measured
        measured = self.measured and not waits
        row, measures = self._evaluated(task.stream, task.number) if measured else _nothing(task.stream)
        if epochs:
            stops = self.plan.early_stopping
            best = min(epochs, key=lambda epoch: epoch["val_loss"]) if stops else epochs[-1]
            best["accuracies"] = plain(row)
        own = len(task.train), seconds, epochs, measures, task.stream.row_bytes
        record = self.results.add(model, row, *own)
        if model.memory is not None and model.memory.generates:
            counts = samples.label_counts(task, model.memory, task.stream.num_classes)
            collapsed = bool(samples.collapse(task, counts))
            record |= {"generated_labels": counts, "generator_collapsed": collapsed}
            if self.directory.path:
                board = not any(getattr(callback, "shows_samples", False) for callback in self.callbacks)
                samples.draw(self.directory.path, task, model.memory, board)
        progress.follow("export")
        self.exports.write(model, task, self.results)
        self.directory.commit(task.number, record, self.checkpoints.write, alone=self.keep == "last")
        tell(self.callbacks, "on_task_end", task, self.results)
        return record

    def _evaluated(self, stream, after):
        """Accuracy on each task, and what else of the record is measured with it."""
        seen = self.plan.eval_tasks == "seen"
        evaluation = self.model.evaluate_tasks(stream[:after] if seen else stream, after).over(len(stream))
        return evaluation.accuracies, measures_of(evaluation, stream, last=after == len(stream))


def _nothing(stream):
    return np.full(len(stream), np.nan), {}


def _learned(model, task, plan, directory, progress, *callbacks):
    """Learns a task; returns the records of its epochs, none if the method does not train on this task."""
    progress.begin(title_of(task))
    try:
        return learn_task(model, task, plan, progress, *callbacks)
    except Diverged as error:
        kept = f"Finished tasks, up to task {task.index}, are kept in {directory.path}. "
        kept = kept if task.index and task.index in directory.kept() else ""
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
    history = _history(model, task, plan, batches, callbacks)
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


def _history(model, task, plan, batches, callbacks):
    measured = plan.eval_every == "epoch"
    chunk = batches.element_spec[0].y.shape[0]
    if task.stream.every:
        steps, size = -(-len(task.train) // plan.batch_size), plan.batch_size
        return AnytimeHistory(model, task, True, callbacks, steps=steps, chunk=chunk, batch_size=size)
    if not plan.iterations:
        return EpochHistory(model, task, measured, callbacks)
    steps = plan.iterations * len(model.training_tasks(task))
    return StepHistory(model, task, measured, callbacks, steps=steps, chunk=chunk)
