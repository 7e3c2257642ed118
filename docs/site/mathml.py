"""Formulas: LaTeX between dollars becomes MathML, which browsers show without any script."""

import re

from latex2mathml.converter import convert
from markdown import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

BLOCK = re.compile(r"^( *)\$\$(.+?)\$\$ *$", re.M | re.S)
INLINE = r"(?<![\\$\w])\$(?![\s$(])([^$\n]+?)(?<![\s\\])\$(?![\w$])"
LATER_THAN_CODE = 24  # fenced code has 25 among the preprocessors
BEFORE_ESCAPES = 185  # and after code, which has 190


def mathml(latex, display="inline"):
    """The MathML of a formula.

    Args:
      latex: the formula without dollars.
      display: inline or block.

    Raises:
      ValueError: for a command that is not known.
    """
    text = re.sub(r"\\arg\\(min|max)(?![a-zA-Z])", r"\\operatorname{arg\1}", " ".join(latex.split()))
    found = convert(text, display=display)
    unknown = re.findall(r"\\[a-zA-Z]+", found)
    if unknown or "<mi>&</mi>" in found:
        raise ValueError(
            f"This formula has commands that are not known ({', '.join(unknown) or '&'}): {latex}"
        )
    found = re.sub(r"<mo>([a-z]{2,})</mo>", r'<mo lspace="0.167em" rspace="0.056em">\1</mo>', found)
    found = found.replace("<mi>log</mi><mi>", '<mi>log</mi><mspace width="0.167em" /><mi>')
    found = found.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # the relation, not the accent
    return found.replace("<mo>&#x02016;</mo>", '<mo stretchy="false">&#x02016;</mo>')  # unless it is \\left


class Formulas(Extension):
    """Markdown with `$$ ... $$` in lines of their own and `$ ... $` in text."""

    def extendMarkdown(self, md):  # noqa: N802
        md.preprocessors.register(_Blocks(md), "formulas", LATER_THAN_CODE)
        md.inlinePatterns.register(_Inline(INLINE, md), "formulas", BEFORE_ESCAPES)


class _Blocks(Preprocessor):
    def run(self, lines):
        return BLOCK.sub(self._stored, "\n".join(lines)).split("\n")

    def _stored(self, found):
        html = f'<div class="formula">{mathml(found[2], "block")}</div>'
        return f"\n\n{found[1]}{self.md.htmlStash.store(html)}\n\n"


class _Inline(InlineProcessor):
    def handleMatch(self, match, data):  # noqa: N802
        return self.md.htmlStash.store(mathml(match[1])), match.start(0), match.end(0)
