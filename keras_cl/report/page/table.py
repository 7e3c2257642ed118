"""Tables of the page, as the template takes them."""

import dataclasses

from keras_cl.runs.results import bytes_told


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      text: what it shows.
      value: the number by which rows are sorted; None to sort by the text.
      mark: "best", "near" or "" for how it stands out.
      code: whether the text is code.
      more: a second line, smaller.
    """

    text: str
    value: float | None = None
    mark: str = ""
    code: bool = False
    more: str = ""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      label: its heading.
      about: what the heading means, shown beside it; "" for nothing.
      number: whether its cells are numbers, which stand on the right.
    """

    label: str
    about: str = ""
    number: bool = True


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
      caption: what it shows.
      columns: its `Column`s.
      rows: lists of `Cell`s; the first one is the heading of its row.
      note: a sentence below it, or "".
      sorts: whether a click on a heading sorts the rows.
    """

    caption: str
    columns: list
    rows: list
    note: str = ""
    sorts: bool = True


def percent(fraction):
    """A fraction as a cell in percent; an empty one for None and NaN."""
    empty = fraction is None or fraction != fraction
    return Cell("") if empty else Cell(f"{100 * fraction:.1f}".replace("-", "\u2212"), float(fraction))


def with_spread(summary):
    """The cell of a `Summary`, in percent: mean and, of several seeds, standard deviation."""
    cell = percent(summary.mean)
    if summary.std is None:
        return cell
    return dataclasses.replace(cell, text=f"{cell.text} \u00b1 {100 * summary.std:.1f}")


def size(count):
    """A number of bytes as a cell, for example 1.5 MB."""
    return Cell(bytes_told(count), float(count))


def number(count):
    """A whole number as a cell."""
    return Cell(f"{count:,}", float(count))


def seconds(value):
    """A duration as a cell."""
    shown = (
        f"{value:.1f} s"
        if value < 120
        else f"{value / 60:.1f} min"
        if value < 7200
        else f"{value / 3600:.1f} h"
    )
    return Cell(shown, float(value))
