"""Continual learning for Keras: a task stream is a sequence, a method is a `tf_keras.Model`.

Submodules are imported at first use, so that `import keras_cl` (and `--help`) does not load TensorFlow.
"""

import importlib
import pkgutil

__version__ = "0.1.0"


def __getattr__(name):
    if name in _submodules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'keras_cl' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *_submodules()])


def _submodules():
    return [module.name for module in pkgutil.iter_modules(__path__)]
