"""The components of the line for Kubeflow Pipelines; what each does is the function of its name in its file.

kfp ships the source of a function, not its module, so each body imports what it calls. An artifact of the
task before is None for the first task. All take the digest of the code, and ExampleGen that of the raw data
and a version that a cluster's user may give, because a cache knows arguments and artifacts alone.
"""

import functools
from typing import Optional

from kfp import dsl

# Ignored on this machine; on a cluster, `pipelines.compile` sets the image.
_component = functools.partial(dsl.component, base_image="python:3.11", install_kfp_package=False)


@_component
def example_gen(
    settings: str,
    number: int,
    folder: str,
    data: str,
    data_version: str,
    code: str,
    examples: dsl.Output[dsl.Dataset],
    previous: Optional[dsl.Input[dsl.Dataset]] = None,  # noqa: UP045, kfp reads the annotation
):
    """Writes one task, of the stream or of a folder that arrived, as TFRecords."""
    from pipelines.components.example_gen import example_gen

    example_gen(settings, number, folder, previous.path if previous else "", examples.path, code)


@_component
def statistics_gen(
    code: str,
    examples: dsl.Input[dsl.Dataset],
    statistics: dsl.Output[dsl.Artifact],
    previous: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045
):
    """Computes the statistics of the examples."""
    from pipelines.components.statistics_gen import statistics_gen

    statistics_gen(examples.path, previous.path if previous else "", statistics.path, code)


@_component
def schema_gen(
    code: str,
    statistics: dsl.Input[dsl.Artifact],
    schema: dsl.Output[dsl.Artifact],
    previous: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045
):
    """Infers what the examples of every task have to look like."""
    from pipelines.components.schema_gen import schema_gen

    schema_gen(statistics.path, previous.path if previous else "", schema.path, code)


@_component
def example_validator(
    thresholds: str,
    code: str,
    statistics: dsl.Input[dsl.Artifact],
    schema: dsl.Input[dsl.Artifact],
    anomalies: dsl.Output[dsl.Artifact],
):
    """Stops the task at an anomaly of its examples."""
    from pipelines.components.example_validator import example_validator

    example_validator(statistics.path, schema.path, thresholds, anomalies.path, code)


@_component
def tuner(
    settings: str,
    tune: str,
    code: str,
    examples: dsl.Input[dsl.Dataset],
    hyperparameters: dsl.Output[dsl.Artifact],
):
    """Searches settings of the method on validation rows of the task."""
    from pipelines.components.tuner import tuner

    tuner(settings, tune, examples.path, hyperparameters.path, code)


@_component
def trainer(
    settings: str,
    number: int,
    code: str,
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    previous: Optional[dsl.Input[dsl.Model]] = None,  # noqa: UP045
    hyperparameters: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045
):
    """Trains on one task, from the model after the task before."""
    from pipelines.components.trainer import trainer

    before = previous.path if previous else ""
    found = hyperparameters.path if hyperparameters else ""
    trainer(settings, number, examples.path, before, found, model.path, code)


@_component
def evaluator(
    settings: str,
    code: str,
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Metrics],
    previous: Optional[dsl.Input[dsl.Metrics]] = None,  # noqa: UP045
):
    """Measures the accuracies of the exported models on all tasks that have arrived."""
    import json
    import os

    from pipelines.components.evaluator import evaluator

    before = previous.path if previous else ""
    evaluator(settings, model.path, examples.path, before, evaluation.path, code)
    with open(os.path.join(evaluation.path, "metrics.json")) as file:
        numbers = json.load(file)
    for name, value in numbers.items():
        if isinstance(value, float):
            evaluation.log_metric(name, value)


@_component
def model_validator(
    thresholds: str,
    code: str,
    evaluation: dsl.Input[dsl.Metrics],
    blessing: dsl.Output[dsl.Artifact],
    previous: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045
):
    """Decides whether the model may be pushed, and says why."""
    from pipelines.components.model_validator import model_validator

    model_validator(evaluation.path, previous.path if previous else "", thresholds, blessing.path, code)


@_component
def infra_validator(
    code: str,
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    infra_blessing: dsl.Output[dsl.Artifact],
):
    """Serves the exported model and sends it requests."""
    from pipelines.components.infra_validator import infra_validator

    infra_validator(model.path, examples.path, infra_blessing.path, code)


@_component
def pusher(
    serving_dir: str,
    model_name: str,
    code: str,
    model: dsl.Input[dsl.Model],
    blessing: dsl.Input[dsl.Artifact],
    infra_blessing: dsl.Input[dsl.Artifact],
    pushed: dsl.Output[dsl.Artifact],
):
    """Gives a blessed model to the server."""
    from pipelines.components.pusher import pusher

    pusher(model.path, blessing.path, infra_blessing.path, serving_dir, model_name, pushed.path, code)
