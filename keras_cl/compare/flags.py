"""The command line of a comparison: flags of its own, flags for all runs, and flags with several values."""

import dataclasses
import itertools

from absl import flags

from keras_cl.compare.settings import LISTS, Settings, own_flags
from keras_cl.errors import InputError, require
from keras_cl.settings import catalog, config
from keras_cl.settings import flags as command_flags
from keras_cl.settings.command import HELP, end_with
from keras_cl.settings.options import Option, text

SWEEP = "sweep"
MANY = 7  # choices that are too many to name them in a message
ABOUT = """trains every combination of the settings given, and compares them.

Every flag of a run can have several values: --sweep.learning_rate=0.1,0.01. Those of a flag that is a list
are separated by semicolons: --sweep.network.hidden='100;400,400'. Options, such as --method.strength=10 and
--sweep.method.strength=1,10, are given to the choices that have them. Unless --export is given, no models are
exported. A run that was trained before is not trained again, and the same command goes on with what was
stopped"""


@dataclasses.dataclass(frozen=True)
class Given:
    """A command line.

    Attributes:
      settings: the `Settings`.
      flags: `{flag: text}` for all runs.
      several: `{flag: [text, ...]}` of the flags that have several values, those of the axes first.
    """

    settings: Settings
    flags: dict
    several: dict


def parse(argv):
    """The `Given` of a command line; prints help and exits if it has a help flag.

    Raises:
      InputError: one sentence about the first unusable argument.
    """
    values = flags.FlagValues()
    arguments = [argv[0], *expanded(argv[1:])]
    shared, own = command_flags.main_options(), own_flags()
    for option in (*shared, *own):
        command_flags.define(values, option.name, option)
    command_flags.parse_known(values, arguments)
    chosen = _chosen(values)
    choices = _own_options(chosen)
    if any(argument in HELP for argument in arguments):
        end_with(command_flags.help_text(f"keras_cl.compare: {ABOUT}", shared, choices, own))
    options = {}
    for (axis, _), found in choices.items():
        for option in found:
            options.setdefault(f"{axis}.{option.name}", []).append(option)
    for name, same in options.items():
        command_flags.define(values, name, _untyped(same[0]))
    names = [*(option.name for option in shared), *options]
    for name in names:
        flags.DEFINE_string(f"{SWEEP}.{name}", None, "", flag_values=values)
    command_flags.parse_all(values, arguments, _told(chosen))
    settings = Settings(**{option.name: values[option.name].value for option in own})
    given = {name: text(values[name].value) for name in names if values[name].present}
    swept = {name: values[f"{SWEEP}.{name}"].value for name in names if values[f"{SWEEP}.{name}"].present}
    require(
        "run_dir" not in given,
        f"--run_dir={given.get('run_dir')} is the folder of one run; --runs_dir is the folder of all.",
    )
    lists = {axis: list(getattr(settings, name)) for name, axis in LISTS.items() if getattr(settings, name)}
    known = {option.name: [option] for option in shared} | options
    return Given(settings, given, lists | _swept(swept, known, given, settings))


def expanded(arguments):
    """Arguments with those in flagfiles in their place."""
    return command_flags.with_flagfiles(flags.FlagValues(), ["", *arguments])


def _chosen(values):
    """`{axis: names}` of all choices that the runs can have; all of the library if a file names the runs."""
    if values["runs"].value:
        return {axis: catalog.names(axis) for axis in catalog.AXES}
    chosen = {axis: _named(values, plural, axis) for plural, axis in LISTS.items()}
    for axis in ("method", "regime"):
        for name in chosen[axis]:
            catalog.choice(axis, name)
    pairs = itertools.product(chosen["method"], chosen["regime"])
    usual = [catalog.usual(*pair) for pair in pairs]
    for axis in ("memory", "network"):
        chosen[axis] = chosen[axis] or list(dict.fromkeys(one[axis] for one in usual if one[axis]))
    chosen = {axis: found for axis, found in chosen.items() if axis in (*catalog.AXES, "dataset")}
    lists = {axis: catalog.several(axis, catalog.names(axis)) for axis in catalog.LISTS}
    return chosen | {axis: [name] for own in lists.values() for axis, name in own.items()}


def _told(chosen):
    """`{axis: text}` of the choices, for a message."""
    named = {axis: " or ".join(names) for axis, names in chosen.items() if names}
    return {axis: text if len(chosen[axis]) < MANY else "of any name" for axis, text in named.items()}


def _named(values, plural, axis):
    several, one = values[plural], values[axis]
    require(
        not (several.value and one.present),
        f"--{axis}={one.value} and --{plural} are given; give one of them.",
    )
    require(several.value or not several.present, f"--{plural} is empty; give names, separated by commas.")
    return list(several.value) or ([one.value] if one.value else [])


def _own_options(chosen):
    """`{(axis, name): options}` of all choices."""
    methods = chosen["method"]
    return {
        (axis, name): config.own_options(axis, name, name if axis == "method" else methods[0])
        for axis, names in chosen.items()
        for name in names
        if axis != "dataset" or catalog.is_external(axis, name)
    }


def _untyped(option):
    """The option without its kind and choices, which may be others in another choice."""
    if option.kind is bool:
        return option
    return Option(option.name, str, False, (), None, option.help)


def _swept(given, known, others, settings):
    """`{flag: [text, ...]}` of the flags --sweep.FLAG."""
    axes = {axis: plural for plural, axis in LISTS.items()}
    found = {}
    for name, value in given.items():
        flag = f"--{SWEEP}.{name}"
        require(not settings.runs, f"--runs={settings.runs} says which runs, and so does {flag}; give one.")
        require(name not in axes, f"{flag}: give --{axes.get(name)}.")
        require(name != "seeds", f"{flag}: give --seeds; each seed is a run.")
        fixed = name in (*config.PLACES, *config.AFTERWARDS)
        require(not fixed, f"{flag}: --{name} does not change what a run learns.")
        require(name not in others, f"--{name} and {flag} are given; give one of them.")
        many = any(option.many for option in known[name])  # of one choice, and not of another, perhaps
        parts = [part.strip() for part in value.split(";" if many else ",")]
        require(all(parts), f"{flag}={value} has an empty value.")
        twice = [part for part in parts if parts.count(part) > 1]
        require(not twice, f"{flag} has {twice[:1] and twice[0]} twice.")
        for part in parts if "." not in name else ():
            _require_value(flag, known[name][0], part)
        found[name] = parts
    return found


def _require_value(flag, option, part):
    try:
        command_flags.parsed(option, part)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None
