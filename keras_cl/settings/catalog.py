"""What there is to choose from: the library's own files, and choices from outside of it.

An axis is one of `AXES`; `dataset` is a further one, where only what comes from outside has options.
"""

import importlib

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.settings import external, library
from keras_cl.settings.library import AXES

# Settings that a method or a regime may have a say in, and what they are where neither has.
UNSAID = {
    "memory": "",
    "network": "mlp",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.0,
    "batch_size": 32,
}


def names(axis):
    """Names to choose from: the library's own files, and the entry points of installed packages."""
    own = library.names(axis) if axis in AXES else []
    return own + [name for name in external.names(axis) if name not in own]


def choice(axis, given):
    """The `Choice` that a name, a path/to/file.py, a module or an entry point stands for.

    Raises:
      InputError: if there is none, with the nearest name.
    """
    own = library.names(axis) if axis in AXES else []
    if given in own:
        require(
            given not in external.entry_points(axis),
            f"--{axis}={given} is a choice of this library and an entry point of an installed package; give "
            f"that one by its module.",
        )
        return library.read(axis, given)
    if external.is_external(axis, given):
        return external.read(axis, given)
    possible = names(axis)
    raise InputError(
        f"{axis} {given!r} is not known; possible: {', '.join(possible)}, or path/to/file.py."
        + did_you_mean(given, possible)
    )


def is_external(axis, given):
    """Whether a choice comes from outside the library."""
    return (axis not in AXES or given not in library.names(axis)) and external.is_external(axis, given)


def usual(method, regime="plain"):
    """`{setting or option: value}` that a method and a regime have where nothing is given; the method's count
    more."""
    said = [choice(*chosen).constants.get("usual", {}) for chosen in (("regime", regime), ("method", method))]
    return UNSAID | said[0] | said[1]


def possible_memories(method):
    """Names of the memories that a method can have."""
    constants = choice("method", method).constants
    if constants.get("memories") is not None:
        return list(constants["memories"])
    generated = constants.get("generated", True)
    return [name for name in library.names("memory") if generated or not generates(name)]


def can_have(method, memory):
    """Whether a method can have a memory, which may come from outside."""
    constants = choice("method", method).constants
    if constants.get("memories") is not None:
        return memory in constants["memories"]
    return constants.get("generated", True) or not generates(memory)


def generates(memory):
    """Whether a memory is a generator, and holds no rows."""
    return choice("memory", memory).constants.get("generates", False)


def load(axis, given):
    """The class or function itself; this imports its module."""
    found = choice(axis, given)
    return found.target or getattr(importlib.import_module(found.module), found.symbol)
