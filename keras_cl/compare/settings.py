"""The settings of a comparison: which runs, where they are trained, and what is made of them."""

import dataclasses
from typing import Literal

from keras_cl import anytime, metrics
from keras_cl.errors import pick, require
from keras_cl.report import FORMATS
from keras_cl.settings.config import SCENARIOS
from keras_cl.settings.flags import field_options
from keras_cl.settings.options import choices_of, require_usable

METRICS = (*metrics.DESCRIPTIONS, *anytime.DESCRIPTIONS, *metrics.COSTS, *metrics.GENERATOR)
# The flags that take several choices of an axis, and the setting of a run that each one varies.
LISTS = {
    "methods": "method",
    "scenarios": "scenario",
    "streams": "stream",
    "datasets": "dataset",
    "memories": "memory",
    "networks": "network",
    "regimes": "regime",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a comparison; every field is a flag of `keras_cl.compare`.

    Args:
      methods, scenarios, streams, datasets, memories, networks, regimes: what to compare, separated by
        commas; by default the one of the flag without the plural.
      runs: instead of these lists, a folder of flagfiles (*.flags), a TOML file ([[run]] for each run) or a
        CSV file (a column for each flag, a row for each run).
      skip_impossible: leave out runs that are impossible, such as a method in a scenario that it does not
        support; otherwise they are named and nothing is run.
      jobs: number of runs at a time; 0 for as many as there are cores for.
      cores: number of cores that each run has for itself; 0 to let all runs share all cores.
      runs_dir: folder of the run directories; a run with the same settings that is in it is not trained
        again.
      out: folder for the tables, figures and the page.
      baseline: what the others are compared with: a method, or its label in the tables.
      metrics: metrics in the tables, separated by commas; by default the usual ones.
      format: formats of the figures and the page: html, png, pdf, svg.
      style: matplotlib style of the figures, a name or a file.
      on: where the runs are trained: on this machine, on a Ray cluster, or by Slurm.
      ray_address: address of the Ray cluster; by default RAY_ADDRESS, or a Ray of this machine alone.
      cpus: CPUs that each run has with --on=ray or --on=slurm; Ray also takes fractions.
      gpus: GPUs that each run has with --on=ray or --on=slurm; Ray also takes fractions.
      slurm_options: further options of sbatch, such as "--time=02:00:00 --partition=gpu".
    """

    methods: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    regimes: tuple[str, ...] = ()
    runs: str = ""
    skip_impossible: bool = False
    jobs: int = 0
    cores: int = 1
    runs_dir: str = "runs"
    out: str = "comparison"
    baseline: str = ""
    metrics: tuple[str, ...] = ()
    format: tuple[str, ...] = ("html",)
    style: str = ""
    on: Literal["local", "ray", "slurm"] = "local"
    ray_address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    slurm_options: str = ""

    def __post_init__(self):
        require_usable(vars(self))
        for field in dataclasses.fields(self):
            if possible := choices_of(field.type):
                pick(f"--{field.name}", getattr(self, field.name), possible)
        for name in ("jobs", "cores"):
            require(getattr(self, name) >= 0, f"--{name} is {getattr(self, name)}; it must not be negative.")
        self._check_place()
        require(self.cpus > 0, f"--cpus is {self.cpus:g}; it must be above 0.")
        require(self.gpus >= 0, f"--gpus is {self.gpus:g}; it must not be negative.")
        for name in ("runs_dir", "out"):
            require(getattr(self, name), f"--{name} is empty; give a folder.")
        for metric in self.metrics:
            pick("--metrics", metric, METRICS)
        require(self.format, f"--format is empty; possible: {', '.join(FORMATS)}.")
        for name in self.format:
            pick("--format", name, FORMATS)
        for scenario in self.scenarios:
            pick("scenario", scenario, SCENARIOS)
        for name in LISTS:
            values = getattr(self, name)
            twice = [value for value in values if values.count(value) > 1]
            require(not twice, f"--{name} names {twice[:1] and twice[0]} twice.")
        given = [name for name in LISTS if getattr(self, name)]
        require(
            not (self.runs and given),
            f"--runs={self.runs} says which runs, and so does --{given and given[0]}; give one of them.",
        )

    def _check_place(self):
        """Raises `InputError` for a setting of another place than that where the runs are trained."""
        there = {"cores": ("local",), "ray_address": ("ray",), "slurm_options": ("slurm",)}
        there |= dict.fromkeys(("cpus", "gpus"), ("ray", "slurm"))
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        for name, places in there.items():
            require(
                self.on in places or getattr(self, name) == usual[name],
                f"--{name} is for --on={' or '.join(places)}, and the runs are trained --on={self.on}.",
            )


def own_flags():
    """`Option`s of the flags."""
    return field_options(Settings, skipped=())
