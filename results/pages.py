"""The code blocks of the documentation: what the tests run, and what the notebook is made of."""

import pathlib
import re
import shlex
import textwrap
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
WRITTEN = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
REASON = re.compile(r"<!-- not run: (.+?) -->\s*\Z")
FILE = re.compile(r"`([\w-]+\.\w+)`:\s*\Z")
OPERATORS = ("&&", "||", "|", "&", ";", "(", ")")


class Block(NamedTuple):
    """A fenced block of a page.

    Args:
      page: path from the top of the repository.
      line: number of its first line in the page, from 1.
      language: what stands behind the fence, or "".
      text: what stands between the fences, without their indentation.
      reason: why no test runs it, from `<!-- not run: reason -->` on the line before, or "".
      file: name of the file that it is, if the text before says so, or "".
      start, end: where the fences begin and end in the text of the page.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str
    file: str
    start: int
    end: int

    @property
    def commands(self):
        """Whether it has commands for a shell: it says so, or begins a line with one of the programs."""
        said = self.language == "sh"
        return said or not self.language and bool(COMMAND.search(self.text))


COMMAND = re.compile(r"^(?:\w+=\S* +)*(?:\S*/)?(?:python3?|pip|curl|docker|ruff|keras-cl[\w-]*|while) ", re.M)


def blocks(page):
    """The `Block`s of a page, in their order."""
    text = page.read_text()
    found = []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        reason, file = REASON.search(before), FILE.search(before)
        found.append(
            Block(
                page.relative_to(ROOT).as_posix(),
                before.count("\n") + 2,
                fence[2],
                textwrap.dedent(fence[3]),
                reason[1] if reason else "",
                file[1] if file else "",
                fence.start(),
                fence.end(),
            )
        )
    return found


def commands(text):
    """The simple commands of a shell block, as lists of words; redirections and assignments are left out."""
    found = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        line = re.sub(r"( {3,}\S.*|(^| )#.*)$", "", line)  # what is said about a command behind it
        words = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, ""
        for word in lexer:
            if word in OPERATORS:
                found.append(words)
                words = []
            else:
                words.append(word)
        found.append(words)
    return [plain for plain in map(_plain, found) if plain]


def _plain(words):
    """The words of a command without the assignments before it and the files that it is connected with."""
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    kept, skip = [], False
    for word in words:
        if re.fullmatch(r"[<>&]*[<>][<>&]*", word):
            if kept and kept[-1] in ("1", "2"):  # of 2>&1
                kept.pop()
            skip = True
        elif skip:
            skip = False
        else:
            kept.append(word)
    return kept
