"""The SavedModels of a run: one version per task, in a folder that contains no models of other runs."""

import contextlib
import pathlib
import shutil
import tempfile

from keras_cl.errors import InputError, require
from keras_cl.runs import saved_model
from keras_cl.runs.checkpoints import tensorflow_file_errors
from keras_cl.runs.files import written_aside

GENERATOR = "generator"  # folder of the versions of the generator, beside the versions of the network


class Exports:
    """The SavedModels of one run, `folder/1` to `folder/T`.

    Args:
      folder: folder of the models.
      description: dict that describes the run and is repeated in every task.json; its `settings_hash`
        identifies the run.
    """

    def __init__(self, folder, description):
        self.folder, self._description = pathlib.Path(folder), description

    def claim(self, overwrite=False):
        """Raises `InputError` if the folder has models of another run; with `overwrite`, removes them."""
        claim(self.folder, self._description["settings_hash"], overwrite)
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()  # detects an unwritable folder before training

    def has(self, task):
        """Whether the model after `task` exists."""
        return (self.folder / str(task.number)).is_dir()

    def write(self, model, task, results):
        """Exports the network of the model, and its generator, after `task`, where the `results` end."""
        description = {
            **self._description,
            **saved_model.describe(task),
            "metrics": {"accuracies": results.records[-1]["accuracies"]},
        }
        if model.memory is not None and model.memory.generates:
            known = model.memory.conditions(task.number)
            with _written(self.folder / GENERATOR / str(task.number)) as folder:
                saved_model.export_generator(model.memory.generator, known, folder, description)
        with _written(self.folder / str(task.number)) as folder:  # last: then both are complete
            saved_model.export(model.network, task, folder, description)


class NoExports:
    """Used instead of `Exports` if nothing is exported."""

    def claim(self, overwrite=False):
        """Does nothing: no folder is needed."""

    def has(self, task):
        """True: nothing is missing."""
        return True

    def write(self, model, task, results):
        """Writes nothing."""


def claim(folder, owner, overwrite):
    """Raises `InputError` if a folder contains models of a run other than `owner`; with `overwrite`, removes
    them."""
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
    """Hash of the settings of the exported model in the folder `version`."""
    try:
        return saved_model.read_description(version)["settings_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{version} is no model of this program; give another --export_dir.") from None
