"""Task streams, one file each: functions of a data set that return a `Stream`; `base` is what they return.

The function named like its file is a name of this package, so that adding one is adding a file.
"""

import importlib
import pkgutil

from keras_cl.streams.base import Split, Stream, Task

__all__ = ["Split", "Stream", "Task"]

for _file in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_file.name}")
    globals()[_file.name] = getattr(_module, _file.name, _module)
