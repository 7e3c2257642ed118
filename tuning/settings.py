"""The settings of a search: what is searched, how, and on how much of the stream."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Literal

import numpy as np

from keras_cl import metrics
from keras_cl.errors import pick, require
from keras_cl.runs.directory import Kind
from keras_cl.settings import flags
from keras_cl.settings.config import Config, data_name
from tuning import space

LOWER_IS_BETTER = ("forgetting", "peak_forgetting")  # of the numbers that can be an objective
KIND = Kind(
    "search",
    "search_dir",
    (
        "best.flags",
        "trials.csv",
        "trials.png",
        "tensorboard",
        "trials",
        "keras_tuner",
        "workers",
        "config.json",
    ),
)
# What does not decide how well a configuration does: more trials go on with a search.
FREE = ("config", "given", "ranges", "trials", "search_dir", "patience")


@dataclasses.dataclass(frozen=True)
class Search:
    """Everything that decides a search; every field but the first three is a flag of `tuning.search`.

    Args:
      config: the run whose settings are searched.
      given: what the command line says about the run, `{flag: value}`; it is not searched.
      ranges: `{flag: (low, high) or [values]}` of one's own, which count more than those of the files.
      tuner: how configurations are chosen.
      trials: how many configurations are tried, at most: a grid may have fewer.
      tuning_tasks: tasks that a trial learns, the first of the stream; by default 3, or all of fewer.
      valid_fraction: share of the training rows that trials are measured on and do not learn, in (0, 1).
      objective: what is made best, a number of a run's summary.
      budget: what the early rounds of hyperband have less of, epochs or tasks.
      grid_points: values that a range is cut into by grid, at least 2.
      search_dir: where results go; by default a folder in searches/ named after the settings.
      patience: seconds that a chief waits for workers, and that they wait for it at the start.
    """

    config: Config
    given: dict
    ranges: dict = dataclasses.field(default_factory=dict)
    tuner: Literal["bayesian", "random", "hyperband", "grid"] = "bayesian"
    trials: int = 20
    tuning_tasks: int | None = None
    valid_fraction: float = 0.1
    objective: str = "average_accuracy"
    budget: Literal["epochs", "tasks"] = "epochs"
    grid_points: int = 5
    search_dir: str = ""
    patience: float = 120.0

    def __post_init__(self):
        for option in own_flags():
            if option.choices:
                pick(f"--{option.name}", getattr(self, option.name), option.choices)
        pick("--objective", self.objective, metrics.DESCRIPTIONS)
        require(self.trials >= 1, f"--trials is {self.trials}; it must be at least 1.")
        require(self.grid_points >= 2, f"--grid_points is {self.grid_points}; it must be at least 2.")
        require(self.patience > 0, f"--patience is {self.patience:g}; it must be above 0.")
        require(
            1 <= self.tasks <= self.config.tasks,
            f"--tuning_tasks is {self.tasks}; it must be at least 1 and at most --tasks={self.config.tasks}.",
        )
        require(
            0 < self.valid_fraction < 1,
            f"--valid_fraction is {self.valid_fraction:g}; it must be above 0 and below 1.",
        )
        require(
            "stream.valid_fraction" not in self.given,
            "--stream.valid_fraction is of runs; a search has --valid_fraction.",
        )
        require(
            self.tuner != "hyperband" or self.budget == "tasks" or not self.config.iterations,
            "Where --iterations is given there are no epochs to be hyperband's budget; give --budget=tasks.",
        )
        require(
            self.config.strategy == "none",
            f"--strategy is {self.config.strategy}, and a trial runs on one device; possible: none.",
        )
        alone = self.tuner == "hyperband" and self.budget == "tasks" or self.tasks == 1
        undefined = metrics.summary(np.zeros((2, 1)))[self.objective] is None
        require(
            not (alone and undefined),
            f"--objective is {self.objective}, which one task alone does not have; give --tuning_tasks=2 or "
            f"more, and --budget=epochs.",
        )
        searched = ", ".join(f"--{flag}" for flag in space.search_space(self.config, given=(), ranges={}))
        require(self.space, f"Nothing is left to search: {searched} are given.")

    @functools.cached_property
    def space(self):
        """`{flag: (low, high) or [values]}` of what is searched."""
        found = space.search_space(self.config, self.given, self.ranges)
        return space.gridded(found, self.grid_points) if self.tuner == "grid" else found

    @property
    def tasks(self):
        """How many tasks a trial learns."""
        return min(3, self.config.tasks) if self.tuning_tasks is None else self.tuning_tasks

    @property
    def direction(self):
        """Whether the objective is best at its "max" or "min"."""
        return "min" if self.objective in LOWER_IS_BETTER else "max"

    @property
    def most(self):
        """The whole budget of a trial: epochs or tasks where these are few at first, else None."""
        if self.tuner != "hyperband":
            return None
        return self.config.epochs if self.budget == "epochs" else self.tasks

    def configured(self, values, budget=None):
        """The `Config` and the number of tasks of a trial with these `values` and this budget."""
        kept = {"stream.valid_fraction": self.valid_fraction}
        config = space.configured(self.config, kept | values)
        if budget is None:
            return config, self.tasks
        if self.budget == "tasks":
            return config, budget
        return dataclasses.replace(config, epochs=budget), self.tasks

    @functools.cached_property
    def settings(self):
        """All that decides the results, JSON-able: what config.json holds."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in FREE}
        own["tuning_tasks"] = self.tasks
        searched = {flag: f"searched in {space.said(values)}" for flag, values in self.space.items()}
        return self.config.settings | own | searched

    @property
    def directory(self):
        """Where results go."""
        config = self.config
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:6]
        chosen = config.name_of("method"), config.name_of("stream"), data_name(config.dataset)
        name = f"{'-'.join(chosen)}-{config.scenario}-{self.tuner}-{digest}"
        return pathlib.Path(self.search_dir or f"searches/{name}")

    @property
    def verbosity(self):
        """That of the run."""
        return self.config.verbosity


def own_flags():
    """`Option`s of the flags that a search has beside those of a run."""
    return flags.field_options(Search, skipped=("config", "given", "ranges"))


def parse(argv):
    """The `Search` that a command line asks for; prints help and exits where that is asked for.

    Raises:
      InputError: one sentence about what cannot be used.
    """
    about = (
        "searches settings of a method on validation data of the first tasks; --search.FLAG=low:high or "
        "--search.FLAG=a,b,c searches any flag of the run in values of your own"
    )
    config, given, own = flags.read(
        argv, "tuning.search", about, own_flags(), prefix="search", prefixed=space.SETTINGS
    )
    texts = {name.partition(".")[2]: own.pop(name) for name in list(own) if name.startswith("search.")}
    return Search(config, given, ranges=space.own_ranges(config, given, texts), **own)
