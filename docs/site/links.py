"""Links: what leads out of docs/ in the repository leads to a page of the site, or to the repository."""

import pathlib
import posixpath
import re

from keras_cl.settings.library import AXES, LIBRARY, LISTS

ROOT = LIBRARY.parent
PAGED = {f"keras_cl/{folder}" for folder in (AXES | LISTS).values()}  # a page for each file of theirs
# Pages outside of docs/ that are pages of the site as well.
TOP = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```|`[^`\n]*`)|(?P<start>\]\()(?P<target>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)",
    re.S | re.M,
)


def place(path):
    """Page of the site, with an anchor where it has one, that shows a file of the repository.

    Args:
      path: path in the repository, with slashes.

    Returns:
      `(page, anchor)`; a page below source/ is one that shows the file as it is.
    """
    folder, _, name = path.rpartition("/")
    if folder == "docs" or folder.startswith("docs/"):
        return path.removeprefix("docs/"), ""
    if path in TOP:
        return TOP[path], ""
    if path in PAGED:
        return f"{path.removeprefix('keras_cl/')}/index.md", ""
    stem = name.rpartition(".")[0]
    if folder in PAGED and stem not in ("base", "__init__"):
        return f"{folder.removeprefix('keras_cl/')}/{stem}.md", ""
    if re.fullmatch(r"results/\w+", folder) and name.endswith(".flags"):
        return f"rows/{folder.removeprefix('results/')}.md", f"#{stem}"
    return f"source/{path}.md", ""


def targets(text, origin):
    """Paths in the repository that a text links to.

    Args:
      text: Markdown.
      origin: folder of the repository that the links start from, "" for its top.
    """
    return {_path(found, origin) for found in LINK.finditer(text) if found["target"]}


def rewritten(text, origin, page, repository=""):
    """The text with links that lead from one page of the site to another.

    Args:
      text: Markdown.
      origin: folder of the repository that the links start from, "" for its top.
      page: the page of the site that the text is on.
      repository: address in front of the path of a file; empty to show files on pages of the site.
    """

    def link(found):
        if not found["target"]:
            return found[0]
        path = _path(found, origin)
        to, anchor = place(path)
        if repository and to.startswith("source/"):
            return f"]({repository}/{path}{found['anchor'] or ''})"
        relative = posixpath.relpath(to, posixpath.dirname(page) or ".")
        return f"]({relative}{found['anchor'] or anchor})"

    return LINK.sub(link, text)


def source_page(path):
    """Markdown of a page that shows a file of the repository, or the names in a folder."""
    file = pathlib.Path(ROOT, path)
    head = f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n"
    if file.is_dir():
        return head + "".join(f"- `{entry.name}`\n" for entry in sorted(file.iterdir()))
    return head + code(file)


def code(file):
    """A file as a block of code."""
    kind = {".py": "python", ".json": "json", ".toml": "toml", ".html": "html"}.get(file.suffix, "text")
    return f"``````{kind}\n{file.read_text().rstrip()}\n``````\n"


def _path(found, origin):
    return posixpath.normpath(posixpath.join(origin, found["target"])).rstrip("/")
