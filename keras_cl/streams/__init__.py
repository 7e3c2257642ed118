"""Task streams, one file each: functions of a data set that return a `Stream`, which `base` defines.

This package exports the function named like its file, so adding a stream means adding a file.
"""

import importlib
import pkgutil

from keras_cl.streams.base import Split, Stream, Task

__all__ = ["Split", "Stream", "Task"]

for _file in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_file.name}")
    globals()[_file.name] = getattr(_module, _file.name, _module)
