"""Keras's `fit`: what it takes here, the callbacks that work, and the learning rate that they change."""

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require
from keras_cl.learning.evaluation import Validation
from keras_cl.learning.keras_api import NO_EFFECT_IN_FIT, REFUSED_BY_FIT, refuse

TAKES = (
    "fit takes model.batches(task, batch_size=...), not plain arrays or data sets: every row must know its "
    "task."
)
BATCH_SIZE = 32  # of Keras's fit


class FittingMixin:
    """The part of a `ContinualModel` that is Keras's `fit`; needs its `regime` and its order of calls."""

    # Whether the steps set the learning rate themselves.
    own_schedule = False

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        *,
        validation_data=None,
        validation_freq=1,
        initial_epoch=0,
        **other,
    ):
        """Keras's `fit` over the batches of a task, with one iterator for all epochs, as creating it is slow.

        Args:
          x: `model.batches(task)`, or a `Task`.
          y: None: the batches have labels.
          batch_size: rows per step, if `x` is a `Task`; by default 32, or all rows if there are fewer.
          epochs, verbose, callbacks, validation_freq, initial_epoch: as in Keras.
          validation_data: what `evaluate` takes: `task.valid`, `(x, y)`, `(x, y, sample_weight)` or data.
          **other: other arguments of Keras: refused, each with the way that does, or without effect.

        Raises:
          InputError: if the model is not compiled, no task has begun, or an argument or callback is refused.
        """
        self.require_compiled()
        refuse("fit", [name for name in other if name not in NO_EFFECT_IN_FIT], REFUSED_BY_FIT)
        if hasattr(x, "train"):  # a Task
            self.require_learning()
            x, batch_size = self.batches(x, batch_size or min(BATCH_SIZE, len(x.train))), None
        if batch_size is not None:
            refuse("fit", ["batch_size"], REFUSED_BY_FIT)
        require(isinstance(x, tf.data.Dataset) and y is None, TAKES)
        require(x.cardinality() != 0, "There are no batches here.")
        self.require_learning()
        self._require_batches(x)
        callbacks = list(tf.nest.flatten(callbacks)) if callbacks else []
        self._require_callbacks(callbacks)
        self._remember_rate(callbacks)
        how = {"epochs": epochs, "verbose": verbose, "initial_epoch": initial_epoch}
        if validation_data is not None:
            how |= {"validation_data": self._validation(validation_data), "validation_freq": validation_freq}
            # Keras asks `evaluate` for the numbers; what it prepares for that is not needed.
            self._eval_data_handler = how["validation_data"]
        try:
            if x.cardinality() > 0:
                how["steps_per_epoch"], x = int(x.cardinality()), x.repeat()
            return super().fit(x, callbacks=[self.regime.follower, *callbacks], **how)
        finally:
            self._eval_data_handler = None

    def _validation(self, data):
        parts = data if isinstance(data, list | tuple) else (data,)
        require(
            len(parts) <= 3, f"validation_data is (x, y) or (x, y, sample_weight), not {len(parts)} parts."
        )
        validation = Validation(self, *parts)
        for _ in validation.blocks:  # rows with wrong labels are refused before anything is trained
            pass
        return validation

    def require_compiled(self):
        """Raises `InputError` if `compile` was not called."""
        require(self.regime is not None, "Compile the model first: model.compile(optimizer).")

    def _require_batches(self, data):
        made_for = getattr(data, "task", None)
        now = int(self.task.numpy())
        require(
            made_for in (None, now),
            f"Task {now + 1} has begun, and these are the batches of task {(made_for or 0) + 1}.",
        )

    def _require_callbacks(self, callbacks):
        for callback in callbacks:
            name = type(callback).__name__
            require(
                not isinstance(callback, keras.callbacks.BackupAndRestore),
                "BackupAndRestore does not keep a stream: keras_cl.learn(model, stream, run_dir=...) resumes "
                "a run that was stopped.",
            )
            if isinstance(callback, keras.callbacks.ModelCheckpoint):
                self._require_checkpoint(callback)
            require(
                not isinstance(callback, RATES) or not (self.regime.changes or self.own_schedule),
                f"{name} would change nothing: every step sets the learning rate of the "
                f"{'method' if self.own_schedule else 'regime'}; Regime(schedule=...) has schedules.",
            )

    def _require_checkpoint(self, callback):
        require(
            callback.save_weights_only and not callback.filepath.endswith((".h5", ".keras")),
            "ModelCheckpoint writes the state of the method only with save_weights_only=True and a path "
            "without .h5 or .keras.",
        )
        require(
            callback.save_freq == "epoch",
            "ModelCheckpoint counts calls of many steps each; give save_freq='epoch'.",
        )

    def _remember_rate(self, callbacks):
        """Keeps the learning rate that callbacks change, for the tasks after this one."""
        if self._rate_kept is None and any(isinstance(callback, RATES) for callback in callbacks):
            self._rate_kept = float(self.optimizer.learning_rate.numpy())

    def _put_rate_back(self):
        if self._rate_kept is not None:
            self.optimizer.learning_rate = self._rate_kept
            self._rate_kept = None


RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
