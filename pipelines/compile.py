"""Command line: writes the definition of the line that a Kubeflow cluster or Vertex runs.

python -m pipelines.compile --out=pipeline.yaml --method=ewc --stream=split --pipeline_root=s3://bucket/line
"""

import dataclasses
import pathlib
import tempfile
import warnings

from absl import app

from keras_cl.errors import require, require_installed
from keras_cl.settings import command, flags
from pipelines import settings
from pipelines.kubeflow.cluster import Cluster

ABOUT = "writes the definition of the line that a Kubeflow cluster or Vertex runs"
STORES = ("gs://", "s3://", "minio://")


@dataclasses.dataclass(frozen=True)
class Definition:
    """A `Line` and the `Cluster` that it is written for."""

    line: settings.Line
    cluster: Cluster

    def __post_init__(self):
        line, cluster = self.line, self.cluster
        root = line.pipeline_root
        require(
            not root or root.startswith(STORES),
            f"--pipeline_root is {root}; on a cluster it is a place that all components share: "
            f"{', '.join(store + '...' for store in STORES)}; by default that of the cluster.",
        )
        cluster.require_seen("serving_dir", line.serving_dir)
        for folder in line.examples:
            cluster.require_seen("examples", folder)
        if line.config.data_dir:
            cluster.require_seen("data_dir", line.config.data_dir)
        for axis, file in settings.own_files(line.config).items():
            cluster.require_seen(axis, file)

    @property
    def verbosity(self):
        """Verbosity of the run."""
        return self.line.verbosity


def parse(argv):
    """The `Definition` of a command line; prints help and exits if the command line has a help flag.

    Raises:
      InputError: one sentence about the first unusable argument.
    """
    own = flags.field_options(Cluster, skipped=())
    config, given, values = flags.read(argv, "pipelines.compile", ABOUT, (*own, *settings.own_flags()))
    cluster = Cluster(**{option.name: values.pop(option.name) for option in own})
    return Definition(settings.Line(config, given, **values), cluster)


def main(definition):
    """Writes the definition and shows what to do with it."""
    from keras_cl.runs.files import plain_file_errors, replace
    from pipelines.artifacts import code_version
    from pipelines.components.usable import require_usable

    require_installed("pipeline", *settings.PACKAGES)
    require_usable(definition.line)
    out, code = pathlib.Path(definition.cluster.out), code_version()
    image = definition.cluster.image or f"keras-cl-pipeline:{code[:12]}"
    text = written(definition, image, code)
    with plain_file_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, text)
    print(f"{out}  {definition.line.arrived} tasks in the image {image}")
    print(f"docker build --file pipelines/Dockerfile --tag {image} .")


def written(definition, image, code):
    """The text of the definition; the same settings, image and code give the same text."""
    from kfp import compiler

    from pipelines.kubeflow import raw_data
    from pipelines.kubeflow.line import pipeline

    line, cluster = definition.line, definition.cluster
    graph = pipeline(
        line,
        raw_data.digests(line, required=False),
        code,
        placed=lambda step, component, number: cluster.place(step, component, number, image),
        root=line.pipeline_root or None,
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        file = pathlib.Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(graph, str(file))
        return file.read_text()


def cli():
    """What `keras-cl-compile` and `python -m pipelines.compile` run."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
