"""Writes docs/tutorial.ipynb, the notebook of docs/tutorial.md; a test asserts that they agree.

    python -m results.notebook

Python blocks become cells, commands cells of bash, and files, as in "`name.py`:", cells that write them.
Everything else is text, as are blocks that the page says are not run.
"""

import nbformat
from absl import app
from nbformat import v4

from keras_cl.errors import require
from keras_cl.settings import command, flags
from results import pages

PAGE = pages.ROOT / "docs/tutorial.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
SETUP = """\
# `python` in the commands below is that of this notebook; they write lines, not bars.
import os
import sys

os.environ.pop("FORCE_COLOR", None)
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
"""


def parse(argv):
    """Accepts a command line without arguments; prints help and exits if it has a help flag."""
    _, rest = flags.read_own(argv, __doc__ or "")
    require(not rest, f"{' '.join(rest)!r} is not understood; results.notebook takes no arguments.")


def main(argv):
    del argv
    NOTEBOOK.write_text(text())


def text():
    """The notebook, as text of its file: the same for the same page."""
    cells = [made for made in _cells() if made.source.strip()]
    cells.insert(1, v4.new_code_cell(SETUP.rstrip()))
    for number, cell in enumerate(cells, 1):
        cell.id = f"cell-{number:02}"
        cell.source = cell.source.strip("\n")
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(made)
    return nbformat.writes(made) + "\n"


def _cells():
    """The cells of the page, one of text before each block that runs."""
    page, at = PAGE.read_text(), 0
    for block in pages.blocks(PAGE):
        code = _code(block)
        if code:
            yield from _texts(page[at : block.start])
            yield v4.new_code_cell(code)
            at = block.end
    yield from _texts(page[at:])


def _texts(text):
    """Cells of text, one for each section that begins in it."""
    for part in ("\n" + text).split("\n## "):
        heading = "" if part.startswith("\n") else "## "
        yield v4.new_markdown_cell(heading + part)


def _code(block):
    """The cell of a block, or "" if it is text."""
    if block.reason:
        return ""
    if block.file:
        return f"%%writefile {block.file}\n{block.text}"
    if block.commands:
        return f"%%bash\nset -e\n{block.text}"
    return block.text if block.language == "python" else ""


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
