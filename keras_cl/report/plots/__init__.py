"""Plots of runs: one file per plot, each a function that draws to the axes it is given.

A plot's file has a docstring (its title in the first line, then what it shows), `applies(groups)`, whether
there is something to show, `draw(axes, groups)`, which returns its `Mark`s, and constants:

- `WIDE`: it takes the width of a page, not of a column.
- `PANELS`: number of axes side by side; above 1, `draw` is given a list of them.
- `SINGLE`: it shows one group, and several groups have one figure each.

In a notebook:

    from keras_cl import report

    groups = report.read("runs/*")
    report.plots.average.draw(axes, groups)

Plots are imported at first use, and matplotlib when something is drawn.
"""

import importlib
import inspect

from keras_cl.errors import pick

NAMES = (  # in the order of a report
    "matrix",
    "tasks",
    "anytime",
    "average",
    "forgetting",
    "learned_and_final",
    "loss_matrix",
    "confusion",
    "class_accuracy",
    "stability_plasticity",
    "cost",
    "learning_rate",
    "validation",
    "curvature",
    "samples",
    "generator_quality",
    "nearest",
)


def names():
    """Names of all plots, in the order of a report."""
    return list(NAMES)


def plot(name):
    """The module of a plot.

    Raises:
      InputError: if there is no plot of that name.
    """
    return importlib.import_module(f"{__name__}.{pick('plot', name, NAMES)}")


def title(name):
    """The title of a plot, for example "Average accuracy"."""
    return _document(name).partition("\n")[0].rstrip(".")


def description(name):
    """What a plot shows, in a paragraph."""
    return " ".join(_document(name).partition("\n")[2].split())


def _document(name):
    return inspect.getdoc(plot(name))


def __getattr__(name):
    if name in NAMES:
        return plot(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *NAMES])
