"""The SavedModels of a run: one version per task, in a folder that contains no models of other runs."""

import contextlib
import pathlib
import shutil
import tempfile

from keras_cl.errors import InputError, require
from keras_cl.runs import saved_model, seals
from keras_cl.runs.checkpoints import tensorflow_file_errors
from keras_cl.runs.files import make_folder, written_aside

GENERATOR = "generator"  # folder of the versions of the generator, beside the versions of the network


class Exports:
    """The SavedModels of one run, `folder/1` to `folder/T`.

    Args:
      folder: folder of the models.
      description: dict that describes the run and is repeated in every task.json; its `settings_hash`
        identifies the settings.
      identity: dict that identifies the run, see `RunDirectory.identity`.
      which: "all", or "last" for the model after the last task alone.
    """

    def __init__(self, folder, description, identity, which="all"):
        self.folder, self._description, self._identity = pathlib.Path(folder), description, identity
        self._which = which

    def claim(self, overwrite=False):
        """Raises `InputError` if the folder has models of another run; with `overwrite`, removes them, and
        without it those of an earlier run with the same settings."""
        claim(self.folder, {"": self._description["settings_hash"]}, overwrite)
        for version in _versions(self.folder):
            done = seals.read_seal(version)
            if done and done.get("run") != self._identity["run"]:
                shutil.rmtree(version)
        make_folder(self.folder)
        tempfile.TemporaryFile(dir=self.folder).close()  # detects an unwritable folder before training

    def has(self, task):
        """Whether the model after `task` is as it was written, or is none to be written."""
        return not self._wanted(task) or self._whole(self.folder, task)

    def write(self, model, task, results):
        """Exports the network of the model, and its generator, after `task`, where the `results` end."""
        if not self._wanted(task):
            return
        description = {
            **self._description,
            **saved_model.describe(task),
            "metrics": {"accuracies": results.records[-1]["accuracies"]},
        }
        generates = model.memory is not None and model.memory.generates and model.memory.of_images
        if generates:
            known = model.memory.conditions(task.number)
            with self._written(self.folder / GENERATOR, task) as folder:
                saved_model.export_generator(model.memory.generator, known, folder, description)
        with self._written(self.folder, task, generates) as folder:  # last: then both are complete
            saved_model.export(model.network, task, folder, description)

    def settle(self, stream):
        """Where only the last model is wanted, removes the others of this run."""
        for version in _versions(self.folder) if self._which == "last" else ():
            ours = (seals.read_seal(version) or {}).get("run") == self._identity["run"]
            if ours and version.name != str(len(stream)):
                shutil.rmtree(version)

    def _wanted(self, task):
        return self._which == "all" or task.number == len(task.stream)

    def _whole(self, folder, task):
        version = folder / str(task.number)
        done = seals.read_seal(version) or {}
        own = {**self._identity, "task": task.number}
        if {name: done.get(name) for name in own} != own or seals.changed(version):
            return False
        return not done.get("generator") or self._whole(folder / GENERATOR, task)

    @contextlib.contextmanager
    def _written(self, folder, task, generator=False):
        with written_aside(folder / str(task.number)) as aside, tensorflow_file_errors(aside):
            yield aside
            seals.seal_all(aside, **self._identity, task=task.number, generator=generator)


class NoExports:
    """Used instead of `Exports` if nothing is exported."""

    def claim(self, overwrite=False):
        """Does nothing: no folder is needed."""

    def has(self, task):
        """True: nothing is missing."""
        return True

    def write(self, model, task, results):
        """Writes nothing."""

    def settle(self, stream):
        """Removes nothing."""


def claim(folder, owners, overwrite):
    """Raises `InputError` if a folder contains models of another run; with `overwrite`, removes all models.

    Args:
      folder: folder of the models.
      owners: `{name: hash}` of the settings of the models in each subfolder; "" is the folder itself.
    """
    root = pathlib.Path(folder)
    places = [*root.glob("seed_*"), root]
    for place in places:
        owner = owners.get("" if place == root else place.name)
        for version in _versions(place):
            known = _owner(version)
            require(
                overwrite or known == owner,
                f"{version.parent} holds the models of another run; give --export_dir or another --run_dir, "
                f"or --overwrite.",
            )
    for version in (version for place in places for version in _versions(place)) if overwrite else ():
        shutil.rmtree(version)
    for emptied in (folder for place in places for folder in (place / GENERATOR, place)):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()


def _versions(folder):
    """The versions of the networks and the generators in a folder."""
    places = (place for place in (folder / GENERATOR, folder) if place.is_dir())
    return [version for place in places for version in saved_model.versions(place)]


def _owner(version):
    """Hash of the settings of the exported model in the folder `version`."""
    try:
        return saved_model.read_description(version)["settings_hash"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{version} is no model of this program; give another --export_dir.") from None
