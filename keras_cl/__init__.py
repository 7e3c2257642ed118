"""Continual learning for Keras: a task stream is a sequence, a method is a `tf_keras.Model`.

Submodules are imported at first use, so that `import keras_cl` (and `--help`) does not load TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "catalog",
    "errors",
    "evaluate",
    "export",
    "importance",
    "methods",
    "metrics",
    "model",
    "networks",
    "report",
    "rundir",
    "source",
    "sources",
    "stream",
    "streams",
    "train",
)


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'keras_cl' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *_SUBMODULES])
