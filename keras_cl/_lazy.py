"""Packages whose files are choices: what a file defines is a name of its package, read when asked for."""

import importlib
import pkgutil


def classes_on_demand(package, path):
    """The `__getattr__` and `__dir__` of a package, which read its files at the first use of a class.

    Files are not read before, so that a program pays for what it has chosen and for nothing else.
    """

    def classes():
        modules = [importlib.import_module(f"{package}.{file.name}") for file in pkgutil.iter_modules(path)]
        found = [(module.__name__, value) for module in modules for value in vars(module).values()]
        return {v.__name__: v for name, v in found if isinstance(v, type) and v.__module__ == name}

    def get(name):
        if name.startswith("__") or name not in (found := classes()):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return found[name]

    return get, lambda: sorted(classes())
