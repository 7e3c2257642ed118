"""The SavedModels that belong to a run: one version for each task, in a folder that holds no other run's."""

import contextlib
import pathlib
import shutil
import tempfile

from keras_cl.errors import InputError, require
from keras_cl.runs import saved_model
from keras_cl.runs.checkpoints import tensorflow_file_errors
from keras_cl.runs.files import written_aside

GENERATOR = "generator"  # the folder of the generators' versions, beside those of the networks


class Exports:
    """The SavedModels of one run, `folder/1` to `folder/T`.

    Args:
      folder: where they go.
      description: JSON-able dict of the run that every task.json repeats; its `settings_hash` tells runs
        apart.
    """

    def __init__(self, folder, description):
        self.folder, self._description = pathlib.Path(folder), description

    def claim(self, overwrite=False):
        """Refuses to write beside the models of another run; with `overwrite`, removes those."""
        claim(self.folder, self._description["settings_hash"], overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()  # an unwritable folder is found before training

    def has(self, task):
        """Whether the model after `task` is there."""
        return (self.folder / str(task.number)).is_dir()

    def write(self, model, task, results):
        """Exports the model's network as the version of `task`, and its generator; `results` up to it."""
        description = {
            **self._description,
            **saved_model.describe(task),
            "metrics": {"accuracies": results.records[-1]["accuracies"]},
        }
        if model.memory is not None and model.memory.generates:
            known = model.memory.conditions(task.number)
            with _written(self.folder / GENERATOR / str(task.number)) as folder:
                saved_model.export_generator(model.memory.generator, known, folder, description)
        with _written(self.folder / str(task.number)) as folder:  # the last one: a task that has it has both
            saved_model.export(model.network, task, folder, description)


class NoExports:
    """In place of `Exports` where nothing is exported."""

    def claim(self, overwrite=False):
        """Nothing is written, so no folder is needed."""

    def has(self, task):
        """Nothing is missing."""
        return True

    def write(self, model, task, results):
        """Writes nothing."""


def claim(folder, owner, overwrite):
    """Refuses a folder that holds models of another run than `owner`; with `overwrite`, removes those."""
    root = pathlib.Path(folder)
    folders = [root / GENERATOR, *root.glob(f"seed_*/{GENERATOR}"), *root.glob("seed_*"), root]
    for folder in filter(pathlib.Path.is_dir, folders):
        for version in saved_model.versions(folder):
            if _owner(version) == owner:
                continue
            require(
                overwrite,
                f"{folder} holds the models of another run; give --export_dir or another --run_dir, or "
                f"--overwrite.",
            )
            shutil.rmtree(version)
        if not any(folder.iterdir()):
            folder.rmdir()


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
