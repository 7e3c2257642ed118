"""What there is to choose from: one file, one choice, read from the source without importing it.

Methods, memories, networks, streams and regimes are found by file name; their options are the annotated
keyword parameters of the constructor, with its defaults; help is the docstring. Reading the source keeps
`--help` free of TensorFlow and makes the constructor the only place where an option is named.
"""

import ast
import contextlib
import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
import textwrap
import types
from typing import Any, Literal, Union, get_args, get_origin

from keras_cl.errors import pick

# Settings that a method or a regime may have a say in, and what they are where neither has.
UNSAID = {
    "memory": "",
    "network": "mlp",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "momentum": 0.0,
    "batch_size": 32,
}

LIBRARY = pathlib.Path(__file__).parents[1]
AXES = {
    "method": "methods",
    "memory": "memories",
    "network": "networks",
    "stream": "streams",
    "regime": "regimes",
}


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
    """One method, memory, network or stream.

    Attributes:
      name: of its file.
      symbol: of the class or function in it.
      summary: first paragraph of the symbol's docstring.
      title: first line of the file.
      options: its own options, in order.
      constants: class attributes that are plain values, such as `scenarios`, those of bases included.
    """

    name: str
    symbol: str
    summary: str
    title: str
    options: tuple[Option, ...]
    constants: dict


def names(axis):
    """Names to choose from, sorted; `axis` is one of `AXES`."""
    folder = LIBRARY / AXES[axis]
    return sorted(
        file.stem for file in folder.glob("*.py") if file.stem != "base" and not file.stem.startswith("_")
    )


def choice(axis, name):
    """The `Choice` called `name`.

    Raises:
      InputError: if there is none, with the nearest name.
    """
    return _read(axis, pick(axis, name, names(axis)))


def usual(method, regime="plain"):
    """`{setting or option: value}` that a method and a regime have where nothing is said; the method's count
    more."""
    said = [choice(*chosen).constants.get("usual", {}) for chosen in (("regime", regime), ("method", method))]
    return UNSAID | said[0] | said[1]


def possible_memories(method):
    """Names of the memories that a method can have."""
    constants = choice("method", method).constants
    if constants.get("memories") is not None:
        return list(constants["memories"])
    generated = constants.get("generated", True)
    return [name for name in names("memory") if generated or not generates(name)]


def generates(memory):
    """Whether a memory is a generator, and holds no rows."""
    return choice("memory", memory).constants.get("generates", False)


def load(axis, name):
    """The class or function itself; this imports its module."""
    found = choice(axis, name)
    return getattr(importlib.import_module(f"keras_cl.{AXES[axis]}.{name}"), found.symbol)


@functools.cache
def _read(axis, name):
    file = LIBRARY / AXES[axis] / f"{name}.py"
    module = ast.parse(file.read_text())
    symbol = _symbol(module, axis, name)
    document = ast.get_docstring(symbol) or ""
    lineage = list(_lineage(symbol, module))
    maker, origin = next((pair for pair in lineage if _signature(pair[0])), lineage[0])
    helps = argument_help(ast.get_docstring(maker) or "")
    return Choice(
        name=name,
        symbol=symbol.name,
        summary=document.split("\n\n")[0],
        title=(ast.get_docstring(module) or "").split("\n")[0],
        options=tuple(_options(_signature(maker), _aliases(origin), helps)),
        constants=_constants(lineage),
    )


def _symbol(module, axis, name):
    """A network or stream is the function named like its file, any other choice the last class in it."""
    if axis not in ("network", "stream"):
        return [node for node in module.body if isinstance(node, ast.ClassDef)][-1]
    return next(n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == name)


def _lineage(symbol, module):
    """A function, or a class and its bases from this library, nearest first, each with its module."""
    yield symbol, module
    for base in map(ast.unparse, getattr(symbol, "bases", ())):
        files = [_file(node) for node in module.body if base in _imported(node)]
        home = ast.parse(files[0].read_text()) if files else module
        for node in home.body:
            if isinstance(node, ast.ClassDef) and node.name == base:
                yield from _lineage(node, home)


def _imported(node):
    """Names that a statement imports from this library."""
    ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_cl.")
    return [alias.name for alias in node.names] if ours else []


def _file(node):
    return LIBRARY.parent.joinpath(*node.module.split(".")).with_suffix(".py")


def _signature(symbol):
    if isinstance(symbol, ast.FunctionDef):
        return symbol.args
    makers = [n for n in symbol.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return makers[0].args if makers else None


def _options(arguments, aliases, helps):
    if arguments is None:
        return
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    for argument, default in (pair for pair in pairs if pair[0].annotation):  # others are not for a command
        annotation = _evaluated(argument.annotation, aliases)
        yield option(argument.arg, annotation, ast.literal_eval(default), helps.get(argument.arg, ""))


def option(name, annotation, default, help_text):
    """The `Option` of a parameter annotated with bool, int, float, str, a tuple of one, or a Literal; with
    `| None` where None stands for a default that depends on other choices."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return Option(name, str, False, get_args(annotation), default, help_text)
    if get_origin(annotation) is tuple:
        return Option(name, get_args(annotation)[0], True, (), default, help_text)
    return Option(name, annotation, False, (), default, help_text)


def _aliases(module):
    """`{name: type}` of the annotations that a file defines, or imports from this library."""
    found = {}
    for node in module.body:
        if names := _imported(node):
            imported = _aliases(ast.parse(_file(node).read_text())) if _file(node).exists() else {}
            found |= {name: imported[name] for name in names if name in imported}
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
            found[node.targets[0].id] = _evaluated(node.value, {})
    return found


def _evaluated(annotation, aliases):
    """The type that an annotation of this library's own source stands for."""
    return eval(ast.unparse(annotation), {"Literal": Literal, **aliases})


def _constants(lineage):
    """Plain values that a class has, its own or from the nearest base."""
    found = {}
    for symbol, _ in reversed(lineage):
        for node in symbol.body if isinstance(symbol, ast.ClassDef) else ():
            if isinstance(node, ast.Assign):
                name = node.targets[0].id
                found.pop(name, None)
                with contextlib.suppress(ValueError):  # an expression is no plain value
                    found[name] = ast.literal_eval(node.value)
    return found


def argument_help(document):
    """`{name: help}` from the "Args:" section of a docstring.

    An entry is `name: text` or `name, name: text`; lines set deeper than the first entry continue the text.
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
