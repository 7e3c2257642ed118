"""`Option`, one keyword parameter of a constructor, and `Choice`, the description of a constructor."""

import ast
import dataclasses
import inspect
import math
import re
import sys
import textwrap
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from keras_cl.errors import require

KINDS = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Option:
    """One keyword parameter of a constructor.

    Attributes:
      name: name in the code.
      kind: bool, int, float or str; for a tuple, the type of its elements.
      many: whether it is a tuple.
      choices: the possible values if the annotation is a Literal, else ().
      default: default value.
      help: entry in the docstring.
      per_task: whether it is a tuple with one value for each task of a stream, and so says how many.
    """

    name: str
    kind: type
    many: bool
    choices: tuple[str, ...]
    default: Any
    help: str
    per_task: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """One method, memory, network, stream, regime or source.

    Attributes:
      name: short name: that of its file or of its entry point.
      symbol: name of the class or function.
      module: full name of the module that defines it.
      summary: first paragraph of the symbol's docstring.
      title: first line of the file.
      options: its own options, in order.
      constants: class attributes that are plain values, such as `scenarios`, including those of bases.
      origin: for a choice from outside the library, a dict with `file`, `sha256` and, if known, `package`;
        else None.
      target: the class or function itself if it was imported to read it; else None.
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
      name: name of the parameter.
      annotation: bool, int, float, str, a tuple of one of these, or a Literal of strings; with `| None` if
        the default depends on other choices; Annotated[tuple[int, ...], "per task"] for a tuple with one
        value for each task of a stream.
      default: default of the parameter.
      help_text: text for `--help`.

    Raises:
      InputError: for any other annotation.
    """
    per_task = get_origin(annotation) is Annotated and "per task" in get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
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
    return Option(name, kind, many, (), default, help_text, per_task)


def require_usable(values):
    """Raises `InputError` for values in `{flag: value}` that no option can have: numbers that are not finite,
    whole numbers beyond 32 bits (64 bits for a seed), text with a NUL character."""
    for flag, value in values.items():
        for part in value if isinstance(value, tuple | list) else (value,):
            _require_usable(flag, part)


def _require_usable(flag, value):
    if isinstance(value, float):
        require(math.isfinite(value), f"--{flag} is {value}; it must be a finite number.")
    elif isinstance(value, int):
        bits = 63 if "seed" in flag.rpartition(".")[2] else 31
        possible = -(2**bits) <= value < 2**bits
        require(possible, f"--{flag} is too large; a whole number must be below 2**{bits}.")
    elif isinstance(value, str):
        require("\0" not in value, f"--{flag} is {value!r}; it must not contain a NUL character.")


def choices_of(annotation):
    """The possible values of a Literal, also where None is possible too; () of any other annotation."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def document_of(found):
    """Docstring of a module, class or function; read from its source where Python has dropped it (-OO)."""
    if sys.flags.optimize < 2:  # else a dataclass has a docstring of its own making
        return inspect.getdoc(found) or ""
    module = ast.parse(textwrap.dedent(inspect.getsource(found)))
    return ast.get_docstring(module if inspect.ismodule(found) else module.body[0]) or ""


def argument_help(document):
    """`{name: help}` from the "Args:" section of a docstring.

    An entry is `name: text` or `name, name: text`; lines that are indented deeper continue it.
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
    """The value of an option as text for a command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
