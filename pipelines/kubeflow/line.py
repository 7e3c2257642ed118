"""The graph of the line: ten components a task, unrolled over the tasks that have arrived.

A task begins when the task before was pushed or found not good enough, so that what stops a task stops no
earlier one. Everything that decides a result is an argument: the settings, the digests of code and raw data.
"""

from typing import NamedTuple

from kfp import dsl

from pipelines.kubeflow import components
from pipelines.kubeflow.local import NAME
from pipelines.validation import thresholds

# The artifacts of each task that the program reads at the end.
SHOWN = {"evaluation": dsl.Metrics, "pushed": dsl.Artifact}


def pipeline(line, data, code, placed=None, root=None):
    """The kfp pipeline of all tasks that have arrived.

    Args:
      line: a `settings.Line`.
      data: digest of the raw data of each task.
      code: digest of the code.
      placed: called with each kfp task, the name of its component and the number of its task; sets what a
        cluster needs to know.
      root: pipeline_root in the definition, for a cluster.

    Returns:
      the pipeline; its outputs are `evaluation_1`, `pushed_1` and so on, see `SHOWN`.
    """
    numbers = range(1, line.arrived + 1)
    fields = [(f"{name}_{number}", kind) for number in numbers for name, kind in SHOWN.items()]
    outputs = NamedTuple("Outputs", fields)

    def tasks(
        serving_dir: str = line.serving_dir, model_name: str = line.model_name, data_version: str = ""
    ) -> outputs:
        before, found = None, {}
        for number in numbers:
            task = _Task(line, number, code, placed, before)
            task.examine(data[number - 1], data_version)
            task.train()
            task.push(serving_dir, model_name)
            found |= {f"{name}_{number}": task.made[name] for name in SHOWN}
            before = task
        return outputs(**found)

    described = f"{line.config.method} on {line.config.stream} {line.config.dataset}: {line.arrived} tasks"
    return dsl.pipeline(name=NAME, description=described, pipeline_root=root)(tasks)


class _Task:
    """The components of one task; `made` is `{name: artifact}`, and `before` the task before or None."""

    def __init__(self, line, number, code, placed, before):
        self.made, self.end = {}, None
        self._line, self._number, self._code, self._placed = line, number, code, placed
        self._before = before

    def examine(self, data, data_version):
        """ExampleGen, StatisticsGen, SchemaGen, ExampleValidator."""
        line, number = self._line, self._number
        after = [self._before.end] if self._before else []
        self._add(
            components.example_gen,
            *after,
            settings=line.settings_text,
            number=number,
            folder=line.folders[number - 1],
            data=data,
            data_version=data_version,
            previous=self._earlier("examples"),
        )
        self._add(
            components.statistics_gen,
            examples=self.made["examples"],
            previous=self._earlier("statistics"),
        )
        self._add(components.schema_gen, statistics=self.made["statistics"], previous=self._earlier("schema"))
        self.end = self._add(
            components.example_validator,
            statistics=self.made["statistics"],
            schema=self.made["schema"],
            thresholds=thresholds.text_of(line),
        )

    def train(self):
        """Tuner if there is one, Trainer, Evaluator, ModelValidator."""
        line, given = self._line, {"settings": self._line.settings_text, "examples": self.made["examples"]}
        if line.tune_text:
            self._add(components.tuner, self.end, **given, tune=line.tune_text)
        self._add(
            components.trainer,
            self.end,
            **given,
            number=self._number,
            previous=self._earlier("model"),
            hyperparameters=self.made.get("hyperparameters"),
        )
        self._add(
            components.evaluator,
            **given,
            model=self.made["model"],
            previous=self._earlier("evaluation"),
        )
        self._add(
            components.model_validator,
            evaluation=self.made["evaluation"],
            previous=self._earlier("blessing"),
            thresholds=line.thresholds_of("ModelValidator"),
        )

    def push(self, serving_dir, model_name):
        """InfraValidator, Pusher."""
        made = self.made
        self._add(components.infra_validator, model=made["model"], examples=made["examples"])
        self.end = self._add(
            components.pusher,
            model=made["model"],
            blessing=made["blessing"],
            infra_blessing=made["infra_blessing"],
            serving_dir=serving_dir,
            model_name=model_name,
        )

    def _earlier(self, name):
        """An artifact of the task before, None of the first task."""
        return self._before.made[name] if self._before else None

    def _add(self, component, *after, **given):
        """Adds a component that begins when those of `after` have ended; returns its kfp task."""
        given = {name: value for name, value in given.items() if value is not None}
        step = component(code=self._code, **given).after(*after)
        if self._placed:
            self._placed(step, component.component_spec.name, self._number)
        self.made |= step.outputs
        return step
