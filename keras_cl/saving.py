"""A run's variables on disk: the checkpoint of every task and the SavedModels that belong to the run."""

import contextlib
import pathlib
import shutil
import tempfile

import tensorflow as tf

from keras_cl import export
from keras_cl.errors import InputError, require
from keras_cl.rundir import written_aside


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
        """Gives the model the variables that `folder` holds."""
        self._checkpoint.read(str(folder / "variables")).assert_existing_objects_matched()


class Exports:
    """The SavedModels of one run, `folder/1` to `folder/T`.

    Args:
      folder: where they go.
      config: the `Config` of the run.
      seed: of the model.
    """

    def __init__(self, folder, config, seed):
        self.folder, self._config, self._seed = pathlib.Path(folder), config, seed

    def claim(self):
        """Refuses to write beside the models of another run; with --overwrite, removes those."""
        root = self.folder.parent if len(self._config.seeds) > 1 else self.folder
        for folder in filter(pathlib.Path.is_dir, (root, *root.glob("seed_*"))):
            for version in export.versions(folder):
                if _owner(version) == self._config.hash:
                    continue
                require(
                    self._config.overwrite,
                    f"{folder} holds the models of another run; give --export_dir or another --run_dir, or "
                    f"--overwrite.",
                )
                shutil.rmtree(version)
            if not any(folder.iterdir()):
                folder.rmdir()
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()  # an unwritable folder is found before training

    def has(self, task):
        """Whether the model after `task` is there."""
        return (self.folder / str(task.number)).is_dir()

    def write(self, network, task, results):
        """Exports `network` as the version of `task`; `results` are those up to it."""
        description = {
            "run": self._config.name,
            "method": self._config.method,
            **export.describe(task),
            "metrics": {"accuracies": results.records[-1]["accuracies"]},
            "settings_hash": self._config.hash,
            "settings": self._config.settings,
            "seed": self._seed,
        }
        with written_aside(self.folder / str(task.number)) as folder, tensorflow_file_errors(folder):
            export.export(network, task, folder, description)


def _owner(version):
    """Hash of the settings that the exported model in the folder `version` was trained with."""
    try:
        return export.read_description(version)["settings_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{version} is no model of this program; give another --export_dir.") from None


@contextlib.contextmanager
def tensorflow_file_errors(folder):
    """TensorFlow reports a full disk as an error of its own kind; makes it one of the operating system."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(None, str(error.message).splitlines()[0], str(folder)) from error
