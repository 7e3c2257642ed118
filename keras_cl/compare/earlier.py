"""Runs that were trained before: by hand, by another comparison, or as a seed of a run with several."""

import dataclasses
import functools
import pathlib

from keras_cl.compare.grid import key
from keras_cl.runs import loggers, seals
from keras_cl.runs.files import read_json
from keras_cl.settings.config import MEASUREMENTS


@dataclasses.dataclass(frozen=True)
class Found:
    """A run directory.

    Attributes:
      path: the directory, of one seed.
      models: folder of its exported models, below that of all exported models.
      alone: whether it is a run of its own, and not a seed of a run with several.
    """

    path: pathlib.Path
    models: pathlib.Path
    alone: bool

    @functools.cached_property
    def done(self):
        """Whether all results are there, as they were written."""
        return seals.changed(self.path) == []


class Earlier:
    """The runs in a folder of run directories.

    Args:
      folder: the folder.
    """

    def __init__(self, folder):
        self._found = {}
        for path in sorted(pathlib.Path(folder).glob("*/config.json")):
            run = path.parent
            self._add(Found(run, pathlib.Path(run.name), alone=True))
            for part in sorted(run.glob("seed_[0-9]*")):
                self._add(Found(part, pathlib.Path(run.name, part.name), alone=False))

    def find(self, config):
        """The `Found` directory of the run of a `Config`, a complete one if there are several; or None."""
        found = self._found.get(key(config.settings), ())
        return next((one for one in found if one.done), next(iter(found), None))

    def _add(self, found):
        try:
            name = key(read_json(found.path / "config.json")["settings"])
        except (OSError, ValueError, KeyError):  # no run, or a damaged one
            return
        self._found.setdefault(name, []).append(found)


def complete(config, found):
    """Whether a `Found` directory has all that the run of a `Config` leaves."""
    asked = [name for name in MEASUREMENTS if getattr(config, name)]
    lacks_measurement = any(not (found.path / f"{name}.csv").exists() for name in asked)
    lacks_log = found.alone and not loggers.logged(config, found.path)
    return found.done and not (lacks_measurement or lacks_log or _lacks_models(config, found))


def _lacks_models(config, found):
    """Whether a `Found` directory that is done is without models that are asked for."""
    places = pathlib.Path(config.export_dir, found.models).glob("*")
    tasks = {int(place.name) for place in places if place.name.isdigit()}
    there = {"none": True, "last": bool(tasks), "all": bool(tasks) and len(tasks) == max(tasks)}
    return not there[config.export]


def split(cells, folder):
    """The directories of the cells whose runs are complete, and the cells that are still to be trained.

    Args:
      cells: `Cell`s.
      folder: folder of run directories.

    Returns:
      `{label: directory}`, and list of `Cell`s; one that was begun elsewhere in the folder goes on there.
    """
    earlier, done, todo = Earlier(folder), {}, []
    for cell in cells:
        found = None if cell.config.overwrite else earlier.find(cell.config)
        if found and complete(cell.config, found):
            done[cell.label] = found.path
        else:
            todo.append(cell.at(found.path) if found and found.alone else cell)
    return done, todo
