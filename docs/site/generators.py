"""Pages of the generators: what their files say, and the documentation of their classes."""

import ast

from docs.site import prose
from docs.site.links import ROOT

FOLDER = ROOT / "keras_cl" / "generators"


def pages():
    """`{page: Markdown}` of the generators."""
    files = [file for file in sorted(FOLDER.glob("*.py")) if file.stem != "__init__"]
    rows = "".join(f"| [{_parts(file)[0]}]({file.stem}.md) | {_parts(file)[1]} |\n" for file in files)
    head = "A generator learns images and generates similar ones; `--memory=vae` and `--memory=gan` replay "
    head += "from one. These are the generators, their parts, and the memories that are made of them.\n\n"
    made = {"generators/index.md": f"# Generators\n\n{head}| part | what it is |\n| --- | --- |\n{rows}"}
    return made | {f"generators/{file.stem}.md": _page(file) for file in files}


def _page(file):
    title, lead, *blocks = _parts(file)
    text = "\n\n".join(prose.markdown(block) for block in blocks)
    names = [n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef)]
    public = [f"::: keras_cl.generators.{file.stem}.{name}\n" for name in names if not name.startswith("_")]
    return f"# {title}\n\n{lead}\n\n{text}\n\n" + "\n".join(public)


def _parts(file):
    """Name, what it is, and the other paragraphs of a file's docstring."""
    first, *others = prose.paragraphs(ast.get_docstring(ast.parse(file.read_text())))
    name, _, said = first.partition(": ")
    return name, said[:1].upper() + said[1:], *others
