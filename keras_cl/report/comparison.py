"""The comparison of groups of runs: metrics over seeds, differences to a baseline, ranks over streams."""

import dataclasses

from keras_cl import anytime
from keras_cl.errors import did_you_mean, pick, require
from keras_cl.metrics import COSTS, DESCRIPTIONS, GENERATOR, better
from keras_cl.report import statistics
from keras_cl.report.blocks import blocks, check_comparable
from keras_cl.report.statistics import Difference, Summary
from keras_cl.settings.external import short_name

USUAL = ("average_accuracy", "forgetting", "learning_accuracy", "seconds")


@dataclasses.dataclass(frozen=True)
class Row:
    """One group in a table.

    Attributes:
      label: the label of the group.
      seeds: number of finished seeds, those that count.
      planned: number of seeds that its runs have or will have.
      summaries: `{metric: Summary}`.
      differences: `{metric: Difference}` to the baseline of the table; empty for the baseline itself, and if
        there is none.
      best: metrics of which it has the best mean in the table.
      near: metrics whose mean is within one standard error of the best one; the error is that of the best.
    """

    label: str
    seeds: int
    planned: int
    summaries: dict[str, Summary]
    differences: dict[str, Difference]
    best: set[str] = dataclasses.field(default_factory=set)
    near: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Table:
    """The groups of one stream.

    Attributes:
      label: the stream in words.
      rows: its `Row`s.
      baseline: label of the row that the differences are to; "" for none.
      notes: sentences that belong beside the numbers.
    """

    label: str
    rows: list[Row]
    baseline: str
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `comparison` returns.

    Attributes:
      metrics: names of the metrics and costs, in the order of the columns.
      tables: a `Table` for each stream.
      ranks: `{metric: {label: mean rank over the streams}}`, empty for one stream; None for a group that is
        not in all of them, or whose metric is not defined in some.
    """

    metrics: list[str]
    tables: list[Table]
    ranks: dict[str, dict[str, float | None]]

    @property
    def rows(self):
        """The rows of all tables."""
        return [row for table in self.tables for row in table.rows]


def comparison(groups, metrics=(), baseline="", across=False):
    """Compares groups of runs; only finished runs count.

    Args:
      groups: `Group`s.
      metrics: names of metrics and costs; by default average accuracy, forgetting, learning accuracy and
        seconds.
      baseline: label, or method, of the group that the others are compared with, pair by pair of seeds; ""
        for none. The p-values are corrected by Holm over the comparisons of one metric in one table.
      across: whether groups of several streams are compared: in a table for each stream, and by mean ranks.

    Returns:
      a `Comparison`.

    Raises:
      InputError: if a metric or the baseline is unknown, or the groups are of several streams.
    """
    require(groups, "There is nothing to compare: no run is given.")
    check_comparable(groups, across)
    metrics = _metrics(groups, metrics)
    pairs = zip(blocks(groups), baselines(groups, baseline), strict=True)
    tables = [_table(block, metrics, base, baseline) for block, base in pairs]
    ranks = {name: _ranks(tables, name) for name in metrics if better(name)} if len(tables) > 1 else {}
    return Comparison(metrics, tables, ranks)


def baselines(groups, name):
    """The groups with which the others of their stream are compared.

    Args:
      groups: `Group`s, also of runs that are not trained yet.
      name: label, or method, of the baseline; "" for none.

    Returns:
      list of a group for each stream, None where there is none.

    Raises:
      InputError: if no stream has one, or the name is that of several.
    """
    found = blocks(groups)
    bases = [_baseline(block.groups, name) if name else None for block in found]
    require(not name or any(bases), _unknown(name, found))
    return bases


def _metrics(groups, names):
    """The metrics of a comparison, each known to some run."""
    known = dict.fromkeys([*DESCRIPTIONS, *anytime.DESCRIPTIONS, *COSTS, *GENERATOR])
    known |= dict.fromkeys(name for group in groups for one in group.summaries.values() for name in one)
    for name in names:
        pick("The metric", name, known)
    return list(dict.fromkeys(names or USUAL))


def _baseline(groups, name):
    """The group with this label, or the only one of this method; None if there is none."""
    labels = [group for group in groups if group.label == name]
    methods = [group for group in groups if short_name(group.settings["method"]) == name]
    several = "; ".join(group.label for group in methods)
    require(labels or len(methods) < 2, f"The baseline {name} can be any of {several}: give one of these.")
    return next(iter(labels or methods), None)


def _unknown(name, found):
    labels = list(dict.fromkeys(group.label for block in found for group in block.groups))
    return f"There is no baseline {name!r}; possible: {'; '.join(labels)}.{did_you_mean(name, labels)}"


def _table(block, metrics, base, baseline):
    rows = [_row(group, metrics, base) for group in block.groups]
    notes = [f"{group.label}: {note}" for group in block.groups for note in group.notes]
    if baseline and base is None:
        notes.append(f"There is no {baseline} here, and so no difference to it.")
    notes += [f"{row.label}: {note}" for row in rows for note in _left_out(row)]
    for metric in metrics:
        _correct(rows, metric)
        _mark(rows, metric)
    return Table(block.label, rows, base.label if base else "", notes)


def _row(group, metrics, base):
    values = {name: group.values(name) for name in metrics}
    others = {} if base is None or base is group else {name: base.values(name) for name in metrics}
    return Row(
        label=group.label,
        seeds=len(group.finished),
        planned=len(group.planned),
        summaries={name: statistics.summary(own.values()) for name, own in values.items()},
        differences={name: statistics.paired(values[name], other) for name, other in others.items()},
    )


def _left_out(row):
    """What a reader must know of the seeds of the differences."""
    seeds = {seed for difference in row.differences.values() for seed in difference.left_out}
    told = f"Without seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))} in its differences: "
    return [f"{told}only one of the two has finished them."] if seeds else []


def _correct(rows, metric):
    """Corrects p of the differences of a metric over the rows, which were just made."""
    compared = [row.differences for row in rows if row.differences]
    ps = statistics.holm([differences[metric].p for differences in compared])
    for differences, p in zip(compared, ps, strict=True):
        differences[metric] = differences[metric]._replace(p_holm=p)


def _mark(rows, metric):
    """Marks the best means of a metric, and those near it; none if all are the same."""
    measured = [(row, row.summaries[metric]) for row in rows if row.summaries[metric].mean is not None]
    means = [summary.mean for _, summary in measured]
    if better(metric) is None or len({*means}) < 2:
        return
    top = max(means) if better(metric) == "higher" else min(means)
    error = max(summary.sem or 0.0 for _, summary in measured if summary.mean == top)
    for row, summary in measured:
        if summary.mean == top:
            row.best.add(metric)
        elif abs(summary.mean - top) <= error:
            row.near.add(metric)


def _ranks(tables, metric):
    means = [{row.label: row.summaries[metric].mean for row in table.rows} for table in tables]
    return statistics.mean_ranks(means, better(metric))
