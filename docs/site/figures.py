"""Figures of the pages: average accuracy as tasks are added, drawn from committed results."""

import io
import re

from docs.site import evidence

BOUNDS = {"finetune": ("--", "finetune"), "joint": (":", "joint")}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
PANELS = 3
INK = "#010203"  # replaced by the colour of the page's text
STYLE = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_cl",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def of_choice(axis, name):
    """An HTML figure of the rows of a choice beside the bounds of their tables; empty without such rows."""
    tables = {}
    for row in evidence.rows(axis, name):
        if evidence.curve(row.measured) and (axis == "method" or row.config.method not in BOUNDS):
            tables.setdefault(row.table, []).append(row)
    chosen = dict(sorted(tables.items(), key=lambda found: not _bounds(*found))[:PANELS])  # with bounds first
    if not chosen:
        return ""
    bounded = any(_bounds(table, rows) for table, rows in chosen.items())
    said = "; finetune is the lower bound, joint the upper one" if bounded else ""
    caption = (
        "Average accuracy over the tasks seen so far; bands are the standard deviation over seeds "
        f"({_seeds(chosen)}){said}."
    )
    panels = "\n".join(_svg(table, rows) for table, rows in chosen.items())
    return f'<figure class="curves">\n<div>\n{panels}\n</div>\n<figcaption>{caption}</figcaption>\n</figure>'


def _bounds(table, rows):
    """Rows of the bounds of a table that are none of `rows` and have accuracies after every task."""
    bounds = [evidence.row(table, name) for name in BOUNDS]
    return [bound for bound in bounds if bound and bound not in rows and evidence.curve(bound.measured)]


def _seeds(tables):
    counts = sorted({len(row.measured["seeds"]) for rows in tables.values() for row in rows})
    return " or ".join(f"{count} seeds" if count > 1 else "one seed" for count in counts)


def _svg(table, rows):
    svg = _drawn(table, rows).replace(INK, "currentColor")
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ', "", svg, count=1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{table}-", svg)  # several figures are on one page
    return re.sub(r"\n\s*\n", "\n", svg)


def _drawn(table, rows):
    """The SVG of a panel as matplotlib writes it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    file = io.StringIO()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
        _panel(axes, table, rows)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = file.getvalue()
    return svg[svg.index("<svg") :]


def _panel(axes, table, rows):
    for colour, row in zip(COLOURS, rows[: len(COLOURS)], strict=False):
        _line(axes, row, row.name, color=colour, marker="o", markersize=3)
    for bound in _bounds(table, rows):
        style, label = BOUNDS[bound.name]
        _line(axes, bound, label, color=INK, linestyle=style, alpha=0.7)
    axes.set_title(rows[0].stream, fontsize=9)
    axes.set_xlabel("tasks learned")
    axes.set_ylabel("average accuracy (%)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.25, color=INK, linewidth=0.5)
    axes.legend(fontsize=8, loc="lower left")


def _line(axes, row, label, **style):
    mean, std = evidence.curve(row.measured)
    tasks = range(1, len(mean) + 1)
    axes.plot(tasks, mean, label=label, linewidth=1.5, **style)
    low, high = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
    axes.fill_between(tasks, low, high, color=style["color"], alpha=0.15, linewidth=0)
