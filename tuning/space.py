"""The search space: the ranges in the constant `search` of the files of a method and of a regime.

A name in `search` is an option of the file's own class (`strength`) or any other flag (`learning_rate`,
`network.dropout`). A tuple (low, high) is a range on a log scale, a list [a, b, c] the values to choose from.
If both files have a name, the method's takes precedence. Flags of the command line are not searched.
"""

import dataclasses

import numpy as np

from keras_cl.settings import catalog, flags, options

DIGITS = ".4g"  # of values from a range: the values tried, shown and written are the same number


def search_space(config, given):
    """`{flag: (low, high) or [values]}` of what a search of `config` leaves open.

    Args:
      config: a `Config`.
      given: flags of the command line.
    """
    known = [option.name for option in flags.main_options()] + list(config.known_options)
    found = {}
    for axis in ("regime", "method"):
        about = catalog.choice(axis, getattr(config, axis))
        for name, values in about.constants.get("search", {}).items():
            own = f"{axis}.{name}"
            found[own if own in known else name] = values
    return {flag: values for flag, values in found.items() if flag in known and flag not in given}


def gridded(space, points):
    """The space with every range replaced by `points` values, evenly spaced on a log scale."""
    return {
        flag: [float(format(value, DIGITS)) for value in np.geomspace(*values, points)]
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
