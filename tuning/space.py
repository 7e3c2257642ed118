"""The search space: the ranges in the constant `search` of the files of a method, a memory and a regime.

A name in `search` is an option of the file's own class (`strength`) or any other flag (`learning_rate`,
`network.dropout`). A tuple (low, high) is a range on a log scale, a list [a, b, c] the values to choose from.
If several files have a name, the method's takes precedence, then the memory's. Flags of the command line are
not searched, nor is `replay_batch_size` where the method draws nothing from its memory.
"""

import dataclasses

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.settings import catalog, flags, options

# Settings that can be searched beside the options of what is chosen.
SETTINGS = (
    "epochs",
    "iterations",
    "batch_size",
    "replay_batch_size",
    "optimizer",
    "learning_rate",
    "momentum",
)
DIGITS = ".4g"  # of values from a range: the values tried, shown and written are the same number


def search_space(config, given, ranges):
    """`{flag: (low, high) or [values]}` of what a search of `config` leaves open.

    Args:
      config: a `Config`.
      given: flags of the command line.
      ranges: the user's own, as `own_ranges` gives them.
    """
    known = [option.name for option in flags.main_options()] + list(config.known_options)
    found, searched = {}, {axis: getattr(config, axis) for axis in ("regime", "memory", "method")}
    constants = {axis: catalog.choice(axis, name).constants for axis, name in searched.items() if name}
    if not constants["method"].get("draws", 1):
        known.remove("replay_batch_size")
    for axis, about in constants.items():
        for name, values in about.get("search", {}).items():
            own = f"{axis}.{name}"
            found[own if own in known else name] = values
    return {flag: values for flag, values in found.items() if flag in known and flag not in given} | ranges


def own_ranges(config, given, texts):
    """The ranges of `--search.FLAG=low:high` and `--search.FLAG=a,b,c`.

    Args:
      config: a `Config`.
      given: flags of the command line, which cannot be searched too.
      texts: `{flag: text}`; values of an option that is a tuple are separated by semicolons.

    Raises:
      InputError: for a text that is neither.
    """
    known = {option.name: option for option in flags.main_options()} | config.known_options
    for flag in texts:
        require(flag not in given, f"--{flag} is given and --search.{flag} searches it; give one of them.")
    return {flag: _own_range(f"--search.{flag}", known[flag], text) for flag, text in texts.items()}


def _own_range(name, option, text):
    """(low, high) of a range, [a, b, c] of a list."""
    if ":" in text and not option.choices:
        require(
            option.kind is float and not option.many,
            f"{name}={text} is a range, and this flag takes no fractions; give the values, as in a,b,c.",
        )
        low, high = (_value(name, option, end) for end in text.split(":", 1))
        require(0 < low < high, f"{name}={text} is not a range on a log scale; it needs 0 < low < high.")
        return low, high
    values = [_value(name, option, part) for part in text.split(";" if option.many else ",")]
    require(len(set(values)) == len(values) > 1, f"{name}={text} must have two different values or more.")
    return values


def _value(name, option, text):
    """The value of an option that a text stands for."""
    try:
        value = flags.parsed(option, text)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    finite = option.kind is not float or np.all(np.isfinite(value))
    require(finite, f"{name}: {text!r} is not a finite number.")
    return value


def gridded(space, points):
    """The space with every range replaced by `points` values, evenly spaced on a log scale;
    values with the same four digits are one."""
    return {
        flag: list(dict.fromkeys(float(format(value, DIGITS)) for value in np.geomspace(*values, points)))
        if isinstance(values, tuple)
        else values
        for flag, values in space.items()
    }


def said(values):
    """A range or a list of values as text."""
    joint = " to " if isinstance(values, tuple) else ", "
    return joint.join(map(options.text, values))


def declared(space):
    """The space as Keras Tuner's `HyperParameters`.

    Choices are declared as text: between a chief and its workers numbers are sent with 32 bits, and would
    return as values that are not in the list.
    """
    from keras_tuner import HyperParameters

    declaration = HyperParameters()
    for flag, values in space.items():
        if isinstance(values, tuple):
            declaration.Float(flag, *map(float, values), sampling="log")
        else:
            declaration.Choice(flag, [options.text(value) for value in values])
    return declaration


def chosen(space, declaration):
    """`{flag: value}` of a trial's `HyperParameters`."""
    found = {}
    for flag, values in space.items():
        value = declaration.values[flag]
        if isinstance(values, tuple):
            found[flag] = float(format(value, DIGITS))
        else:
            found[flag] = {options.text(possible): possible for possible in values}[value]
    return found


def configured(config, values):
    """`config` with its settings and options replaced by `{flag: value}`."""
    settings = {flag: value for flag, value in values.items() if "." not in flag}
    options = {flag: value for flag, value in values.items() if "." in flag}
    return dataclasses.replace(config, **settings, options=config.options | options)
