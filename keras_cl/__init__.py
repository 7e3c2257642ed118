"""Continual learning for Keras: a task stream is a sequence, a method is a `tf_keras.Model`.

Public are the names in `PUBLIC`, the choices in `methods`, `memories`, `generators`, `networks`, `regimes`,
`streams` and `sources`, the functions in `metrics` and `anytime`, what `runs` and `report` say is public, and
what docs/extending.md uses. Everything is imported at first use, so
that `import keras_cl` (and `--help`) does not load TensorFlow.
"""

import importlib
import pkgutil

__version__ = "0.1.0"

PUBLIC = {  # name: the module that defines it
    "ContinualModel": "keras_cl.methods.base",
    "Memory": "keras_cl.memories.base",
    "Regime": "keras_cl.regimes.base",
    "Stream": "keras_cl.streams.base",
    "InputError": "keras_cl.errors",
    "learn": "keras_cl.task_loop",
    "load": "keras_cl.runs.restore",
}


def __getattr__(name):
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    if name in _submodules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'keras_cl' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *PUBLIC, *_submodules()])


def _submodules():
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
