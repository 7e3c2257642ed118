"""The numbers of a comparison as text in rows and columns, which every format of a table shows."""

import dataclasses
from typing import NamedTuple

from keras_cl import anytime
from keras_cl.metrics import DESCRIPTIONS, better

UNDEFINED = "not defined"
ACCURACIES = DESCRIPTIONS | anytime.DESCRIPTIONS
SHARES = ("oracle_on_fake", "fake_to_real", "oracle_accuracy")  # of a generator
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
MARKS = "The best mean is bold; means within one standard error of the best are underlined."
PAIRS = "Differences are of runs of the same seed (paired t-test); p is corrected by Holm over its column."


class Cell(NamedTuple):
    """Text of a cell; its mark is "best", "near" or ""."""

    text: str
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One table as text: a title, a header, rows of `Cell`s, and notes below."""

    title: str
    header: list[str]
    rows: list[list[Cell]]
    notes: list[str]


class Unit(NamedTuple):
    """How a metric or a cost is shown: its unit, the factor to it, and the format."""

    name: str
    factor: float
    format: str


def unit(metric):
    """The `Unit` of a metric or a cost."""
    if metric in (*ACCURACIES, *SHARES):
        return Unit("%", 100, ".2f")
    if metric.endswith("_bytes"):
        return Unit("MB", 1e-6, ".2f")
    if metric.endswith("_efficiency"):
        return Unit("", 1, ".3f")
    known = {"seconds": Unit("s", 1, ".1f"), "parameters": Unit("", 1, ",.0f")}
    return known.get(metric, Unit("", 1, ",.4g"))


def title_of(metric):
    """A metric as the header of a column: its name, unit, and which values are better."""
    name = unit(metric).name if metric != "seconds" else ""
    said = metric.removesuffix("_bytes").replace("_", " ")
    return said + (f", {name}" if name else "") + ARROWS[better(metric)]


def shown(metric, value):
    """A value of a metric in its unit; "not defined" for None."""
    own = unit(metric)
    return UNDEFINED if value is None else format(own.factor * value, own.format).replace("-", "−")


def of(comparison):
    """The `Sheet`s of a comparison: for each stream the metrics and the differences, then the mean ranks, if
    anything is in all streams."""
    found = [
        sheet
        for table in comparison.tables
        for sheet in (_metrics(comparison, table), *_differences(comparison, table))
    ]
    ranked = any(rank for ranks in comparison.ranks.values() for rank in ranks.values())
    return [*found, *([_ranks(comparison)] if ranked else [])]


def _metrics(comparison, table):
    rows = []
    for row in table.rows:
        seeds = str(row.seeds) if row.seeds == row.planned else f"{row.seeds} of {row.planned}"
        marks = {**dict.fromkeys(row.best, "best"), **dict.fromkeys(row.near, "near")}
        cells = [Cell(_mean(name, row.summaries[name]), marks.get(name, "")) for name in comparison.metrics]
        rows.append([Cell(row.label), Cell(seeds), *cells])
    header = ["", "seeds", *map(title_of, comparison.metrics)]
    notes = [MARKS] if any(row.best for row in table.rows) else []
    title = f"{table.label}: mean ± standard deviation over seeds"
    return Sheet(title, header, rows, notes + table.notes)


def _mean(metric, summary):
    mean = shown(metric, summary.mean)
    if not summary.n:
        return "unfinished"
    sizes = not summary.std and metric not in ACCURACIES  # of a network, say, the same for all seeds
    return mean if summary.std is None or sizes else f"{mean} ± {shown(metric, summary.std)}"


def _differences(comparison, table):
    """The sheet of the differences to the baseline, in a list; no sheet without a baseline."""
    compared = [row for row in table.rows if row.differences]
    if not compared:
        return []
    rows = [
        [Cell(row.label), *(Cell(_difference(name, row.differences[name])) for name in comparison.metrics)]
        for row in compared
    ]
    title = f"{table.label}: mean difference to {table.baseline} [95 % confidence interval], corrected p"
    return [Sheet(title, ["", *map(title_of, comparison.metrics)], rows, [PAIRS])]


def _difference(metric, found):
    if found.mean is None:
        return found.reason
    mean = _signed(metric, found.mean)
    if found.p is None:
        return f"{mean} ({found.reason})"
    p = "p < 0.001" if found.p_holm < 0.001 else f"p = {found.p_holm:.3f}"
    return f"{mean} [{_signed(metric, found.low)}, {_signed(metric, found.high)}], {p}"


def _signed(metric, value):
    return "+" * (value > 0) + shown(metric, value)


def _ranks(comparison):
    """The sheet of the mean ranks over the streams."""
    names = list(comparison.ranks)
    labels = dict.fromkeys(row.label for row in comparison.rows)
    tops = {name: min(filter(None, ranks.values()), default=None) for name, ranks in comparison.ranks.items()}
    rows = []
    for label in labels:
        ranks = {name: comparison.ranks[name][label] for name in names}
        cells = [_rank(rank, tops[name]) for name, rank in ranks.items()]
        rows.append([Cell(label), *cells])
    title = f"Mean rank over {len(comparison.tables)} streams; 1 is best, equal means share their ranks"
    notes = ["The streams are " + "; ".join(table.label for table in comparison.tables) + "."]
    if any(None in ranks.values() for ranks in comparison.ranks.values()):
        notes.append("Not ranked is what is not in all of them, or has no value in some.")
    return Sheet(title, ["", *(name.replace("_", " ") for name in names)], rows, notes)


def _rank(rank, top):
    return Cell("not ranked") if rank is None else Cell(f"{rank:.2f}", "best" if rank == top else "")
