"""Command-line flags, derived from `Config` and from the constructors of the choices.

Flag values are stored in a separate object, not in `absl.flags.FLAGS`.
"""

import dataclasses
import re
import textwrap

from absl import flags

from keras_cl.errors import InputError, did_you_mean
from keras_cl.settings import catalog, config
from keras_cl.settings.command import HELP, end_with
from keras_cl.settings.options import argument_help, document_of, option_of, require_usable, text


def parse(argv, program="keras_cl.main"):
    """The `Config` of a command line; prints help and exits if the command line has a help flag.

    Args:
      argv: program name and arguments, as in `sys.argv`; `--flagfile=path` adds those in a file.
      program: module name for the help.

    Raises:
      InputError: one sentence about the first unusable argument.
    """
    return read(argv, program, "trains a method over a task stream")[0]


def read(argv, program, about, more=(), prefix="", prefixed=()):
    """Reads the command line of a program that has its own flags in addition to those of a run.

    Args:
      argv, program: as in `parse`.
      about: what the program does, for the help.
      more: `Option`s of the program's own flags.
      prefix: "search" adds a text flag --search.method.strength for every --method.strength.
      prefixed: settings that get such a flag too, in addition to all options of the choices.

    Returns:
      the `Config`, `{flag: value}` of the flags given for it, and `{flag: value}` of the program's own flags
      and of the prefixed flags that were given.
    """
    values = flags.FlagValues()
    arguments = with_flagfiles(values, argv)
    shared = main_options()
    for option in (*shared, *more):
        define(values, option.name, option)
    chosen = {axis: _chosen(arguments, axis) for axis in catalog.AXES}
    says = chosen["method"], chosen["regime"]
    chosen = {axis: name or catalog.usual(*says)[axis] for axis, name in chosen.items()}
    chosen = {axis: name for axis, name in chosen.items() if name}
    chosen |= catalog.several("augment", _names(_given(arguments, "augment")))
    dataset = _given(arguments, "dataset")
    if catalog.is_external("dataset", dataset):
        chosen["dataset"] = dataset
    own = {axis: config.own_options(axis, name, *says) for axis, name in chosen.items()}
    options = {f"{axis}.{option.name}": option for axis, found in own.items() for option in found}
    for name, option in options.items():
        define(values, name, option)
    with_prefix = [f"{prefix}.{name}" for name in (*prefixed, *options)] if prefix else []
    for name in with_prefix:
        flags.DEFINE_string(name, None, "", flag_values=values)
    if any(argument in HELP for argument in arguments):
        named = {(axis, chosen[axis]): found for axis, found in own.items()}
        end_with(help_text(f"{program}: {about}", shared, named, more))
    parse_all(values, [argv[0], *arguments], chosen)
    names = [*(option.name for option in shared), *options]
    given = {name: values[name].value for name in names if values[name].present}
    settings = {option.name: values[option.name].value for option in shared}
    options = {name: value for name, value in given.items() if "." in name}
    others = {option.name: values[option.name].value for option in more}
    others |= {name: values[name].value for name in with_prefix if values[name].present}
    return config.Config(**settings, options=options), given, others


def read_own(argv, about, options=()):
    """Reads the command line of a program that has flags of its own alone.

    Args:
      argv: program name and arguments.
      about: what the program does and how it is called, for the help.
      options: `Option`s of its flags.

    Returns:
      absl's `FlagValues`, and the arguments that are no flags.
    """
    values = flags.FlagValues()
    arguments = with_flagfiles(values, argv)
    for option in options:
        define(values, option.name, option)
    if any(argument in HELP for argument in arguments):
        lines = [line for o in options for line in _help_lines(f"--{o.name}", o, o.choices)]
        end_with("\n".join([f"{about.strip()}\n", *lines]))
    rest = _parse(values, [argv[0], *arguments], lambda name: _unknown(name, options))
    require_usable({option.name: values[option.name].value for option in options})
    return values, rest


def given(argv, name):
    """The text that a command line gives for a setting, or its default, before anything else is parsed."""
    return _given(with_flagfiles(flags.FlagValues(), argv), name)


def main_options():
    """`Option`s of the settings."""
    return field_options(config.Config, skipped=("options",))


def field_options(settings, skipped):
    """`Option`s of a dataclass of settings, from its fields (except the `skipped` ones) and its docstring."""
    helps = argument_help(document_of(settings))
    return [
        option_of(field.name, field.type, field.default, helps[field.name])
        for field in dataclasses.fields(settings)
        if field.name not in skipped
    ]


def help_text(headline, shared, own, more=()):
    """The text of `--help`: the program's own flags, the settings, the options `own[axis, name]`."""
    lines = [f"python -m {headline}."]
    lines += ["", "Flags of this program:"] if more else []
    for option in more:
        lines += _help_lines(f"--{option.name}", option, option.choices)
    lines += ["", "Settings:"]
    for option in shared:
        several = option.name in (*catalog.AXES, *catalog.LISTS)
        possible = catalog.names(option.name) if several else option.choices
        if option.name == "dataset" and (installed := catalog.names("dataset")):
            option = dataclasses.replace(option, help=f"{option.help} Installed: {', '.join(installed)}.")
        lines += _help_lines(f"--{option.name}", option, [value for value in possible if value])
    for (axis, name), options in own.items():
        about = catalog.choice(axis, name)
        lines += ["", f"Options of the {axis.partition('.')[0]} {about.name}. {about.title}"]
        for option in options:
            lines += _help_lines(f"--{axis}.{option.name}", option, option.choices)
        lines += [] if options else ["  (none)"]
    return "\n".join([*lines, "", "--flagfile=path reads flags from a file, one a line."])


def _help_lines(flag, option, possible):
    default = "" if option.default is None else text(option.default)
    facts = [f"one of {', '.join(possible)}"] if possible else []
    facts += [f"default {default}"] if default else []
    told = f"{option.help} ({'; '.join(facts)})" if facts else option.help
    return [f"  {flag}", *textwrap.wrap(told, 92, initial_indent="      ", subsequent_indent="      ")]


WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def parsed(option, text):
    """The value of an `Option` from a text.

    Raises:
      ValueError: says what the text is not.
    """
    if option.choices and text not in option.choices:
        possible = [value for value in option.choices if value]
        raise ValueError(
            f"{text!r} is not known; possible: {', '.join(possible)}." + did_you_mean(text, possible)
        )
    try:
        if option.kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if option.many:
            return tuple(option.kind(part.strip()) for part in text.split(",") if part.strip())
        return option.kind(text)
    except (ValueError, KeyError):
        several = " or several, separated by commas" if option.many else ""
        raise ValueError(f"{text!r} is not {WORDS[option.kind]}{several}.") from None


class _Parser(flags.ArgumentParser):
    """Converts the text of a flag to the value of an `Option`."""

    def __init__(self, option):
        super().__init__()
        self.option = option
        self.syntactic_help = ""

    def parse(self, text):
        return parsed(self.option, text) if isinstance(text, str) else text

    def flag_type(self):
        return self.option.kind.__name__


def define(values, name, option):
    """Adds the flag of an `Option` to absl's `FlagValues`."""
    if option.kind is bool:
        flags.DEFINE_boolean(name, option.default, option.help, flag_values=values)
    else:
        serializer = flags.ArgumentSerializer()
        flags.DEFINE(_Parser(option), name, option.default, option.help, values, serializer)


def with_flagfiles(values, argv):
    """The arguments of a command line, with those in flagfiles in their place."""
    try:
        return values.read_flags_from_files(argv[1:], force_gnu=False)
    except flags.CantOpenFlagFileError as error:
        missing = error.__context__
        raise InputError(f"The flagfile {missing.filename} cannot be read: {missing.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError("A flagfile must be plain text, one flag per line.") from None
    except flags.Error:
        raise InputError("--flagfile needs a path: --flagfile=path.") from None


def _chosen(arguments, axis):
    """The choice given for an axis, "" if there is none; the options depend on it."""
    found = _given(arguments, axis)
    nothing = not found and not getattr(config.Config, axis)  # is valid if the default is empty too
    return "" if nothing else catalog.choice(axis, found) and found


def _given(arguments, name):
    """The last text given for a flag, or its default."""
    found = getattr(config.Config, name)
    for place, argument in enumerate(arguments):
        if argument in (f"--{name}", f"-{name}") and place + 1 < len(arguments):
            found = arguments[place + 1]
        match = re.fullmatch(rf"--?{name}=(.*)", argument)
        found = match.group(1) if match else found
    return found


def _names(given):
    """Names that a flag gives, separated by commas; or its default, a tuple."""
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


def parse_all(values, argv, chosen):
    """Parses a command line of flags alone; `chosen` are the choices `{axis: text}` for the message about an
    unknown flag."""
    rest = _parse(values, argv, lambda name: _no_such_flag(name, values, chosen))
    if rest:
        raise InputError(f"{rest[0]!r} is not a flag; flags look like --tasks=5.")


def _unknown(name, options):
    near = did_you_mean(f"--{name}", [f"--{option.name}" for option in options])
    return f"There is no flag --{name}.{near}"


def parse_known(values, argv):
    """Parses the flags of a command line that `values` has, and leaves the others for later."""
    _parse(values, argv, str, known_only=True)


def _parse(values, argv, unknown, known_only=False):
    """The arguments that are no flags; `unknown` makes the message about an unknown flag."""
    try:
        return values(argv, known_only)[1:]
    except flags.UnrecognizedFlagError as error:
        raise InputError(unknown(error.flagname)) from None
    except RecursionError:  # absl looks for similar names
        raise InputError("A flag has a name of hundreds of characters; --help lists all flags.") from None
    except (flags.Error, ValueError) as error:
        raise InputError(_plain(str(error))) from None


def _no_such_flag(name, values, chosen):
    """Message for an unknown flag, with the nearest name; an option is compared with those of the choice."""
    place, dot, _ = name.rpartition(".")
    named = (axis for axis in chosen if f".{place}".endswith(f".{axis}"))
    axis = next(named, place.rpartition(".")[2])
    if dot and axis in chosen:  # a comparison has --sweep.method.strength too
        said = f"The {axis.partition('.')[0]} {chosen[axis]} has no option --{name}."
        near = [f"--{known}" for known in values if known.startswith(f"{place}.")]
    elif place.partition(".")[0] in catalog.LISTS:
        setting, _, own = place.partition(".")
        said, near = f"--{setting} does not name {own}, so there is no --{name}.", []
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
