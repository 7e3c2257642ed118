"""Command-line flags, derived from `Config` and from the constructors of what is chosen.

Flag values live in an object of their own, not in `absl.flags.FLAGS`.
"""

import dataclasses
import re
import sys
import textwrap

from absl import flags

from keras_cl import catalog, config
from keras_cl.command import HELP
from keras_cl.errors import InputError, did_you_mean


def parse(argv, program="keras_cl.main"):
    """The `Config` that a command line asks for; prints help and exits where that is asked for.

    Args:
      argv: program name and arguments, as in `sys.argv`; `--flagfile=path` reads more of them.
      program: module name for the help.

    Raises:
      InputError: one sentence about what cannot be used.
    """
    values = flags.FlagValues()
    arguments = _with_flagfiles(values, argv)
    shared = main_options()
    for option in shared:
        _define(values, option.name, option)
    chosen = {axis: _chosen(arguments, axis) for axis in catalog.AXES}
    says = chosen["method"], chosen["regime"]
    chosen = {axis: name or catalog.usual(*says)[axis] for axis, name in chosen.items()}
    chosen = {axis: name for axis, name in chosen.items() if name}
    own = {axis: config.own_options(axis, name, *says) for axis, name in chosen.items()}
    for axis, options in own.items():
        for option in options:
            _define(values, f"{axis}.{option.name}", option)
    if any(argument in HELP for argument in arguments):
        print(help_text(program, shared, chosen, own))
        sys.exit(0)
    _read(values, [argv[0], *arguments], chosen)
    options = {
        f"{axis}.{option.name}": values[f"{axis}.{option.name}"].value
        for axis in own
        for option in own[axis]
        if values[f"{axis}.{option.name}"].present
    }
    return config.Config(**{option.name: values[option.name].value for option in shared}, options=options)


def main_options():
    """The `catalog.Option`s of the settings themselves, from the fields and docstring of `Config`."""
    helps = catalog.argument_help(config.Config.__doc__)
    return [
        catalog.option(field.name, field.type, field.default, helps[field.name])
        for field in dataclasses.fields(config.Config)
        if field.name != "options"
    ]


def help_text(program, shared, chosen, own):
    """What `--help` prints: the settings, then the options of what is chosen and of nothing else."""
    lines = [f"python -m {program}: trains a method over a task stream.", "", "Settings:"]
    for option in shared:
        possible = catalog.names(option.name) if option.name in catalog.AXES else option.choices
        lines += _help_lines(f"--{option.name}", option, [value for value in possible if value])
    for axis, options in own.items():
        about = catalog.choice(axis, chosen[axis])
        lines += ["", f"Options of the {axis} {about.name}. {about.title}"]
        for option in options:
            lines += _help_lines(f"--{axis}.{option.name}", option, option.choices)
        lines += [] if options else ["  (none)"]
    return "\n".join([*lines, "", "--flagfile=path reads flags from a file, one a line."])


def _help_lines(flag, option, possible):
    default = "" if option.default is None else _text(option.default)
    facts = [f"one of {', '.join(possible)}"] if possible else []
    facts += [f"default {default}"] if default else []
    text = f"{option.help} ({'; '.join(facts)})" if facts else option.help
    return [f"  {flag}", *textwrap.wrap(text, 92, initial_indent="      ", subsequent_indent="      ")]


def _text(value):
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Parser(flags.ArgumentParser):
    """Turns the text of a flag into the value of an `Option`."""

    WORDS = {int: "a whole number", float: "a number", str: "text"}

    def __init__(self, option):
        super().__init__()
        self.option = option
        self.syntactic_help = ""

    def parse(self, text):
        if not isinstance(text, str):
            return text
        option = self.option
        if option.choices and text not in option.choices:
            possible = [value for value in option.choices if value]
            raise ValueError(
                f"{text!r} is not known; possible: {', '.join(possible)}." + did_you_mean(text, possible)
            )
        words = self.WORDS[option.kind]
        try:
            if option.many:
                return tuple(option.kind(part) for part in text.split(",") if part.strip())
            return option.kind(text)
        except ValueError:
            several = " or several, separated by commas" if option.many else ""
            raise ValueError(f"{text!r} is not {words}{several}.") from None

    def flag_type(self):
        return self.option.kind.__name__


def _define(values, name, option):
    if option.kind is bool:
        flags.DEFINE_boolean(name, option.default, option.help, flag_values=values)
    else:
        serializer = flags.ArgumentSerializer()
        flags.DEFINE(_Parser(option), name, option.default, option.help, values, serializer)


def _with_flagfiles(values, argv):
    try:
        return values.read_flags_from_files(argv[1:], force_gnu=False)
    except flags.CantOpenFlagFileError as error:
        missing = error.__context__
        raise InputError(f"The flagfile {missing.filename} cannot be read: {missing.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError("A flagfile must be plain text, one flag a line.") from None
    except flags.Error:
        raise InputError("--flagfile needs a path: --flagfile=path.") from None


def _chosen(arguments, axis):
    """The name given for an axis, the last one if several are; options depend on it."""
    found = getattr(config.Config, axis)
    for place, argument in enumerate(arguments):
        if argument in (f"--{axis}", f"-{axis}") and place + 1 < len(arguments):
            found = arguments[place + 1]
        match = re.fullmatch(rf"--?{axis}=(.*)", argument)
        found = match.group(1) if match else found
    nothing = not found and not getattr(config.Config, axis)  # is a choice on an axis where it is the default
    return "" if nothing else catalog.choice(axis, found).name


def _read(values, argv, chosen):
    try:
        rest = values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        raise InputError(_no_such_flag(error.flagname, values, chosen)) from None
    except (flags.Error, ValueError) as error:
        raise InputError(_plain(str(error))) from None
    if rest:
        raise InputError(f"{rest[0]!r} is no flag; flags look like --tasks=5.")


def _no_such_flag(name, values, chosen):
    """Says so, with the nearest name; an option is compared with those of what is chosen."""
    axis, dot, _ = name.partition(".")
    if dot and axis in chosen:
        said = f"The {axis} {chosen[axis]} has no option --{name}."
        near = [f"--{known}" for known in values if known.startswith(f"{axis}.")]
    elif dot and axis in catalog.AXES:
        said, near = f"{chosen['method']} has no {axis} here, so there is no --{name}; give --{axis} too.", []
    else:
        said, near = f"There is no flag --{name}.", [f"--{known}" for known in values]
    return f"{said}{did_you_mean(f'--{name}', near)} --help lists all of them."


def _plain(message):
    """absl's "flag --tasks=x: 'x' is not ..." as a sentence."""
    message = re.sub(r"^flag (--[\w.]+)=.*?: ", r"\1: ", message, flags=re.S)
    message = re.sub(
        r"\('Non-boolean argument to boolean flag', (.*)\)", r"\1 is neither true nor false", message
    )
    return message if message.endswith("?") else message.rstrip(".") + "."
