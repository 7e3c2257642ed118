"""Choices from outside the library: a file, a module, or an entry point of an installed package.

    --method=path/to/cwr.py       the last method class of the file
    --method=my_package.cwr       the same of a module that can be imported
    --method=my_package.cwr:CWR   a class by its name; also behind a path
    --method=cwr                  an entry point of the group "keras_cl.methods"

Such code can contain any Python, so it is imported, and its options are read from the signature.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import typing

from keras_cl import sources
from keras_cl.devices import device
from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.settings.options import Choice, argument_help, document_of, option_of

# Group of the entry points of each axis.
GROUPS = {
    "method": "keras_cl.methods",
    "memory": "keras_cl.memories",
    "network": "keras_cl.networks",
    "stream": "keras_cl.streams",
    "regime": "keras_cl.regimes",
    "dataset": "keras_cl.sources",
}
BASES = {  # base classes, for axes whose choices are classes; the choices on other axes are functions
    "method": ["keras_cl.methods.base:ContinualModel"],
    "memory": ["keras_cl.memories.base:Memory", "keras_cl.generators.memory:GenerativeMemory"],
    "regime": ["keras_cl.regimes.base:Regime"],
}
FOREIGN = ("builtins", "tensorflow", "tf_keras", "keras")  # packages whose class attributes are ignored
MODULE = re.compile(r"(?!.*\.npz$)[^\W\d]\w*(\.[^\W\d]\w*)+(:\w+)?")  # my_package.cwr:CWR; not a data file
PLAIN = (bool, int, float, str, tuple, list, dict, type(None))


def names(axis):
    """Names of the entry points of an axis, sorted."""
    return sorted(entry_points(axis))


@functools.cache
def entry_points(axis):
    """`{name: entry point}` of installed packages on an axis."""
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUPS[axis])}


def is_external(axis, given):
    """Whether `given` names a file, a module or an entry point of an axis."""
    if axis == "dataset" and len(sources.names(given)) > 1:
        return False
    module = MODULE.fullmatch(given) and not os.path.isdir(given)  # a folder of images
    return is_file(given) or bool(module) or given in entry_points(axis)


def is_file(given):
    """Whether `given` is the path of a Python file, optionally with the name of a class or function."""
    return given.partition(":")[0].endswith(".py")


def short_name(given):
    """Name used in results: a file or module without its folders and packages."""
    place, _, symbol = given.partition(":")
    return symbol or (pathlib.Path(place).stem if is_file(given) else place.rpartition(".")[2])


@functools.cache
def read(axis, given):
    """The `Choice` for a path, a module or an entry point.

    Raises:
      InputError: if it does not exist, cannot be imported, or defines nothing for this axis.
    """
    point = entry_points(axis).get(given)
    place, _, symbol = (point.value if point else given).partition(":")
    module = _from_file(place) if is_file(place) else _from_package(place)
    found = _symbol(axis, module, place, symbol)
    maker = _maker(found)
    try:
        options = tuple(_options(maker))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    return Choice(
        name=given if point else short_name(given),
        symbol=found.__name__,
        module=module.__name__,
        summary=document_of(found).split("\n\n")[0],
        title=document_of(module).split("\n")[0],
        options=options,
        constants=_constants(found),
        origin=_origin(module, point),
        target=found,
    )


def _from_file(place):
    """Imports the file at a path. The file can import files in its folder, as if it were run as a program."""
    file = pathlib.Path(place)
    if not file.is_file():
        near = did_you_mean(file.name, [other.name for other in file.parent.glob("*.py")])
        raise InputError(f"There is no file {place}.{near}")
    _make_importable(file.resolve().parent)
    name = f"{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        _imported(place, lambda: spec.loader.exec_module(module))
    except InputError:
        del sys.modules[name]
        raise
    return module


def _from_package(place):
    _make_importable(pathlib.Path.cwd())  # as `python -m` does, for commands that are scripts
    return _imported(place, lambda: importlib.import_module(place))


def _make_importable(folder):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last, so that it hides no installed package


def _imported(place, importing):
    """Imports code from outside; an error in it becomes one sentence."""
    device.import_tensorflow()  # quietly, before the imported code does it
    try:
        return importing()
    except InputError:
        raise
    except Exception as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = str(getattr(error, "msg", error)).rstrip(".")
        raise InputError(f"{place} cannot be imported: {type(error).__name__}{where}: {reason}.") from error


def _symbol(axis, module, place, symbol):
    """The chosen class or function of a module; raises `InputError` with what the module has instead."""
    bases = tuple(_loaded(base) for base in BASES.get(axis, ()))
    kind = f"subclass of {' or '.join(base.__name__ for base in bases)}" if bases else "function"

    def fits(value):
        if bases:
            return inspect.isclass(value) and issubclass(value, bases) and value not in bases
        return inspect.isfunction(value)

    own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__}
    found = [name for name, value in own.items() if fits(value) and not name.startswith("_")]
    if symbol:
        require(
            fits(getattr(module, symbol, None)),
            f"{place} has no {kind} called {symbol}; it has {', '.join(found) or 'none'}."
            + did_you_mean(symbol, found),
        )
        return getattr(module, symbol)
    require(found, f"{place} defines no {kind}, which a {axis} has to be.")
    if bases:
        return own[found[-1]]
    name = short_name(place)
    require(
        name in found or len(found) == 1,
        f"{place} defines several functions ({', '.join(found)}) and none called {name}; give "
        f"--{axis}={place}:{found[0]} or another of them.",
    )
    return own[name if name in found else found[0]]


def _loaded(path):
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _maker(found):
    """The function or class whose signature and docstring give the options; for a class, the nearest class
    with a constructor."""
    if inspect.isfunction(found):
        return found
    return next(kind for kind in found.__mro__ if "__init__" in vars(kind))


def _options(maker):
    """`Option`s of the annotated keyword parameters; other parameters are not flags."""
    function = maker.__init__ if inspect.isclass(maker) else maker
    helps, hints = argument_help(document_of(maker)), typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name in hints:
            require(
                parameter.default is not parameter.empty,
                f"The option {parameter.name} of {maker.__name__} needs a default.",
            )
            annotation = hints[parameter.name]
            yield option_of(parameter.name, annotation, parameter.default, helps.get(parameter.name, ""))


def _constants(found):
    """Plain class attributes, also those of base classes, except bases from TensorFlow and Keras."""
    mro = getattr(found, "__mro__", ())
    lineage = [kind for kind in mro if kind.__module__.partition(".")[0] not in FOREIGN]
    values = {name: value for kind in reversed(lineage) for name, value in vars(kind).items()}
    return {n: v for n, v in values.items() if isinstance(v, PLAIN) and not n.startswith("_")}


def _origin(module, point):
    """File, digest and package of a choice; the digest is that of the file that defines it."""
    file = pathlib.Path(module.__file__).resolve()
    origin = {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    if point and point.dist:
        origin["package"] = f"{point.dist.name} {point.dist.version}"
    return origin
