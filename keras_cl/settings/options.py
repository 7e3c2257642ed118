"""`Option`, one keyword parameter of a constructor, and `Choice`, what is known of a constructor."""

import dataclasses
import inspect
import re
import textwrap
import types
from typing import Any, Literal, Union, get_args, get_origin

from keras_cl.errors import require

KINDS = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Option:
    """One keyword parameter of a constructor.

    Attributes:
      name: as in the code.
      kind: bool, int, float, str, or one of them as the element of a tuple.
      many: whether it is a tuple.
      choices: the possible values where the annotation is a Literal, else ().
      default: its default.
      help: its line in the docstring.
    """

    name: str
    kind: type
    many: bool
    choices: tuple[str, ...]
    default: Any
    help: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """One method, memory, network, stream, regime or source.

    Attributes:
      name: short name: of its file, or of the entry point.
      symbol: name of the class or function.
      module: full name of the module that defines it.
      summary: first paragraph of the symbol's docstring.
      title: first line of the file.
      options: its own options, in order.
      constants: class attributes that are plain values, such as `scenarios`, those of bases included.
      origin: where it came from, if from outside the library: a dict with `file`, `sha256` and perhaps
        `package`; else None.
      target: the class or function itself, where it had to be imported to be read; else None.
    """

    name: str
    symbol: str
    module: str
    summary: str
    title: str
    options: tuple[Option, ...]
    constants: dict
    origin: dict | None = None
    target: Any = None


def option_of(name, annotation, default, help_text):
    """The `Option` of a parameter.

    Args:
      name: of the parameter.
      annotation: bool, int, float, str, a tuple of one, or a Literal of strings; with `| None` where None
        stands for a default that depends on other choices.
      default: of the parameter.
      help_text: for `--help`.

    Raises:
      InputError: for any other annotation.
    """
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    if choices := choices_of(annotation):
        return Option(name, str, False, choices, default, help_text)
    many = get_origin(annotation) is tuple
    kind = get_args(annotation)[0] if many else annotation
    require(
        kind in KINDS,
        f"The option {name} has the type {annotation}; possible: bool, int, float, str, tuple[int, ...] and "
        f"the like, Literal of strings.",
    )
    return Option(name, kind, many, (), default, help_text)


def choices_of(annotation):
    """The possible values of a Literal, also where None is possible too; () of any other annotation."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def argument_help(document):
    """`{name: help}` from the "Args:" section of a docstring.

    An entry is `name: text` or `name, name: text`; lines indented deeper than the first entry continue it.
    """
    section = re.search(r"^( *)Args:\n((?:\1 .*\n?)+)", inspect.cleandoc(document), re.M)
    helps, names = {}, []
    for line in textwrap.dedent(section.group(2)).splitlines() if section else ():
        entry = re.fullmatch(r"(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry.group(1).split(", ")
        for name in names:
            helps[name] = entry.group(2) if entry else f"{helps[name]} {line.strip()}"
    return helps


def text(value):
    """The value of an option as a command line has it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
