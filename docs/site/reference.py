"""Pages of the reference: one for each public package, from docstrings, which are read, not imported."""

import ast

from docs.site import prose
from docs.site.links import ROOT
from keras_cl.settings.library import AXES

LIBRARY = ROOT / "keras_cl"
FILES = ("metrics", "anytime")  # that are no packages
PACKAGES = ("generators", "sources", *FILES, "runs", "report")
PLOTS = LIBRARY / "report" / "plots"
BESIDE = {"report": ["keras_cl.report.write.write"]}  # what a package offers by another name


def pages():
    """`{page: Markdown}` of the reference."""
    made = {}
    for package in (*AXES.values(), *PACKAGES):
        if names := [*_names(package), *BESIDE.get(package, ())]:
            made[f"api/{package}.md"] = _page(f"keras_cl.{package}", names)
    made["api/report.plots.md"] = _page("keras_cl.report.plots", _plots())
    elsewhere = "\n".join(made.values()).split()
    top = _public(LIBRARY)
    links = "".join(f"- [`keras_cl.{name.rpartition('.')[2]}`][{name}]\n" for name in top)
    own = [name for name in top if name not in elsewhere]
    return {"api/index.md": _page("keras_cl", own, links), **made}


def _page(title, names, more=""):
    """A page with the documentation of some names, and before it what the module says of itself."""
    file = ROOT.joinpath(*title.split("."))
    said = _document(file / "__init__.py") if file.is_dir() else ""
    parts = [_documented(name) for name in names]
    return f"# {title}\n\n{prose.markdown(said)}\n\n{more}\n" + "\n".join(parts)


def _document(file):
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def _documented(name):
    """A name: a base class with what it has from other parts of the library, a plot with its `draw` alone."""
    options = {}
    if name in [f"keras_cl.{file}" for file in FILES]:  # the page has its title
        options = {"show_root_heading": "false", "show_root_toc_entry": "false"}
    elif name.startswith("keras_cl.report.plots."):
        options = {"members": "[draw]"}
    elif name.split(".")[-2] == "base":
        options = {"inherited_members": "true"}
    lines = "".join(f"      {option}: {value}\n" for option, value in options.items())
    return f"::: {name}\n" + (f"    options:\n{lines}" if lines else "")


def _names(package):
    """Full names of what is public in a package: what it says itself, or what its files are there for."""
    if package in FILES:
        return [f"keras_cl.{package}"]
    axes = [axis for axis, folder in AXES.items() if folder == package]
    if not axes:
        return _public(LIBRARY / package)
    files = sorted((LIBRARY / package).glob("*.py"), key=lambda file: (file.stem != "base", file.stem))
    return [name for file in files if file.stem != "__init__" for name in _defined(axes[0], package, file)]


def _defined(axis, package, file):
    """The public classes of a file, or the function named like the file."""
    body = ast.parse(file.read_text()).body
    classes = [n.name for n in body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    functions = [n.name for n in body if isinstance(n, ast.FunctionDef) and n.name == file.stem]
    named = functions if axis in ("network", "stream") and file.stem != "base" else classes
    return [f"keras_cl.{package}.{file.stem}.{name}" for name in named]


def _plots():
    """Full names of the plots, files that say how many panels they have."""
    files = [file for file in sorted(PLOTS.glob("*.py")) if "SINGLE = " in file.read_text()]
    return [f"keras_cl.report.plots.{file.stem}" for file in files]


def _public(folder):
    """Full names in the table `PUBLIC` or in `__all__` of a package, or else of its own functions."""
    package = ".".join(folder.relative_to(ROOT).parts)
    said, origin, own = {}, {}, []
    for node in ast.parse((folder / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            origin |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            own.append(node.name)
            origin[node.name] = f"{package}.{node.name}"
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("PUBLIC", "__all__"):
            said[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
    if "PUBLIC" in said:
        return [f"{module}.{name}" for name, module in said["PUBLIC"].items()]
    return [origin[name] for name in said.get("__all__", own) if name in origin]
