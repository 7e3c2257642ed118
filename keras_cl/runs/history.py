"""Records of the epochs of a task."""

import time

import numpy as np
import tf_keras as keras

from keras_cl.errors import Diverged
from keras_cl.runs.hooks import tell
from keras_cl.runs.results import plain


def title_of(task):
    """Title of a task in the output."""
    return f"task {task.number}/{len(task.stream)}"


class EpochHistory(keras.callbacks.Callback):
    """Keras callback: one record per epoch of a task; raises `Diverged` if the loss is not finite.

    Args:
      learner: the `ContinualModel` that is trained.
      task: the current task.
      measured: whether a record also contains the accuracies on the tasks so far.
      callbacks: callbacks that are told of every record, see `hooks`.

    Attributes:
      epochs: list of dicts with epoch, loss, accuracy, learning_rate, seconds and, if measured, accuracies;
        val_loss and val_accuracy if there are validation rows.
    """

    def __init__(self, learner, task, measured=False, callbacks=()):
        super().__init__()
        self.epochs = []
        self._learner, self._task, self._measured, self._told = learner, task, measured, callbacks

    def on_epoch_begin(self, epoch, logs=None):
        self._number = epoch + 1
        self._started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        for name in ("loss", "generator_loss", "critic_loss"):
            if not np.isfinite(logs.get(name, 0.0)):
                place = f"{title_of(self._task)}, epoch {self._number}/{self.params['epochs']}"
                raise Diverged(f"The {name.replace('_', ' ')} became {logs[name]} in {place}")

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.monotonic() - self._started, 3)
        rate = round(float(self._learner.optimizer.learning_rate.numpy()), 9)  # of the last step of the epoch
        self.epochs.append({"epoch": epoch + 1, **logs, "learning_rate": rate, "seconds": seconds})
        self.epochs[-1] |= self._measures()
        tell(self._told, "on_epoch_recorded", self._task, self.epochs[-1])

    def _measures(self):
        """What a record has of the test rows."""
        if not self._measured:
            return {}
        row = np.full(len(self._task.stream), np.nan)
        row[: self._task.number] = self._learner.accuracies(self._task.seen)
        return {"accuracies": plain(row)}
