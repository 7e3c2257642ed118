"""The settings of the line: what has arrived, where its artifacts and models are, and those of the run."""

import dataclasses
import functools
import json
import pathlib
import re

from keras_cl.errors import InputError, pick, require
from keras_cl.runs.files import read_json
from keras_cl.settings import catalog, flags
from keras_cl.settings.config import AFTERWARDS, LOGGERS, Config
from keras_cl.settings.options import require_usable
from keras_cl.sources import is_folder

FOLDERS = ("data_dir", "cache_dir")  # of the data of a run
PLACES = (*FOLDERS, "device")  # of the settings of a run, what components need besides
# Flags of a run that the line decides itself.
DECIDED = ("run_dir", "export_dir", "keep", "export", "overwrite", "strategy", *AFTERWARDS, *LOGGERS)
VALIDATORS = ("ExampleValidator", "ModelValidator")
PROGRAM = "pipelines.run"
PACKAGES = ("kfp", "tensorflow_metadata")  # of the extra, that every line needs
ABOUT = (
    "takes the tasks of a stream that have arrived through the line: examples, statistics, training, "
    "evaluation, validation, and the push of every model that passes to a server's folder"
)


def text_of(config, **more):
    """The settings of a run as the text that components take; `config_of` reads it.

    Args:
      config: the `Config`.
      more: what components need besides, as `classes` of a line without a stream.
    """
    places = {name: getattr(config, name) for name in PLACES}
    return json.dumps({"settings": config.settings, "places": places, **more}, sort_keys=True)


def config_of(text):
    """The `Config` in a text of `text_of`.

    Raises:
      InputError: if a file that the settings name has changed since.
    """
    content = json.loads(text)
    places = content["places"]
    folders = {name: places.get(name, "") for name in FOLDERS}
    config = Config.from_settings(content["settings"], **folders)
    return dataclasses.replace(config, device=places.get("device", "auto"))


@dataclasses.dataclass(frozen=True)
class Line:
    """All settings of the line; every field except the first two is a flag of `pipelines.run`.

    Args:
      config: the settings of the run.
      given: flags of the run on the command line, `{flag: value}`.
      until: number of tasks of the stream that have arrived; by default all that --examples leaves.
      examples: files or folders of examples that arrived as the next tasks after --until, in their order:
        TFRecords, CSV with paths of images, or .npz.
      classes: labels of all planned tasks, as 0,1/2,3/4,5, if there is no stream and every task arrives.
      pipeline_root: folder of the artifacts, the cache and the lineage; by default pipeline, and on a cluster
        the place that is set up there.
      serving_dir: folder that the server reads; models are pushed to a folder in it.
      model_name: name under which the server serves the model.
      thresholds: JSON file of thresholds that are not the defaults, of the form {"ExampleValidator": {...},
        "ModelValidator": {...}}.
      trials: configurations that the Tuner tries for each task; 0 for no Tuner.
      tune: JSON file of further options of the Tuner.
    """

    config: Config
    given: dict = dataclasses.field(default_factory=dict)
    until: int | None = None
    examples: tuple[str, ...] = ()
    classes: str = ""
    pipeline_root: str = ""
    serving_dir: str = "serving"
    model_name: str = "model"
    thresholds: str = ""
    trials: int = 0
    tune: str = ""

    def __post_init__(self):
        require_usable(vars(self))
        self._check_run()
        self._check_arrived()
        self._check_tuner()
        require_model_name(self.model_name)
        require(self.serving_dir, "--serving_dir is empty; give a folder.")

    def _check_run(self):
        """The settings of the run must be possible in a line."""
        for name in DECIDED:
            require(name not in self.given, f"--{name} is for keras_cl.main; the line decides it itself.")
        seeds = ",".join(map(str, self.config.seeds))
        require(len(self.config.seeds) == 1, f"--seeds is {seeds}; a line has one model, so give one seed.")
        require(
            len(self.config.datasets) == 1,
            f"--dataset is {self.config.dataset}; a line has one data set, whose digest it records.",
        )
        require(
            catalog.has_tasks(self.config.stream),
            f"--stream is {self.config.stream}, a pass without tasks, and a line learns task by task.",
        )
        require(
            self.config.eval_every == "task",
            f"--eval_every is {self.config.eval_every}; the Evaluator measures each task once: task.",
        )
        require(
            self.config.eval_tasks == "all",
            f"--eval_tasks is {self.config.eval_tasks}; the Evaluator measures all tasks: all.",
        )

        require(
            not self.config.stream_per_seed,
            "--stream_per_seed is for runs of several seeds; a line has one stream: give --stream.seed.",
        )

    def _check_tuner(self):
        """The Tuner must have what it needs."""
        require(self.trials >= 0, f"--trials is {self.trials}; it must not be negative.")
        require(not self.tune or self.trials, "--tune is for the Tuner; give --trials too.")
        require(
            not self.trials or self.config.options_of("stream").get("valid_fraction", 0),
            "--trials is for the Tuner, which needs validation rows; give --stream.valid_fraction=0.1 or so.",
        )

    def _check_arrived(self):
        """What has arrived must be possible."""
        planned = "--classes" if self.classes else "--tasks"
        most = self.tasks - len(self.examples)
        require(
            most >= 0,
            f"--examples names {len(self.examples)} tasks, and {self.tasks} are planned; give more "
            f"{planned}.",
        )
        for name in ("stream", "dataset", "tasks"):
            require(
                not self.classes or name not in self.given,
                f"--classes and --{name} are both given; with --classes all tasks arrive, and there is no "
                f"stream: leave --{name} out.",
            )
        require(
            not self.classes or "scenario" in self.given,
            "--classes is given, and no stream says the scenario: give --scenario=task, domain or class.",
        )
        require(
            not self.classes or not self.until,
            f"--until is {self.until}, and with --classes all tasks arrive: give them by --examples.",
        )
        require(
            self.until is None or 0 <= self.until <= most,
            f"--until is {self.until}; with {self.tasks} tasks, and {len(self.examples)} in --examples, "
            f"it must be at least 0 and at most {most}.",
        )
        require(self.arrived >= 1, "No task has arrived; give --until=1, or a folder by --examples.")

    @property
    def tasks(self):
        """Number of planned tasks."""
        return len(self.classes.split("/")) if self.classes else self.config.tasks

    @property
    def from_stream(self):
        """Number of tasks that come from the stream itself."""
        if self.classes:
            return 0
        return self.config.tasks - len(self.examples) if self.until is None else self.until

    @property
    def arrived(self):
        """Number of tasks that have arrived."""
        return self.from_stream + len(self.examples)

    @property
    def folders(self):
        """The folder of each task that has arrived, "" for those of the stream."""
        return [""] * self.from_stream + [absolute(folder) for folder in self.examples]

    @functools.cached_property
    def settings_text(self):
        """The settings of the run as components take them, with absolute paths."""
        config = dataclasses.replace(_with_absolute_paths(self.config), tasks=self.tasks)
        return text_of(config, **({"classes": self.classes} if self.classes else {}))

    def thresholds_of(self, component):
        """The thresholds that are given for ExampleValidator or ModelValidator as JSON."""
        return json.dumps(self._thresholds.get(component, {}), sort_keys=True)

    @functools.cached_property
    def _thresholds(self):
        found = _read("thresholds", self.thresholds)
        for component, given in found.items():
            pick("--thresholds: the component", component, VALIDATORS)
            require(isinstance(given, dict), f"--thresholds: {component} is {given!r}; it must be {{...}}.")
        return found

    @functools.cached_property
    def tune_text(self):
        """The options of the Tuner as JSON, "" without a Tuner; settings that are given are not searched."""
        if not self.trials:
            return ""
        options = _read("tune", self.tune)
        given = options.get("given", [])
        if isinstance(given, list):  # else the Tuner says what it must be
            given = given + [
                name for name in self.config.settings if name in self.given and name not in given
            ]
            given = sorted(given)  # the order of flags does not matter
        return json.dumps({**options, "given": given, "trials": self.trials}, sort_keys=True)

    @property
    def verbosity(self):
        """Verbosity of the run."""
        return self.config.verbosity


def own_flags():
    """`Option`s of the flags of the line that are not flags of a run."""
    return flags.field_options(Line, skipped=("config", "given"))


def parse(argv):
    """The `Line` of a command line; prints help and exits if the command line has a help flag.

    Raises:
      InputError: one sentence about the first unusable argument.
    """
    config, given, own = flags.read(argv, PROGRAM, ABOUT, own_flags())
    return Line(config, given, **own)


def require_model_name(name):
    """Raises `InputError` for a name that cannot be that of a model's folder."""
    require(
        re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name),
        f"--model_name is {name!r}; it must be letters, digits, '.', '_' and '-', and begin with a letter "
        f"or digit.",
    )


def absolute(path):
    """A path that does not depend on the working folder, which components need not share."""
    return str(pathlib.Path(path).expanduser().absolute())


def own_files(config):
    """`{axis: path}` of the choices of a `Config` that are the user's own files: .npz, a folder of images, or
    .py with code."""
    chosen = {axis: getattr(config, axis).partition(":")[0] for axis in ("dataset", *config.origins)}
    kinds, images = (".npz", ".py"), is_folder(config.dataset)
    return {
        axis: file
        for axis, file in chosen.items()
        if pathlib.Path(file).suffix in kinds or (axis == "dataset" and images)
    }


def title(component):
    """TFX's name of a component: ExampleGen of example-gen."""
    return "".join(part.title() for part in component.split("-"))


def _with_absolute_paths(config):
    """A `Config` whose files and folders are named by absolute paths."""
    changed = {}
    for axis, file in own_files(config).items():  # file.npz, file.py or file.py:name
        changed[axis] = absolute(file) + getattr(config, axis).removeprefix(file)
    for name in FOLDERS:
        if folder := getattr(config, name):
            changed[name] = absolute(folder)
    return dataclasses.replace(config, **changed)


def _read(name, file):
    """The dict in the JSON file of a flag; {} without one."""
    if not file:
        return {}
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON of the form {...}"
        raise InputError(f"--{name} is {file}, and it cannot be read: {reason}.") from None
