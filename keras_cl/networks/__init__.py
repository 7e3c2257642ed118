"""Networks, one file each: functions of a stream that return a `tf_keras.Model` from raw images to logits.

This package exports the function named like its file, so adding a network means adding a file.
"""

import importlib
import pkgutil

for _file in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_file.name}")
    globals()[_file.name] = getattr(_module, _file.name)
