"""What is searched: the ranges that the files of a method and of a regime have as their constant `search`.

A name in `search` is an option of the file's own class (`strength`) or any other flag (`learning_rate`,
`network.dropout`). A tuple (low, high) is a range on a logarithmic scale, a list [a, b, c] the values to
choose from. Of a name that both have the method's counts; what the command line says is not searched.
"""

import dataclasses

import numpy as np

from keras_cl.settings import catalog, flags, options

DIGITS = ".4g"  # of values from a range: what is tried, shown and written is the same number


def search_space(config, given):
    """`{flag: (low, high) or [values]}` of what a search of `config` leaves open.

    Args:
      config: a `Config`.
      given: flags that the command line has.
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
    """The space with every range cut into `points` values, evenly on the logarithmic scale."""
    return {
        flag: [float(format(value, DIGITS)) for value in np.geomspace(*values, points)]
        if isinstance(values, tuple)
        else values
        for flag, values in space.items()
    }


def said(values):
    """A range or a list of values in words."""
    joint = " to " if isinstance(values, tuple) else ", "
    return joint.join(map(options.text, values))


def declared(space):
    """The space as Keras Tuner's `HyperParameters`.

    Values to choose from are declared as text: between a chief and its workers numbers travel with 32 bits,
    and come back as values that are not in the list.
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
    """`{flag: value}` that a trial's `HyperParameters` stand for."""
    found = {}
    for flag, values in space.items():
        value = declaration.values[flag]
        if isinstance(values, tuple):
            found[flag] = float(format(value, DIGITS))
        else:
            found[flag] = {options.text(possible): possible for possible in values}[value]
    return found


def configured(config, values):
    """`config` with the settings and options `{flag: value}` in place of its own."""
    settings = {flag: value for flag, value in values.items() if "." not in flag}
    options = {flag: value for flag, value in values.items() if "." in flag}
    return dataclasses.replace(config, **settings, options=config.options | options)
