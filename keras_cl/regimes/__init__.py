"""Regimes, one file each; a file's last class is the regime that its name stands for.

Every class that a file here defines is a name of this package, so that adding a regime is adding a file.
"""

import importlib
import pkgutil

for _file in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_file.name}")
    _own = [value for value in vars(_module).values() if getattr(value, "__module__", "") == _module.__name__]
    globals().update({value.__name__: value for value in _own if isinstance(value, type)})
