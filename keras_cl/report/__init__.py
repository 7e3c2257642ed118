"""What is shown of runs: tables, figures and pages, from run directories alone.

Public are `read(paths)`, the groups of the runs in directories; `save(groups, out, formats=...)`, which
writes their page, tables and figures; and `plots`, whose functions draw one figure each to given axes:

    from keras_cl import report

    groups = report.read("runs/*")
    report.plots.average.draw(axes, groups)
"""

import importlib

FORMATS = ("html", "png", "pdf", "svg")


def read(paths):
    """The `Group`s of the runs in directories: runs with the same settings and other seeds are one group.

    Args:
      paths: a path, or several; each is the directory of a run, or a pattern such as "runs/*".

    Raises:
      InputError: if there is no run at a path, or it is damaged.
    """
    from keras_cl.report.groups import grouped
    from keras_cl.runs import saved_run

    return grouped(saved_run.read(paths))


def __getattr__(name):
    if name == "save":
        return importlib.import_module("keras_cl.report.write").write
    if name == "plots":
        return importlib.import_module("keras_cl.report.plots")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), "plots", "save"])
