"""Early stopping of a task by its validation loss; the best state is restored, not only the best weights."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require


class EarlyStopping(keras.callbacks.Callback):
    """Keras callback: stops when `val_loss` has not improved for `patience` epochs.

    Afterwards the model is as if training had ended with the best epoch: weights, optimizer, learning rate,
    memory and what the method has gathered in its steps, such as path integrals, which belong to the way that
    the weights went.

    Args:
      patience: epochs without improvement, at least 1.
    """

    def __init__(self, patience):
        super().__init__()
        self.patience = patience

    def on_train_begin(self, logs=None):
        self._best, self._state, self._worse = np.inf, None, 0

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self._best:
            self._best, self._worse = logs["val_loss"], 0
            self._state = [(variable, variable.numpy()) for variable in _state_of(self.model)]
            return
        self._worse += 1
        self.model.stop_training = self._worse >= self.patience

    def on_train_end(self, logs=None):
        for variable, value in self._state if self._worse and self._state else ():
            variable.assign(value)


def early_stopping(plan, task):
    """The callbacks that stop training on `task`, none if the `Plan` does not ask for it.

    Raises:
      InputError: if there are no epochs or no validation rows.
    """
    patience = plan.early_stopping
    require(patience >= 0, f"--early_stopping is {patience}; it must not be negative.")
    if not patience:
        return []
    require(
        not plan.iterations, "--early_stopping counts epochs, and where --iterations is given there are none."
    )
    require(
        len(task.valid),
        f"--early_stopping follows the validation loss, and task {task.number} has no validation rows; give "
        f"--stream.valid_fraction.",
    )
    return [EarlyStopping(patience)]


def _state_of(model):
    """All variables of a checkpoint, and the number of shuffles in the task."""
    parts = tf.train.TrackableView(model).descendants()
    return [*(part for part in parts if isinstance(part, tf.Variable)), *model.shuffle_counts]
