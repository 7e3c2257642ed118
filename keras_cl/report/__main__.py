"""Command line: the report of runs that exist, as a page, tables and figures.

python -m keras_cl.report runs/ewc runs/er --out=report --format=html,pdf
"""

import pathlib
import sys
import types

from absl import app

from keras_cl.errors import pick, require
from keras_cl.report import FORMATS
from keras_cl.settings import command
from keras_cl.settings.flags import read_own
from keras_cl.settings.options import document_of, option_of

OUT = "folder for the report; by default that of the run, or report/ if there are several"
STYLE = "matplotlib style of the figures, by its name or its file; by default that of this library"
FLAGS = (
    option_of("out", str, "", OUT),
    option_of("format", tuple[str, ...], ("html",), "html, the page; png, pdf, svg: a file a figure"),
    option_of("style", str, "", STYLE),
    option_of("metrics", tuple[str, ...], (), "metrics of the tables; by default the usual ones"),
    option_of("baseline", str, "", "label of the run that the others are compared with"),
    option_of("across", bool, False, "compares runs of different streams: a table of each, and mean ranks"),
    option_of("verbosity", int, 0, "1 shows tracebacks"),
)


def parse(argv):
    """The flag values of a command line, and `runs`, the directories of the runs; prints help and exits if
    the command line has a help flag."""
    values, runs = read_own(argv, document_of(sys.modules[__name__]), FLAGS)
    require(runs, "Name the directory of a run, or of several: python -m keras_cl.report runs/ewc runs/er.")
    require(values.format, "--format is empty; possible: " + ", ".join(FORMATS) + ".")
    for name in values.format:
        pick("--format", name, FORMATS)
    return types.SimpleNamespace(runs=runs, **{option.name: values[option.name].value for option in FLAGS})


def main(values):
    """Writes the report, and says where it is."""
    from rich.console import Console

    from keras_cl import report
    from keras_cl.report import tables
    from keras_cl.report.write import reseal, write

    groups = report.read(values.runs)
    alone = {run.run for group in groups for run in group.runs}
    out = pathlib.Path(values.out or (alone.pop() if len(alone) == 1 else "report"))
    compared = values.metrics, values.baseline, values.across
    files = write(groups, out, values.format, values.style, *compared)
    reseal(out)
    Console(highlight=False, markup=False).print(tables.as_rich(tables.comparison(groups, *compared)))
    for file in files:
        print(file)


def cli():
    """What `keras-cl-report` and `python -m keras_cl.report` run."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
