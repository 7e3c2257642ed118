"""The choices of the library: one file per choice, read from the source without importing it.

Methods, memories, networks, streams, regimes and augmentations are found by file name. Their options are the
annotated keyword parameters of the constructor with their defaults; the help is the docstring. Because the
source is read and not imported, `--help` does not load TensorFlow and answers at once.
"""

import ast
import contextlib
import functools
import pathlib
from typing import Annotated, Literal

from keras_cl.settings.options import Choice, argument_help, option_of

LIBRARY = pathlib.Path(__file__).parents[1]
AXES = {
    "method": "methods",
    "memory": "memories",
    "network": "networks",
    "stream": "streams",
    "regime": "regimes",
}

# Settings that name several choices. Each of them is an axis of its own in the names of options, such as
# augment.crop in --augment.crop.padding.
LISTS = {"augment": "learning/augment"}


def folder(axis):
    """Folder of the files of an axis, one of `AXES`, of `LISTS`, or of one choice of a list."""
    return (AXES | LISTS)[axis.partition(".")[0]]


def names(axis):
    """Names of the files of an axis, sorted; `axis` as in `folder`."""
    files = (LIBRARY / folder(axis)).glob("*.py")
    return sorted(file.stem for file in files if file.stem not in ("__init__", "base"))


@functools.cache
def read(axis, name):
    """The `Choice` in the file called `name`."""
    file = LIBRARY / folder(axis) / f"{name}.py"
    module = ast.parse(file.read_text())
    symbol = _symbol(module, axis, name)
    document = ast.get_docstring(symbol) or ""
    lineage = list(_lineage(symbol, module))
    maker, origin = next((pair for pair in lineage if _signature(pair[0])), lineage[0])
    helps = argument_help(ast.get_docstring(maker) or "")
    return Choice(
        name=name,
        symbol=symbol.name,
        module=".".join(["keras_cl", *folder(axis).split("/"), name]),
        summary=document.split("\n\n")[0],
        title=(ast.get_docstring(module) or "").split("\n")[0],
        options=tuple(_options(_signature(maker), _aliases(origin), helps)),
        constants=_constants(lineage),
    )


def _symbol(module, axis, name):
    """The function named like the file for a network or stream, else the last class of the file."""
    if axis not in ("network", "stream"):
        return [node for node in module.body if isinstance(node, ast.ClassDef)][-1]
    return next(n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == name)


def _lineage(symbol, module):
    """Yields a function, or a class and its bases from this library, nearest first, each with its module."""
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
    for argument, default in (pair for pair in pairs if pair[0].annotation):  # others are not flags
        annotation = _evaluated(argument.annotation, aliases)
        yield option_of(argument.arg, annotation, ast.literal_eval(default), helps.get(argument.arg, ""))


def _aliases(module):
    """`{name: type}` of the type aliases that a file defines, or imports from this library."""
    found = {}
    for node in module.body:
        if names := _imported(node):
            imported = _aliases(ast.parse(_file(node).read_text())) if _file(node).exists() else {}
            found |= {name: imported[name] for name in names if name in imported}
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
            found[node.targets[0].id] = _evaluated(node.value, {})
    return found


def _evaluated(annotation, aliases):
    """The type of an annotation in the source of this library."""
    return eval(ast.unparse(annotation), {"Annotated": Annotated, "Literal": Literal, **aliases})


def _constants(lineage):
    """Plain class attributes, from the class or its nearest base."""
    found = {}
    for symbol, _ in reversed(lineage):
        for node in symbol.body if isinstance(symbol, ast.ClassDef) else ():
            for name in [target.id for target in node.targets] if isinstance(node, ast.Assign) else ():
                found.pop(name, None)
                with contextlib.suppress(ValueError):  # an expression is not a plain value
                    found[name] = ast.literal_eval(node.value)
    return found
