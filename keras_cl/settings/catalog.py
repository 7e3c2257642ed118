"""The catalog of choices: the files of the library, and choices from outside the library.

An axis is one of `AXES`, or `dataset`, whose choices have options only if they come from outside. A setting
that names several choices, one of `LISTS`, has an axis for each of them (`several`); these are files of the
library.
"""

import importlib

from keras_cl.errors import InputError, did_you_mean, pick, require
from keras_cl.settings import external, library
from keras_cl.settings.library import AXES, LISTS

TASKS = 5  # of a stream that does not say how many
# Settings for which a method or a regime can set the default, and the defaults if neither does.
UNSAID = {
    "memory": "",
    "network": "mlp",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.0,
    "batch_size": 32,
}


def names(axis):
    """Names of the choices on an axis: files of the library and entry points of installed packages."""
    if axis in LISTS:
        return library.names(axis)
    own = library.names(axis) if axis in AXES else []
    return own + [name for name in external.names(axis) if name not in own]


def several(axis, given):
    """`{axis of its own: name}` of the choices that one of `LISTS` names."""
    return {f"{axis}.{name}": name for name in given}


def choice(axis, given):
    """The `Choice` for a name, a path/to/file.py, a module or an entry point.

    Raises:
      InputError: if there is none; gives the nearest name.
    """
    if axis.partition(".")[0] in LISTS:
        return library.read(axis, pick(axis.partition(".")[0], given, library.names(axis)))
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
    """`{setting or option: value}` of the defaults of a method and a regime; those of the method take
    precedence."""
    said = [choice(*chosen).constants.get("usual", {}) for chosen in (("regime", regime), ("method", method))]
    return UNSAID | said[0] | said[1]


def usual_scenario(stream):
    """The scenario of a stream if it is not given."""
    return next(option.default for option in choice("stream", stream).options if option.name == "scenario")


def usual_tasks(stream, options):
    """Number of tasks of a stream with these `{"stream.angles": value}` if it is not given: as many as an
    option with one value for each task has, else the stream's default."""
    known = choice("stream", stream).options
    listed = [options.get(f"stream.{option.name}") for option in known if option.per_task]
    default = next((option.default for option in known if option.name == "tasks"), None)
    return next((len(values) for values in listed if values), default or TASKS)


def has_tasks(stream):
    """Whether a stream has tasks; if not it is one pass, measured every so many steps."""
    return not {"every", "phases"} <= {option.name for option in choice("stream", stream).options}


def methods_without_tasks():
    """Names of the methods of this library that need no boundaries of tasks."""
    return [name for name in library.names("method") if not needs_boundaries("method", name)]


def needs_boundaries(axis, name):
    """What a method or a memory does where a task begins or ends, in words; empty if it works without."""
    return choice(axis, name).constants.get("needs_boundaries", "")


def possible_memories(method):
    """Names of the memories of this library that a method supports."""
    return [name for name in library.names("memory") if can_have(method, name)]


def can_have(method, memory):
    """Whether a method supports a memory, which may come from outside."""
    constants = choice("method", method).constants
    if constants.get("memories") is not None:
        return memory in constants["memories"]
    return constants.get("generated" if generates(memory) else "stored", True)


def generates(memory):
    """Whether a memory is a generator, which stores no rows."""
    return choice("memory", memory).constants.get("generates", False)


def load(axis, given):
    """The class or function itself; this imports its module."""
    found = choice(axis, given)
    return found.target or getattr(importlib.import_module(found.module), found.symbol)
