"""Pages of the rows of the results: the command, the flags and the numbers of each."""

import functools
import itertools

from docs.site import evidence
from docs.site.links import code
from results import tables

KEYS = (
    ("average_accuracy", 1),
    ("learning_accuracy", 1),
    ("forgetting", 3),
    ("forward_transfer", 3),
    ("triangle_backward_transfer", 3),
    ("triangle_forward_transfer", 3),
)


@functools.cache
def pages():
    """`{page: Markdown}` of one page for each folder of rows."""
    groups = itertools.groupby(evidence.all_rows(), key=lambda row: row.table)
    return {f"rows/{table}.md": _page(table, rows) for table, rows in groups}


def _page(table, rows):
    head = f"---\nsearch:\n  exclude: true\n---\n\n# Rows of {table}\n\n"
    head += "[Results](../results.md) says what they are compared with.\n\n"
    return head + "\n".join(map(_row, rows))


def _row(row):
    flagfile = evidence.RESULTS / row.table / f"{row.name}.flags"
    numbers = [
        f"| {name.replace('_', ' ')} | {tables.spread(row.measured[name], digits)} |"
        for name, digits in KEYS
        if row.measured.get(name)
    ]
    seeds = ", ".join(map(str, row.measured["seeds"]))
    return (
        f"## {row.name} {{ #{row.name} }}\n\n`{row.measured['command']}`\n\n{code(flagfile)}\n"
        f"| | seeds {seeds} |\n| --- | --- |\n" + "\n".join(numbers) + "\n"
    )
