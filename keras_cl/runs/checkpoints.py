"""A run's variables on disk: the checkpoint of every task and the SavedModels that belong to the run."""

import contextlib
import pathlib
import shutil
import tempfile

import tensorflow as tf

from keras_cl.errors import InputError, require
from keras_cl.runs import saved_model
from keras_cl.runs.directory import written_aside

GENERATOR = "generator"  # the folder of the generators' versions, beside those of the networks


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
        folders = [root / GENERATOR, *root.glob(f"seed_*/{GENERATOR}"), *root.glob("seed_*"), root]
        for folder in filter(pathlib.Path.is_dir, folders):
            for version in saved_model.versions(folder):
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

    def write(self, model, task, results):
        """Exports the model's network as the version of `task`, and its generator; `results` up to it."""
        description = {
            "run": self._config.name,
            "method": self._config.method,
            **saved_model.describe(task),
            "metrics": {"accuracies": results.records[-1]["accuracies"]},
            "settings_hash": self._config.hash,
            "settings": self._config.settings,
            "seed": self._seed,
        }
        if model.memory is not None and model.memory.generates:
            known = model.memory.conditions(task.number)
            with _written(self.folder / GENERATOR / str(task.number)) as folder:
                saved_model.export_generator(model.memory.generator, known, folder, description)
        with _written(self.folder / str(task.number)) as folder:  # the last one: a task that has it has both
            saved_model.export(model.network, task, folder, description)


@contextlib.contextmanager
def _written(target):
    with written_aside(target) as folder, tensorflow_file_errors(folder):
        yield folder


def _owner(version):
    """Hash of the settings that the exported model in the folder `version` was trained with."""
    try:
        return saved_model.read_description(version)["settings_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{version} is no model of this program; give another --export_dir.") from None


@contextlib.contextmanager
def tensorflow_file_errors(folder):
    """TensorFlow reports a full disk as an error of its own kind; makes it one of the operating system."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError):
        raise  # another worker was lost
    except tf.errors.OpError as error:
        raise OSError(None, str(error.message).splitlines()[0], str(folder)) from error
