"""Docstrings as Markdown: plain text, in which indices are set as formulas and papers are linked."""

import re

GREEK = "alpha beta gamma delta epsilon eta theta lambda mu nu xi pi rho sigma tau phi psi omega"
GREEK = {name for word in GREEK.split() for name in (word, word.capitalize())}
WORDS = ("sum", "argmax", "argmin", "mean", "log")  # a formula in plain text is not set
# What stays as it is: formulas, code, addresses.
KEPT = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$|`[^`]+`|https?://\S+", re.S)
PAPER = re.compile(r"\barXiv:(\d{4}\.\d{4,5})")
INDEXED = re.compile(r"(?<![\w\\])([A-Za-z]+)(\*?)_(\{[^{}]*\}|[A-Za-z0-9])(?![\w(])")
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields):\n")


def markdown(text):
    """Markdown of a docstring's text.

    Blocks that are indented are shown as they are.
    """
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(block if block.startswith("    ") else inline(block) for block in blocks)


def paragraphs(document):
    """Paragraphs of a docstring before its sections, such as "Args:"."""
    found = []
    for block in re.split(r"\n\s*\n", document.strip()):
        if SECTION.match(block):
            break
        found.append(block)
    return found


def is_formula(paragraph):
    """Whether a paragraph is a formula in plain text: a name, an equals sign, a term."""
    return bool(re.match(r"\S+ = ", paragraph))


def cell(text):
    """Markdown of text in a cell of a table."""
    return inline(" ".join(text.split()))


def linked(text):
    """Markdown in which papers are linked."""
    return PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def inline(text):
    """Markdown of text without blocks."""
    made, at = [], 0
    for kept in KEPT.finditer(text):
        made += [_plain(text[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*made, _plain(text[at:])])


def _plain(text):
    made, at = [], 0
    for found in re.finditer(f"{PAPER.pattern}|{INDEXED.pattern}", text):
        number, name, star, index = found.groups()
        if name in WORDS:
            continue
        link = f"[arXiv:{number}](https://arxiv.org/abs/{number})"
        made += [_escaped(text[at : found.start()]), link if number else _symbol(name, star, index)]
        at = found.end()
    return "".join([*made, _escaped(text[at:])])


def _symbol(name, star, index):
    letters = f"\\{name}" if name in GREEK else name if len(name) == 1 else f"\\mathrm{{{name}}}"
    return f"${letters}{'^*' if star else ''}_{{{index.strip('{}')}}}$"


def _escaped(text):
    """Text whose marks mean themselves; an underscore within a word is no mark."""
    text = re.sub(r"([*\[\]|\\]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return text.replace("<", "&lt;")
