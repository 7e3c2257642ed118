"""Docstrings in the reference: plain text, whose asterisks and underscores mean themselves."""

import re

import griffe

from docs.site import prose

SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +\S.*)*)", re.M)  # a, b: text
ENTRY = re.compile(r"(\s*)(\*{0,2}\w+(?:, \w+)*: )?(.*)")


class PlainText(griffe.Extension):
    """Makes Markdown of every docstring before its sections are read."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)


def plain(document):
    """A docstring as Markdown, with one entry for each argument."""
    document = SEVERAL.sub(_single, document)
    first, *others = re.split(r"(\n\s*\n)", document)
    if prose.is_formula(first):
        first = f"`{' '.join(first.split())}`"
    return "".join([_lines(first), *map(_lines, others)])


def _single(found):
    """An entry for each of the names that have one together."""
    indent, names, text = found.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))


def _lines(block):
    return "\n".join(map(_line, block.split("\n")))


def _line(line):
    """A line with its indent and, in a section, its names as they are."""
    indent, names, text = ENTRY.fullmatch(line).groups()
    return f"{indent}{names or ''}{prose.inline(text)}"
