"""Checkpoints: all variables of a model as they were after a task."""

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
        """Gives the model the variables that `folder` holds.

        Raises:
          InputError: if they are those of another model.
        """
        try:
            self._checkpoint.read(str(folder / "variables")).assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"The checkpoint {folder} is of another model: {reason}") from error


@contextlib.contextmanager
def tensorflow_file_errors(folder):
    """TensorFlow reports a full disk as an error of its own kind; makes it one of the operating system."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError):
        raise  # another worker was lost
    except tf.errors.OpError as error:
        raise OSError(None, str(error.message).splitlines()[0], str(folder)) from error
