"""Evaluation of a network outside of training: logits, predicted units, accuracy, and Keras's `evaluate`."""

import contextlib
import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import pick, require
from keras_cl.learning import layers
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.forward import Forward
from keras_cl.learning.layers import in_blocks, logits_of
from keras_cl.learning.measures import Evaluation, cross_entropies, pairs_of
from keras_cl.learning.network import image_shape
from keras_cl.learning.progress import QUIET
from keras_cl.learning.rows import rows_of
from keras_cl.sources.lazy import images_of


class EvaluationMixin:
    """The evaluation methods of a `ContinualModel`; needs its `network` and `task`."""

    # Shows evaluation and other long work of the model; that of the screen while a run lasts.
    progress = QUIET

    def _begin_forward(self, network):
        shape = image_shape(network)
        takes = [tf.TensorSpec([None, *shape], tf.float32), tf.TensorSpec([None], tf.int32)]
        self._forward = tf.function(lambda x, task: logits_of(network, x, task), input_signature=takes)
        self._logits_of = Forward(self._forward, shape)

    def features(self, x):
        """Features `[n, F]` of raw images in inference mode: the input of the last dense layer."""
        with self.progress.phase("features", len(x)) as advance:
            return in_blocks(feature_extractor(self.network), x, advance=advance)

    def predict_logits(self, x, task=None):
        """Unmasked logits `[n, C]` of raw images, in inference mode.

        Args:
          x: raw images `[n, ...]`.
          task: task index, for a network that takes it as an input; by default the current task.
        """
        return self._logits_of(x, int(self.task.numpy() if task is None else task))

    def predict_units(self, x, mask, task=None):
        """Most likely output unit `[n]` of raw images among those where `mask` `[C]` is true."""
        return _most_likely(self.predict_logits(x, task), mask)

    def accuracies(self, stream, after=None, part="test"):
        """Accuracy on every task: one row of the accuracy matrix.

        Args:
          stream: a `Stream`, or a slice of one.
          after: number of tasks learned so far, 0 for an untrained network; by default the tasks begun.
          part: "test", "valid" or "train".

        Returns:
          float array `[T]`; NaN for tasks whose classes are not active yet (class-incremental).
        """
        return self.evaluate_tasks(stream, after, part).accuracies

    def evaluate_tasks(self, stream, after=None, part="test"):
        """Accuracy, loss and predictions by class on every task, in one pass over its rows: an `Evaluation`.

        Args:
          stream, after, part: as in `accuracies`.
        """
        pick("part", part, ["test", "valid", "train"])
        after = (int(self.task.numpy()) + 1 if self.begun else 0) if after is None else after
        accuracies, losses, pairs = np.full(len(stream), np.nan), np.full(len(stream), np.nan), {}
        masks = [task.stream.answering(task.index, after) for task in stream]
        measured = [(place, task) for place, task in enumerate(stream) if masks[place] is not None]
        splits = [task.stream.split(task.index, part) for _, task in measured]
        with self.progress.phase("evaluation", sum(map(len, splits))) as advance:
            for (place, task), split in zip(measured, splits, strict=True):
                advice = " Give the stream a valid_fraction." if part == "valid" else ""
                require(len(split), f"Task {task.number} has no {part} rows.{advice}")
                x, y = split.open()
                units, losses[place] = self._evaluated(x, y, masks[place], task.index, advance)
                accuracies[place], pairs[task.index] = np.mean(units == y), pairs_of(y, units)
        return Evaluation(accuracies, losses, pairs)

    def _evaluated(self, x, y, mask, task, advance):
        """Predicted units `[n]` of rows and their mean cross entropy, NaN if there is none, in one pass."""
        own = type(self).predict_units is not EvaluationMixin.predict_units  # it need not go by the logits
        units, losses = [], []
        for rows in layers.blocks(len(x)) if own else self._logits_of.calls(x):
            if own:
                units.append(self.predict_units(x[rows], mask, task))
            else:
                logits = self.predict_logits(x[rows], task)
                units.append(_most_likely(logits, mask))
                losses += _sums_of_losses(logits, y[rows], mask) if self.gives_probabilities else []
            advance(len(units[-1]))
        return np.concatenate(units), sum(losses) / len(y) if losses else np.nan

    # ---- Keras -------------------------------------------------------------------------------------------

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        max_queue_size=10,
        workers=1,
        use_multiprocessing=False,
        return_dict=False,
        *,
        task=None,
        _use_cached_eval_dataset=False,
    ):
        """Loss, accuracy and the metrics of one's own, among the classes that are active.

        Active are the classes of the task in the task-incremental scenario, all classes seen so far in the
        class-incremental one, and all in the domain-incremental one. The loss is that of `fit`: without
        class weights and without the regularisation of layers.

        Args:
          x: a `Split` such as `task.valid`, raw images, or a `tf.data.Dataset` of batches `(x, y)`.
          y: output unit of each row, as `task.test.open()` returns them; not the labels of the data set.
          batch_size: has no effect: rows are evaluated in large blocks.
          verbose: 0, or 1 for Keras's progress bar.
          sample_weight: weight of each row.
          steps: number of batches of a data set.
          callbacks: Keras callbacks.
          max_queue_size, workers, use_multiprocessing: have no effect.
          return_dict: whether to return `{name: value}` and not a list.
          task: the task of the rows, or its index; by default that of the `Split`, or the current one.

        Raises:
          InputError: if no task has begun, or `y` has an output unit that is not active.
        """
        self.require_compiled()
        require(
            self._scenario,
            "Which classes are active depends on the task: call begin_task(task) before evaluate, or use "
            "accuracies(stream).",
        )
        rows = x if isinstance(x, Validation) else Validation(self, x, y, sample_weight, task, steps)
        shown = [self._loss, self._accuracy, *self.own_metrics]
        with self._watched("test", callbacks, verbose, rows.steps) as (batch_done, end):
            for metric in shown:
                metric.reset_state()
            for images, units, weight in rows.blocks:
                logits = self._masked(self._scores(images, rows.task), rows.task)
                self._measure_everywhere(tf.constant(units), logits, weight)
                batch_done({metric.name: metric.result() for metric in shown})
            logs = {metric.name: float(metric.result()) for metric in shown}
            end(logs)
        return logs if return_dict else list(logs.values())

    def predict(
        self,
        x,
        batch_size=None,
        verbose="auto",
        steps=None,
        callbacks=None,
        max_queue_size=10,
        workers=1,
        use_multiprocessing=False,
        *,
        task=None,
    ):
        """Logits `[n, C]` of raw images, about -1e9 for classes that are not active (see `evaluate`).

        Before the first task all classes are active. `predict_logits` returns the logits of all classes.

        Args:
          x: raw images, a `Split`, or a `tf.data.Dataset` of batches of images.
          task: the task of the rows, or its index; by default that of the `Split`, or the current one.
          batch_size, verbose, steps, callbacks, max_queue_size, workers, use_multiprocessing: as in
            `evaluate`.
        """
        rows = rows_of(x, task=task, labelled=False, steps=steps)
        with self._watched("predict", callbacks, verbose, rows.steps) as (batch_done, end):
            parts = []
            for images, *_ in rows.blocks:
                logits = self._scores(images, rows.task)
                parts.append(np.asarray(self._masked(logits, rows.task)))
                batch_done({"outputs": parts[-1]})
            end({"outputs": parts[-1]})
        return np.concatenate(parts)

    def test_on_batch(self, x, y=None, sample_weight=None, reset_metrics=True, return_dict=False):
        """As `evaluate`; without `reset_metrics` the numbers are those of all rows since the last reset."""
        if reset_metrics:
            return self.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=return_dict)
        ((x, y, weight),) = rows_of(x, y, sample_weight).blocks
        logs = {name: float(value) for name, value in self.test_step((x, y, weight)).items()}
        return logs if return_dict else list(logs.values())

    def predict_on_batch(self, x):
        """As `predict`."""
        return self.predict(x, verbose=0)

    def test_step(self, data):
        """Updates loss, accuracy and metrics with rows `(x, y[, sample_weight])` of the current task, and
        returns them."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y = tf.reshape(tf.cast(y, tf.int32), [-1])
        self._measure(y, self.predict_step((x,)), weight, training=False)
        return {metric.name: metric.result() for metric in (self._loss, self._accuracy, *self.own_metrics)}

    def predict_step(self, data):
        """Logits `[B, C]` of raw images of the current task, `MASKED` for classes that are not active."""
        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        tasks = tf.fill([tf.shape(x)[0]], tf.cast(self.task, tf.int32))
        return self._masked(self._forward(tf.cast(x, tf.float32), tasks))

    def _scores(self, x, task):
        """Unmasked logits by which rows are evaluated while a task is learned and after."""
        return self.predict_logits(images_of(x), task)

    def _measure_everywhere(self, *rows):
        """Updates the metrics on each device with all rows, so that their means are those of the rows."""
        measure = functools.partial(self._measure, training=False)
        measure(*rows) if self._strategy is None else self._strategy.run(measure, args=rows)

    @contextlib.contextmanager
    def _watched(self, kind, callbacks, verbose, steps):
        """Calls Keras callbacks around blocks of rows; gives the functions for the end of a block, and of
        all."""
        verbose = 1 if verbose == "auto" else verbose
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            given = {"add_progbar": verbose != 0, "model": self, "verbose": verbose, "epochs": 1}
            given["steps"] = steps
            callbacks = keras.callbacks.CallbackList(callbacks, **given)
        getattr(callbacks, f"on_{kind}_begin")()
        self._test_counter.assign(0)
        done = [0]

        def batch_done(logs):
            getattr(callbacks, f"on_{kind}_batch_begin")(done[0])
            getattr(callbacks, f"on_{kind}_batch_end")(done[0], logs)
            done[0] += 1
            self._test_counter.assign_add(1)

        def end(logs):
            end = getattr(callbacks, f"on_{kind}_end")
            end(logs) if kind == "test" else end()

        yield batch_done, end


class Validation:
    """Rows with labels whose units are active, for `evaluate`; opened once for all epochs of a `fit`."""

    def __init__(self, model, x, y=None, sample_weight=None, task=None, steps=None):
        rows = rows_of(x, y, sample_weight, task=task, steps=steps)
        self.task, self.steps, self._blocks = rows.task, rows.steps, rows.blocks
        mask = model._active_classes(self.task)
        self._active = np.ones(len(model._class_mask[0]), bool) if mask is None else mask.numpy()

    @property
    def blocks(self):
        """Checked pairs of images, units and weights."""
        for x, y, weight in self._blocks:
            there = (y >= 0) & (y < len(self._active))
            wrong = y[~there | ~self._active[np.where(there, y, 0)]]
            active = ", ".join(map(str, np.flatnonzero(self._active)[:10]))
            require(
                not len(wrong),
                f"y has the output unit {wrong[:1].sum()}, and active are {active}; units are numbered as "
                f"task.test.open() returns them, and stream.labels has their labels.",
            )
            yield x, y, weight


def _sums_of_losses(logits, y, mask):
    """Sum of the cross entropies of each block of rows."""
    return [cross_entropies(logits[rows], y[rows], mask).sum() for rows in layers.blocks(len(y))]


def _most_likely(logits, mask):
    return np.where(mask, logits, -np.inf).argmax(axis=1)
