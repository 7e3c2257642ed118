"""Logs a run for TensorBoard: scalars by epoch and by task, the accuracy matrix, samples, HParams."""

import pathlib

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.runs.loggers.base import Logger, flat


class TensorBoard(Logger):
    """Keras callback for `keras_cl.learn` that writes event files; `tensorboard --logdir=runs` shows them.

    Args:
      folder: where the files go; by default tensorboard/ in the directory of the run.

    Raises:
      InputError: if there is neither a folder nor a directory of the run.
    """

    service = "tensorboard"
    shows_samples = True  # TensorBoard reads one file of a folder at a time, so all is written to one

    def __init__(self, folder=""):
        super().__init__()
        self._folder = folder

    def open(self, description, noted):
        path = description["path"]
        require(self._folder or path, "TensorBoard(folder=...) needs a folder where the run has no run_dir.")
        folder = pathlib.Path(self._folder) if self._folder else path / "tensorboard"
        self._writer = tf.summary.create_file_writer(str(folder))
        if noted["tasks"] < 0:
            from tensorboard.plugins.hparams import api

            with self._writer.as_default():
                api.hparams(flat(description["settings"]), trial_id=description["name"])

    def scalars(self, axis, number, values):
        with self._writer.as_default(step=number):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def image(self, name, number, png):
        with self._writer.as_default(step=number):
            tf.summary.image(name, tf.io.decode_png(png)[tf.newaxis])
        self._writer.flush()

    def close(self, results, error=None):
        if error is None:
            from tensorboard.plugins.hparams import api_pb2, summary

            ended = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
            with self._writer.as_default():
                tf.summary.experimental.write_raw_pb(ended.SerializeToString(), step=0)
        self._writer.close()
