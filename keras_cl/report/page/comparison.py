"""The comparison of groups of runs, as tables of the page."""

import re

from keras_cl.report import sheets
from keras_cl.report.page.table import Cell, Column, Table

NUMBER = re.compile(r"[+\u2212-]?\d[\d,]*\.?\d*(e[+-]?\d+)?")


def tables(compared):
    """The `Table`s of a `Comparison`: metrics, differences to the baseline, mean ranks."""
    return [_table(sheet) for sheet in sheets.of(compared)]


def _table(sheet):
    columns = [Column(name, number=place > 0) for place, name in enumerate(sheet.header)]
    columns[0] = Column(sheet.header[0] or "run", number=False)
    rows = [[Cell(row[0].text), *(_cell(cell) for cell in row[1:])] for row in sheet.rows]
    return Table(sheet.title, columns, rows, " ".join(sheet.notes))


def _cell(cell):
    """A cell that sorts by the number that its text begins with."""
    number = NUMBER.match(cell.text)
    value = float(number[0].replace("\u2212", "-").replace(",", "")) if number else None
    return Cell(cell.text, value, cell.mark)
