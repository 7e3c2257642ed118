"""What is recorded of every epoch while a task is learned."""

import time

import numpy as np
import tf_keras as keras

from keras_cl.errors import Diverged
from keras_cl.runs.results import plain


def title_of(task):
    """What a task is called while it is learned."""
    return f"task {task.number}/{len(task.stream)}"


class EpochHistory(keras.callbacks.Callback):
    """Keras callback: one record for each epoch of a task; stops at a loss that is no number.

    Args:
      learner: the `ContinualModel` that is trained.
      task: the task at hand.
      measured: whether a record also holds the accuracies on the tasks so far.

    Attributes:
      epochs: list of dicts with epoch, loss, accuracy, seconds and perhaps accuracies.
    """

    def __init__(self, learner, task, measured=False):
        super().__init__()
        self.epochs = []
        self._learner, self._task, self._measured = learner, task, measured

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        for name in ("loss", "generator_loss"):
            if not np.isfinite(logs.get(name, 0.0)):
                place = f"{title_of(self._task)}, epoch {len(self.epochs) + 1}/{self.params['epochs']}"
                raise Diverged(f"The {name.replace('_', ' ')} became {logs[name]} in {place}")

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.monotonic() - self._started, 3)
        rate = round(float(self._learner.optimizer.learning_rate.numpy()), 9)  # of the epoch's last step
        self.epochs.append({"epoch": epoch + 1, **logs, "learning_rate": rate, "seconds": seconds})
        if self._measured:
            row = np.full(len(self._task.stream), np.nan)
            row[: self._task.number] = self._learner.accuracies(self._task.seen)
            self.epochs[-1]["accuracies"] = plain(row)
