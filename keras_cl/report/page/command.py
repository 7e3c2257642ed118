"""The command that repeats a run."""

import shlex

from keras_cl.errors import InputError
from keras_cl.settings import catalog
from keras_cl.settings.config import DIGEST, Config
from keras_cl.settings.options import text

AXES = ("method", "memory", "stream", "regime", "network")
ALWAYS = ("method", "stream", "dataset", "scenario")


def command(settings, seeds):
    """The command line with these settings and seeds; None for a run that was not begun by one.

    It names what was run on what, and what differs from the defaults of these choices.
    """
    if "program" in settings:
        return None
    given = {name: value for name, value in settings.items() if not name.endswith(DIGEST)}
    usual = _usual(given)
    needed = {n: v for n, v in given.items() if n in ALWAYS or n not in usual or usual[n] != v}
    flags = {**needed, "seeds": seeds}
    return shlex.join(["python", "-m", "keras_cl.main", *(f"--{n}={_text(v)}" for n, v in flags.items())])


def _usual(settings):
    """The settings of a command that names these choices, but as choices those of one that names a method
    alone; only settings without a value if a choice is unknown here, as code from another machine is."""
    chosen = {name: settings[name] for name in (*AXES, "scenario") if settings.get(name)}
    chosen["augment"] = tuple(settings.get("augment", ()))
    try:
        usual = Config(**chosen).settings
        unsaid = catalog.usual(settings["method"], chosen.get("regime", Config.regime))
    except InputError:
        return {name: value for name, value in settings.items() if value in (None, "")}
    usual |= {axis: unsaid[axis] for axis in ("memory", "network")}
    usual |= {name: getattr(Config, name) for name in ("regime", "augment")}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in usual.items()}


def _text(value):
    return text(tuple(value) if isinstance(value, list) else value)
