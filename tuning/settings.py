"""The settings of a search: search space, tuner, and the part of the stream that trials use."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Literal

import numpy as np

from keras_cl import metrics
from keras_cl.errors import pick, require
from keras_cl.runs.opening import Kind
from keras_cl.settings import catalog, flags
from keras_cl.settings.config import Config
from keras_cl.settings.options import require_usable
from keras_cl.sources.reading import data_name
from tuning import space

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
MOST_POINTS = 1000  # of a range in a grid, whose values have four digits
# Fields that do not change the result of a configuration: a search can be resumed with other values.
FREE = ("config", "given", "ranges", "trials", "search_dir", "patience")


@dataclasses.dataclass(frozen=True)
class Search:
    """All settings of a search; every field except the first three is a flag of `tuning.search`.

    Args:
      config: the run whose settings are searched.
      given: flags of the run on the command line, `{flag: value}`; they are not searched.
      ranges: `{flag: (low, high) or [values]}` of the user, which take precedence over those of the files.
      tuner: algorithm that chooses the configurations.
      trials: largest number of configurations; a grid may have fewer.
      tuning_tasks: number of tasks that a trial learns, the first ones of the stream; by default 3, or all if
        there are fewer.
      valid_fraction: fraction of the training rows held out to evaluate trials, in (0, 1).
      objective: number of the summary of a run to optimise.
      budget: what is smaller in the early rounds of hyperband, epochs or tasks.
      grid_points: number of values per range for grid, at least 2 and at most 1000.
      search_dir: folder for results; by default a folder in searches/ named after the settings.
      patience: seconds that a chief waits for workers, and that workers wait for the chief at the start.
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
        require_usable(vars(self))
        for option in own_flags():
            if option.choices:
                pick(f"--{option.name}", getattr(self, option.name), option.choices)
        pick("--objective", self.objective, metrics.DESCRIPTIONS)
        require(
            catalog.has_tasks(self.config.stream),
            f"--stream is {self.config.stream}, which has no tasks; search on a stream with tasks.",
        )
        require(self.trials >= 1, f"--trials is {self.trials}; it must be at least 1.")
        require(
            2 <= self.grid_points <= MOST_POINTS,
            f"--grid_points is {self.grid_points}; it must be at least 2 and at most {MOST_POINTS}.",
        )
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
            "--stream.valid_fraction is a flag of runs; use --valid_fraction for a search.",
        )
        require(
            self.tuner != "hyperband" or self.budget == "tasks" or not self.config.iterations,
            "With --iterations there are no epochs for hyperband's budget; give --budget=tasks.",
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
        """The search space, `{flag: (low, high) or [values]}`."""
        found = space.search_space(self.config, self.given, self.ranges)
        return space.gridded(found, self.grid_points) if self.tuner == "grid" else found

    @property
    def tasks(self):
        """Number of tasks that a trial learns."""
        return min(3, self.config.tasks) if self.tuning_tasks is None else self.tuning_tasks

    @property
    def direction(self):
        """Direction of the optimisation of the objective, "max" or "min"."""
        return "min" if self.objective in metrics.LOWER_IS_BETTER else "max"

    @property
    def most(self):
        """The full budget of a trial in hyperband, in epochs or tasks; None for other tuners."""
        if self.tuner != "hyperband":
            return None
        return self.config.epochs if self.budget == "epochs" else self.tasks

    def configured(self, values, budget=None):
        """The `Config` and the number of tasks of a trial with these `values` and this `budget`."""
        kept = {"stream.valid_fraction": self.valid_fraction}
        config = space.configured(self.config, kept | values)
        if budget is None:
            return config, self.tasks
        if self.budget == "tasks":
            return config, budget
        return dataclasses.replace(config, epochs=budget), self.tasks

    @functools.cached_property
    def settings(self):
        """All settings that decide the results, for JSON: the content of config.json."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in FREE}
        own["tuning_tasks"] = self.tasks
        searched = {flag: f"searched in {space.said(values)}" for flag, values in self.space.items()}
        return self.config.settings | own | searched

    @property
    def directory(self):
        """Folder for results."""
        config = self.config
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:6]
        chosen = config.name_of("method"), config.name_of("stream"), data_name(config.dataset)
        name = f"{'-'.join(chosen)}-{config.scenario}-{self.tuner}-{digest}"
        return pathlib.Path(self.search_dir or f"searches/{name}")

    @property
    def verbosity(self):
        """Verbosity of the run."""
        return self.config.verbosity


def own_flags():
    """`Option`s of the flags of a search that are not flags of a run."""
    return flags.field_options(Search, skipped=("config", "given", "ranges"))


def parse(argv):
    """The `Search` of a command line; prints help and exits if the command line has a help flag.

    Raises:
      InputError: one sentence about the first unusable argument.
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
