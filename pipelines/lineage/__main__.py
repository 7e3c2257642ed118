"""Command line: which data, settings and code made a served model or an artifact, and what was made of it.

python -m pipelines.lineage <served model or artifact>
python -m pipelines.lineage serving/digits --png=lineage.png
python -m pipelines.lineage pipeline/.../examples --forward
python -m pipelines.lineage 4be1c02d9a31 --pipeline_root=pipeline
"""

import pathlib
import sys
import types

from absl import app

from keras_cl.errors import require, require_installed
from keras_cl.runs.files import plain_file_errors, replace
from keras_cl.settings import command
from keras_cl.settings.flags import read_own
from keras_cl.settings.options import document_of, option_of
from pipelines.lineage import history, tree

FLAGS = (
    option_of("forward", bool, False, "what was made of the artifact, instead of what it was made of"),
    option_of(
        "pipeline_root", str, "", "folder of all artifacts; by default the one that this artifact is in"
    ),
    option_of("verify", bool, True, "whether the files of all artifacts are read, to see which were edited"),
    option_of("png", str, "", "file to draw the graph to"),
    option_of("openlineage", str, "", "file to write OpenLineage events to, one a line"),
    option_of("verbosity", int, 0, "1 shows tracebacks"),
)


def parse(argv):
    """The `target` and the flags of a command line; prints help and exits if it has a help flag."""
    values, rest = read_own(argv, document_of(sys.modules[__name__]), FLAGS)
    require(rest, "Which model or artifact? Give its folder: python -m pipelines.lineage serving/digits/3.")
    require(len(rest) == 1, f"One model or artifact at a time, not {len(rest)}: {' '.join(rest[:3])}.")
    return types.SimpleNamespace(
        target=rest[0], **{option.name: values[option.name].value for option in FLAGS}
    )


def main(values):
    """Shows the history of one model or artifact, and writes what is asked for.

    Raises:
      InputError: at the end, if an artifact was edited since it was made.
    """
    for given, package in ((values.png, "networkx"), (values.openlineage, "openlineage")):
        require_installed("pipeline", *([package] if given else []))
    found = history.read(values.target, values.pipeline_root, values.forward, verify=values.verify)
    print("\n".join(tree.lines_of(found)))
    if values.png:
        from pipelines.lineage import graph

        with plain_file_errors(values.png):
            graph.draw(found, values.png)
    if values.openlineage:
        from pipelines.lineage import events

        with plain_file_errors(values.openlineage):
            replace(pathlib.Path(values.openlineage), events.as_lines(found))
    named = [found.records[key]["path"] for key in found.edits]
    require(not named, f"{len(named)} of {len(found.records)} artifacts were edited: {', '.join(named[:3])}.")


def cli():
    """What `keras-cl-lineage` and `python -m pipelines.lineage` run."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
