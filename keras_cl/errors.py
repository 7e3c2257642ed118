"""What the program says when it is given something it cannot use: one sentence, no traceback."""

import difflib
import importlib.util
import math
import re

LONG = 300  # characters of a word of a message, as of a number of thousands of digits


class InputError(ValueError):
    """Something that a user gave or provided is unusable; the message, one line, is the whole explanation."""

    def __init__(self, message):
        super().__init__(_one_line(message))


class Diverged(InputError):
    """Training came to a loss, or to weights, that are no numbers."""


class Notice(UserWarning):
    """What a user should know of training that goes on; commands print it as one sentence."""


def pick(what, given, options):
    """Returns `given` if it is one of `options`.

    Raises:
      InputError: naming what was given, what is possible and the nearest name.
    """
    options = list(options)
    if given in options:
        return given
    raise InputError(
        f"{what} {given!r} is not known; possible: {', '.join(map(str, options))}."
        + did_you_mean(given, options)
    )


def did_you_mean(given, options):
    """' Did you mean x?' when some option is close to what was given, else ''."""
    near = difflib.get_close_matches(str(given), list(map(str, options)), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""


def require(condition, message):
    """Raises `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)


def require_installed(extra, *packages):
    """Raises `InputError` if packages of an extra are missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    require(not missing, f"This needs {' and '.join(missing)}: pip install 'keras_cl[{extra}]'.")


def _one_line(message):
    """A message without line breaks, control characters and words of unlimited length."""
    line = " ".join(part.strip() for part in str(message).splitlines())
    line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    return re.sub(rf"\S{{{LONG},}}", lambda word: f"{word[0][:40]}...{word[0][-10:]}", line)


def require_finite(values):
    """Raises `InputError` if a float in `{name: value}` is not a number or infinite."""
    for name, value in values.items():
        finite = not isinstance(value, float) or math.isfinite(value)
        require(finite, f"{name} is {value}; it must be a finite number.")


class FiniteOptions:
    """Base class, before all others, of what refuses options that are given by name and are not finite."""

    def __new__(cls, *args, **options):
        require_finite(options)
        new = super().__new__
        return new(cls) if new is object.__new__ else new(cls, *args, **options)
