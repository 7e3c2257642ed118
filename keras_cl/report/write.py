"""Writes what is shown of runs to files: the page, tables and figures."""

import logging
import pathlib
import re

from keras_cl.errors import pick, require
from keras_cl.report import FORMATS, read
from keras_cl.runs import seals
from keras_cl.runs.directory import REPORT, SEALED, RunDirectory
from keras_cl.runs.files import checksums, make_folder, plain_file_errors, replace

TABLES = {"table.md": "as_markdown", "table.csv": "as_csv", "table.tex": "as_tex"}


def write(groups, out, formats=("html",), style="", metrics=(), baseline="", across=False):
    """Writes the report of some runs; with several groups also table.md, table.csv and table.tex.

    Args:
      groups: list of `Group`s, as `keras_cl.report.read` returns it.
      out: folder for report.html, the tables, and figures/<name>.<format>; made if it is missing.
      formats: some of html, png, pdf and svg.
      style: name or file of a matplotlib style; "" for that of this library.
      metrics: names of the metrics of the tables; () for the usual ones.
      baseline: label of the group that the others are compared with; "" for none.
      across: whether groups of different streams may be compared.

    Returns:
      list of the paths of the files written.

    Raises:
      InputError: if an argument is unknown, if the groups cannot be compared, or if `out` cannot be written.
    """
    from keras_cl.report import tables

    require(groups, "There is no run to report.")
    for name in formats:
        pick("--format", name, FORMATS)
    compared = tables.comparison(groups, metrics, baseline, across)
    out, files = pathlib.Path(out), {}
    if "html" in formats:
        from keras_cl.report.page import page

        files[REPORT] = page(groups, compared, style)
    if len(groups) > 1:
        files |= {name: getattr(tables, writer)(compared) for name, writer in TABLES.items()}
    with plain_file_errors(out):  # after all that can be refused
        drawn = _figures(groups, out / "figures", [name for name in formats if name != "html"], style)
        make_folder(out)
        for name, text in files.items():
            replace(out / name, text)
    return [*(out / name for name in files), *drawn]


def _figures(groups, folder, formats, style):
    """Files of all figures in these formats."""
    from keras_cl.report import figures
    from keras_cl.report.selection import selected

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every glyph of a PDF
    files = []
    for name, shown in selected(groups) if formats else ():
        part = f"_{_file_name(shown[0].label)}" if len(shown) < len(groups) else ""
        figure, _ = figures.figure(name, shown, style)
        for kind in formats:
            make_folder(folder)
            files.append(folder / f"{name}{part}.{kind}")
            figures.save(figure, files[-1], kind)
    return files


def _file_name(label):
    return re.sub(r"[^\w.=-]+", "_", label)


def of_run(path):
    """Writes report.html of the run in the directory `path`, of all its seeds."""
    write(read(path), path, across=True)


def complete(directory):
    """Marks the run of a `RunDirectory` as complete, with its report.

    The report is written last, from complete results: where a run was killed in between, where results have
    been added since, and where report.html was lost or edited, it is written again.
    """
    path = directory.path
    if path is None or _sealed_with_report(path):
        return
    (path / REPORT).unlink(missing_ok=True)
    directory.finish()
    with plain_file_errors(path):
        of_run(path)
    directory.finish()


def _sealed_with_report(path):
    names = [name for name in SEALED if (path / name).exists()]
    done = seals.read_seal(path)
    return REPORT in names and done is not None and done["files"] == checksums(path, names)


def reseal(path):
    """Accepts a report that was written again, if nothing else of the complete run at `path` has changed."""
    if seals.changed(path) == [REPORT]:
        RunDirectory(path).finish()
