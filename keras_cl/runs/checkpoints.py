"""Checkpoints: all variables of a model after a task."""

import contextlib

import tensorflow as tf

from keras_cl.errors import InputError


class Checkpoints:
    """Writes and reads the variables of a model: network, method state and optimizer.

    Args:
      model: a compiled `ContinualModel`.
    """

    def __init__(self, model):
        self._checkpoint = tf.train.Checkpoint(model=model)

    def write(self, folder):
        """Writes the model's variables into `folder`."""
        with tensorflow_file_errors(folder):
            self._checkpoint.write(str(folder / "variables"))

    def read(self, folder):
        """Assigns the variables in `folder` to the model.

        Raises:
          InputError: if they belong to another model.
        """
        try:
            self._checkpoint.read(str(folder / "variables")).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:  # the last: other types
            reason = str(error).partition("\n")[0].rpartition("}} ")[2].partition(" [Op:")[0]
            raise InputError(f"The checkpoint {folder} is of another model: {reason}") from error


@contextlib.contextmanager
def tensorflow_file_errors(folder):
    """Converts TensorFlow's own errors, for example for a full disk, to `OSError`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError):
        raise  # another worker was lost
    except tf.errors.OpError as error:
        raise OSError(None, str(error.message).splitlines()[0], str(folder)) from error
