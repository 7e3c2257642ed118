"""A comparison as a table: in the terminal, and as Markdown, CSV and LaTeX."""

import csv
import io
import re

from keras_cl.report import sheets
from keras_cl.report.blocks import check_comparable
from keras_cl.report.comparison import Comparison, comparison

__all__ = ["Comparison", "as_csv", "as_markdown", "as_rich", "as_tex", "check_comparable", "comparison"]

TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "<": r"$<$",
    ">": r"$>$",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def as_rich(comparison):
    """The tables as one object that `rich` prints: best in bold, within one standard error underlined."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    styles, parts = {"best": "bold", "near": "underline", "": ""}, []
    for sheet in sheets.of(comparison):
        table = Table(title=Text(sheet.title), title_justify="left")
        rows = [[Text(_lines(cell.text), style=styles[cell.mark]) for cell in row] for row in sheet.rows]
        table.add_column(overflow="fold")  # labels differ at their ends
        for name in sheet.header[1:]:
            table.add_column(Text(name), justify="right")
        for row in rows:
            table.add_row(*row)
        parts += [table, *(Text(note, style="dim") for note in sheet.notes)]
    return Group(*parts)


def as_markdown(comparison):
    """The tables as text in Markdown: best in bold, within one standard error underlined."""
    marks = {"best": "**{}**", "near": "<u>{}</u>", "": "{}"}
    parts = []
    for sheet in sheets.of(comparison):
        rows = [list(map(_markdown, sheet.header)), ["---", *["---:"] * (len(sheet.header) - 1)]]
        rows += [[marks[cell.mark].format(_markdown(cell.text)) for cell in row] for row in sheet.rows]
        parts.append("### " + _markdown(sheet.title))
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
        parts += [_markdown(note) for note in sheet.notes]
    return "\n\n".join(parts) + "\n"


def as_tex(comparison):
    """The tables as LaTeX, for the package booktabs: best in bold, within one standard error underlined."""
    marks = {"best": r"\textbf{{{}}}", "near": r"\underline{{{}}}", "": "{}"}
    parts = ["% \\usepackage{booktabs}"]
    for sheet in sheets.of(comparison):
        rows = [[marks[cell.mark].format(_tex(cell.text)) for cell in row] for row in sheet.rows]
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(' '.join([sheet.title + '.', *sheet.notes]))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(_tex, sheet.header)) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    return "\n".join(parts)


def as_csv(comparison):
    """All numbers of the tables as CSV, one line per group and stream: fractions, seconds and bytes, in full.

    An empty cell is a number that is not defined, or a difference of the baseline to itself.
    """
    lines = list(_records(comparison))
    out = io.StringIO()
    writer = csv.DictWriter(
        out, list(dict.fromkeys(name for line in lines for name in line)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _lines(text):
    """Text that the narrow columns of a terminal break where it can be read: a mean and its spread are one
    word, the interval and the p of a difference, or why there are none, have lines of their own."""
    return text.replace(" ± ", "±").replace(" [", "\n[").replace("], p", "]\np").replace(" (", "\n(")


def _records(comparison):
    for table in comparison.tables:
        for row in table.rows:
            line = {"stream": table.label, "run": row.label, "seeds": row.seeds, "planned_seeds": row.planned}
            line["baseline"] = table.baseline
            for metric in comparison.metrics:
                line |= {f"{metric}_{name}": value for name, value in row.summaries[metric]._asdict().items()}
                line |= _difference(metric, row.differences.get(metric))
                if metric in comparison.ranks:
                    line[f"{metric}_mean_rank"] = comparison.ranks[metric][row.label]
            yield {name: "" if value is None else value for name, value in line.items()}


def _difference(metric, found):
    """The cells of a difference; no cells if the comparison has none."""
    if found is None:
        return {}
    return {
        f"{metric}_difference": found.mean,
        f"{metric}_difference_low": found.low,
        f"{metric}_difference_high": found.high,
        f"{metric}_difference_pairs": found.n,
        f"{metric}_p": found.p,
        f"{metric}_p_holm": found.p_holm,
    }


def _markdown(text):
    return re.sub(r"([\\`*_|<>\[\]#~])", r"\\\1", text)


def _tex(text):
    return "".join(TEX.get(character, character) for character in text)
