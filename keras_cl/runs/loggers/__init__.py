"""Loggers of runs: one file per service, each a Keras callback."""

import importlib

from keras_cl.errors import InputError
from keras_cl.runs.files import read_json

SERVICES = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "WandB"}  # flag and file: class
LEDGER = "logged.json"  # in the run directory: what was logged, by service


def chosen(config):
    """New loggers for the services that the settings ask for.

    Raises:
      InputError: naming the extra to install, if the package of a service is missing.
    """
    return [load(name)() for name in SERVICES if getattr(config, name)]


def load(name):
    """The class of a logger, by the name of its file."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), SERVICES[name])


def logged(config, path):
    """Whether the run in a directory was logged to its end, by all services that the settings ask for."""
    noted = ledger(path)
    return all(noted.get(name, {}).get("ended") for name in SERVICES if getattr(config, name))


def ledger(path):
    """The dict in logged.json of a run; {} if nothing was logged, or nothing is stored (`path` is None).

    Raises:
      InputError: if the file is damaged.
    """
    file = path and path / LEDGER
    try:
        return read_json(file) if file and file.is_file() else {}
    except ValueError:
        raise InputError(f"{file} is damaged; remove it to log the run from the beginning.") from None
