"""Tables of the page about groups of runs: metrics and their definitions, costs, matrices, runs."""

import contextlib
import inspect

import numpy as np

from keras_cl import anytime, metrics
from keras_cl.report.page.table import Cell, Column, Table, number, percent, seconds, size, with_spread
from keras_cl.report.plots.seeds import matrices, shown
from keras_cl.report.sheets import SHARES, UNDEFINED
from keras_cl.report.statistics import summary
from keras_cl.runs.quality.table import records

READING = "R[i, j] is the accuracy on task j after i tasks, T the number of tasks, b the untrained network."


def measured(group):
    """`{seed: metrics}` of the finished runs of a group; if there is none, of the tasks finished so far."""
    return group.summaries or {run.seed: _so_far(run) for run in group.runs if run.tasks}


def _so_far(run):
    return metrics.summary(run.results.matrix[:, : run.tasks])


def metric_table(group):
    """Every metric of one group: its value, that of each seed, and its definition."""
    known = measured(group)
    several = len(known) > 1
    values = ["mean \u00b1 sd", *(f"seed {seed}" for seed in known)] if several else ["value"]
    columns = [Column("metric", number=False), *map(Column, values), Column("definition", number=False)]
    rows = [
        [
            Cell(words(name)),
            _defined(with_spread(summary([one.get(name) for one in known.values()]))),
            *(_defined(percent(one.get(name))) for one in known.values() if several),
            Cell(sentence, more=formula(name)),
        ]
        for name, sentence in metrics.DESCRIPTIONS.items()
    ]
    spread = ", sd is the standard deviation over seeds" * several
    note = f"Values are in percent{spread}; definitions are of fractions. {READING}"
    if not group.finished:
        note = f"No seed is finished: the numbers are of the tasks so far. {note}"
    return Table("Metrics", columns, rows, note)


def _defined(cell):
    """The cell of a metric, which says so if there is no value."""
    return cell if cell.text else Cell(UNDEFINED)


def definition_table():
    """Every metric and every cost with its definition."""
    rows = [
        [Cell(words(name)), Cell(sentence, more=formula(name) if name in metrics.DESCRIPTIONS else "")]
        for name, sentence in {**metrics.DESCRIPTIONS, **metrics.COSTS}.items()
    ]
    columns = [Column(label, number=False) for label in ("metric", "definition")]
    return Table("Definitions", columns, rows, READING)


def formula(name):
    """The formula of a metric and its source: the first paragraph of its documentation."""
    document = inspect.getdoc(getattr(metrics, name)) or ""
    return " ".join(document.partition("\n\n")[0].split())


def cost_table(groups):
    """What each group cost after its last finished task; None if none has finished a task."""
    columns = [Column("run", number=False), Column("training time", "mean over the seeds")]
    columns += [Column("parameters", "of the network"), Column("network"), Column("method", "its state")]
    columns += [Column("memory"), Column("rows held", "in the memory")]
    spent = {group.label: costs for group in groups if (costs := costs_of(group))}
    known = any(costs["equal_rows"] is not None for costs in spent.values())
    columns += [Column("equal buffer", "images of as many bytes as method and memory")] * known
    rows = [
        [
            Cell(label),
            seconds(costs["seconds"]),
            number(costs["parameters"]),
            *(size(costs[f"{part}_bytes"]) for part in ("network", "method", "memory")),
            number(costs["memory_rows"]),
            *[Cell("") if costs["equal_rows"] is None else number(costs["equal_rows"])] * known,
        ]
        for label, costs in spent.items()
    ]
    return Table("Cost", columns, rows) if rows else None


def costs_of(group):
    """Costs after the last finished task, of the runs that are in the figures: of the first that has one, the
    seconds as a mean; {} if there is none, or in records of another version.

    equal_rows is the number of stored rows that take as many bytes as the method's state and the memory; None
    in records that do not have the bytes of a row.
    """
    finished = [run.results.records[1:] for run in shown(group) if run.tasks]
    needed = ("parameters", "network_bytes", "method_bytes", "memory_bytes", "memory_rows")
    with contextlib.suppress(KeyError, IndexError):
        spent = [sum(record["seconds"] for record in records) for records in finished]
        last = finished[0][-1]
        kept = last["method_bytes"] + last["memory_bytes"]
        equal = round(kept / last["row_bytes"]) if "row_bytes" in last else None
        return {name: last[name] for name in needed} | {"seconds": float(np.mean(spent)), "equal_rows": equal}
    return {}


def generator_table(groups):
    """How good the generators of the groups are after their last task; None if no group was measured."""
    measured, columns, rows = _numbers_of(groups, metrics.GENERATOR, _generator_cell)
    if not measured:
        return None
    note = "None of these is an accuracy of the network that was trained: the accuracy matrix has those. "
    runs = [run for group in measured for run in group.finished]
    images = {found[-1]["images"] for run in runs if (found := records(run.path))}
    note += "Shares and accuracies are in percent; all compare on the same stream alone, and are of "
    note += f"{' or '.join(f'{count:,}' for count in sorted(images))} generated images."
    return Table("Quality of the generator", columns, rows, note, sorts=False)


def anytime_table(groups):
    """The metrics of passes without tasks, in percent; None if no group is of one."""
    measured, columns, rows = _numbers_of(groups, anytime.DESCRIPTIONS, _accuracy_cell)
    spread = ", sd is the standard deviation over seeds" * any(len(g.finished) > 1 for g in measured)
    note = f"Values are in percent{spread}; definitions are of fractions."
    return Table("Accuracy at any time", columns, rows, note, sorts=False) if measured else None


def _numbers_of(groups, known, cell):
    """The groups that have some of `known`, `{name: definition}` of numbers, and columns and rows of them."""
    names = [name for name in known if any(_known(group, name) for group in groups)]
    measured = [group for group in groups if any(_known(group, name) for name in names)]
    values = [group.label for group in measured] if len(groups) > 1 else ["value"]
    columns = [Column("number", number=False), *map(Column, values), Column("definition", number=False)]
    rows = [
        [Cell(words(name)), *(cell(group, name) for group in measured), Cell(known[name])] for name in names
    ]
    return measured, columns, rows


def _accuracy_cell(group, name):
    return _defined(with_spread(summary(_known(group, name))))


def _known(group, name):
    return [value for value in group.values(name).values() if value is not None]


def _generator_cell(group, name):
    found = summary(_known(group, name))
    if name in SHARES or found.mean is None:
        return with_spread(found)
    spread = "" if found.std is None else f" \u00b1 {found.std:.3g}"
    return Cell(f"{found.mean:.3g}{spread}", found.mean)


def matrix_tables(groups):
    """The accuracy matrix of each group as numbers, the mean over its seeds."""
    return [_matrix_table(group) for group in groups]


def _matrix_table(group):
    found = matrices(group)
    seeds, _, tasks = found.shape
    rows = [
        [Cell(f"after task {i}" if i else "untrained", i), *(percent(value) for value in row)]
        for i, row in enumerate(found.mean(axis=0))
    ]
    columns = [Column("", number=False), *(Column(f"task {j + 1}") for j in range(tasks))]
    over = f", mean of {seeds} seeds" if seeds > 1 else ""
    return Table(f"Accuracy matrix of {group.label} (percent{over})", columns, rows, sorts=False)


def run_table(groups):
    """Every run, one row per seed."""
    labels = ("run", "seed", "state", "training time", "device", "version", "commit", "directory")
    columns = [Column(label, number=label in ("seed", "training time")) for label in labels]
    rows = [[Cell(group.label), *_run_cells(run)] for group in groups for run in group.runs]
    return Table("Runs", columns, rows)


def _run_cells(run):
    return [
        number(run.seed),
        Cell(run.state),
        seconds(sum(record.get("seconds", 0) for record in run.results.records)),
        Cell(", ".join(map(str, run.about.get("devices") or ()))),
        Cell(run.version),
        Cell(str(run.about.get("commit") or "")[:10], code=True),
        Cell(str(run.path), code=True),
    ]


def words(name):
    """The name of a metric in words."""
    return name.replace("_", " ")
