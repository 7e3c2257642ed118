"""The settings of a run: the choices with their options, and how to train."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from typing import Literal

from keras_cl import sources
from keras_cl.errors import InputError, did_you_mean, pick, require
from keras_cl.settings import catalog, checks, external
from keras_cl.settings.options import choices_of, require_usable
from keras_cl.sources.reading import ColorMode, Reading, Resizing, data_name

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"]
SCENARIOS = ("task", "domain", "class")
EPOCHS = 10  # of each task
DIGEST = "_sha256"  # suffix of the name of a setting that is the digest of a file

# Arguments that a run passes to constructors. Methods and streams get every setting that they have as a
# parameter.
SUPPLIED = {
    "network": {"precision", "seed"},
    "memory": {"seed"},
    "regime": set(),
    "dataset": {"data_dir", "cache_dir"},
}

# Settings for places, devices and output: a run can be resumed with other values.
FOLDERS = ("run_dir", "export_dir", "data_dir", "cache_dir")
LOGGERS = ("tensorboard", "mlflow", "wandb")
PLACES = (*FOLDERS, *LOGGERS, "device", "strategy", "keep", "export", "overwrite", "verbosity")
# Settings for measurements after training: they can be added to a finished run.
MEASUREMENTS = ("curvature", "generator_quality")
AFTERWARDS = (*MEASUREMENTS, "curvature_rows")


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run; every field is a flag of `keras_cl.main`.

    Args:
      method: continual-learning method.
      memory: source of replayed rows of earlier tasks, stored rows or a generator; by default that of the
        method, usually none.
      stream: how tasks are made from a data set.
      regime: learning-rate regime; it can also set defaults of other settings.
      network: network to train; by default that of the method, usually mlp.
      augment: augmentations of the images of each step, in their order, as in crop,mirror; by default none.
      augment_rows: rows that are augmented: current, those of the task; replayed, those of a memory; both.
      dataset: digits (embedded), mnist, fashion_mnist, cifar10, cifar100, svhn_cropped, imagenet50, another
        image classification set of tensorflow-datasets as name/configuration:version, path/to/folder with
        train/<class>/*.png and test/<class>/*.png, path/to/file.npz, or path/to/file.py with a function that
        returns a `keras_cl.sources.Source`; several, separated by commas, for --stream=datasets.
      image_size: size of all images in pixels, 32 for 32x32 or 32x48 for height and width; by default the
        size that they have.
      color_mode: grayscale for one channel, rgb for three; by default the channels that images have.
      resizing: how images get that size, as in Keras; stretch both sides (bilinear); crop_to_aspect_ratio,
        of the middle, before; pad_to_aspect_ratio, with zeros, before; pad, with zeros and without scaling.
      train_split: training rows, a split of tensorflow-datasets or a part of one, as train[:80%], or a
        subfolder; by default train.
      test_split: test rows, likewise; by default test, or validation if there is no test split.
      skip_damaged: leave out images that cannot be decoded, and say how many, instead of refusing them.
      tasks: number of tasks; by default that of the data sets if there are several, else as many as an
        option of the stream lists that has a value for each task (--stream.sizes, --stream.angles), else that
        of the stream, usually 5.
      scenario: task, domain or class incremental; by default that of the stream.
      epochs: passes over the training rows of each task; by default 10, and 1 without tasks.
      iterations: steps per task instead of epochs, in full batches drawn without replacement.
      batch_size: rows per step; by default that of the regime, usually 32.
      replay_batch_size: rows that each draw from the memory adds to a step; by default as many as batch_size.
      optimizer: algorithm that updates the weights; by default that of the regime, usually adam.
      learning_rate: learning rate of the optimizer; by default that of the method or the regime, for the
        optimizer that they have by default, usually 0.001.
      momentum: momentum of sgd, in [0, 1); by default that of the regime, usually 0.
      reset_optimizer: whether each task starts with a fresh optimizer state.
      isolate_heads: whether the optimizer's state, weight decay and averages leave the outputs of tasks that
        take no part in a step alone (task incremental).
      seeds: seeds of the model (weights, order of rows, dropout), one run per seed; several can be added to
        later; the stream has --stream.seed.
      stream_per_seed: whether each seed has a stream of its own, drawn with --stream.seed plus the seed.
      eval_every: measure accuracy after each task, or also after each epoch; with iterations, for each row of
        metrics.csv.
      eval_tasks: tasks that are evaluated: all; seen, those learned so far, in about half of the time (row 0
        of the matrix and what is above its diagonal are empty, and there is no forward transfer).
      early_stopping: epochs without a better validation loss after which a task ends, with the state of its
        best epoch; needs --stream.valid_fraction; 0 for none.
      curvature: number of largest eigenvalues of the loss's Hessian measured after each task; 0 for none.
      curvature_rows: rows per task used to measure curvature.
      generator_quality: number of images generated after each task to measure how good the generator is; 0
        for none.
      precision: precision of activations; variables, importances and logits are always float32.
      jit: whether XLA compiles the training loop; auto chooses the faster way, from measurements.
      device: device to run on; auto uses a GPU if there is one, and does not go on with a run of another
        device.
      strategy: how many devices share the rows of a step: none, one; mirrored, all GPUs of this machine;
        multiworker, those of all machines that TF_CONFIG names.
      run_dir: folder for results; by default a folder in runs/ named after the settings.
      export_dir: folder for the SavedModels, which are in a subfolder named like the run.
      keep: checkpoints that are kept, all or that of the last finished task alone.
      export: models that are exported, one after each task, the last one alone, or none.
      data_dir: folder of prepared tensorflow-datasets; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
      cache_dir: folder for decoded data; by default ~/.cache/keras_cl.
      tensorboard: log the run for TensorBoard, to tensorboard/ in its folder.
      mlflow: log the run to MLflow, at MLFLOW_TRACKING_URI.
      wandb: log the run to Weights & Biases.
      overwrite: remove an earlier run and start from the beginning.
      verbosity: 0, or 1 to show tracebacks and TensorFlow's own messages.
      options: options of the method, memory, stream and network as {"method.strength": 100.0}.
    """

    method: str = "ewc"
    memory: str = ""
    stream: str = "permuted"
    regime: str = "plain"
    network: str = ""
    augment: tuple[str, ...] = ()
    augment_rows: Literal["both", "current", "replayed"] = "both"
    dataset: str = "digits"
    image_size: str = ""
    color_mode: ColorMode = ""
    resizing: Resizing = "stretch"
    train_split: str = ""
    test_split: str = ""
    skip_damaged: bool = False
    tasks: int | None = None
    scenario: Literal["", "task", "domain", "class"] = ""
    epochs: int | None = None
    iterations: int = 0
    batch_size: int | None = None
    replay_batch_size: int = 0
    optimizer: Optimizer | None = None
    learning_rate: float | None = None
    momentum: float | None = None
    reset_optimizer: bool = True
    isolate_heads: bool = True
    seeds: tuple[int, ...] = (0,)
    stream_per_seed: bool = False
    eval_every: Literal["task", "epoch"] = "task"
    eval_tasks: Literal["all", "seen"] = "all"
    early_stopping: int = 0
    curvature: int = 0
    curvature_rows: int = 2048
    generator_quality: int = 0
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit: Literal["auto", "on", "off"] = "auto"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    run_dir: str = ""
    export_dir: str = "saved_models"
    keep: Literal["all", "last"] = "all"
    export: Literal["all", "last", "none"] = "all"
    data_dir: str = ""
    cache_dir: str = ""
    tensorboard: bool = False
    mlflow: bool = False
    wandb: bool = False
    overwrite: bool = False
    verbosity: int = 0
    options: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        require_usable(vars(self) | self.options)
        for axis in ("method", "regime"):
            catalog.choice(axis, getattr(self, axis))
        usual = catalog.usual(self.method, self.regime)
        if self.optimizer not in (None, "sgd"):  # the momentum of a regime is for its optimizer
            usual["momentum"] = 0.0
        if self.optimizer not in (None, usual["optimizer"]):  # and a learning rate for that of its optimizer
            usual["learning_rate"] = catalog.UNSAID["learning_rate"]
        for name in catalog.UNSAID:
            if getattr(self, name) in (None, ""):
                object.__setattr__(self, name, usual[name])
        for axis, name in self.choices.items():
            catalog.choice(axis, name)
        if self.epochs is None:
            object.__setattr__(self, "epochs", EPOCHS if catalog.has_tasks(self.stream) else 1)
        for field in dataclasses.fields(self):
            value, possible = getattr(self, field.name), choices_of(field.type)
            if possible and value not in possible:
                pick(f"--{field.name}", value, [choice for choice in possible if choice])
        checks.check_values(self, MEASUREMENTS)
        if not self.scenario:
            object.__setattr__(self, "scenario", catalog.usual_scenario(self.stream))
        if self.tasks is None:
            several = len(self.datasets) if len(self.datasets) > 1 else None
            object.__setattr__(self, "tasks", several or catalog.usual_tasks(self.stream, self.options))
        checks.check(self, SCENARIOS)
        object.__setattr__(self, "image_size", self.reading.image_size)  # 32 is 32x32
        self._check_options()

    @property
    def datasets(self):
        """Names of the data sets, usually one."""
        return sources.names(self.dataset)

    @property
    def choices(self):
        """`{axis: name}` of the choices; an axis without a choice has no entry, nor has a data set of the
        library."""
        chosen = {axis: getattr(self, axis) for axis in catalog.AXES if getattr(self, axis)}
        own_data = {"dataset": self.dataset} if catalog.is_external("dataset", self.dataset) else {}
        return chosen | own_data | catalog.several("augment", self.augment)

    @property
    def reading(self):
        """How the data set is read, a `Reading`."""
        return Reading(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)})

    @functools.cached_property
    def origins(self):
        """`{axis: origin}` of the choices that come from outside the library (see `Choice.origin`)."""
        found = {axis: catalog.choice(axis, name).origin for axis, name in self.choices.items()}
        return {axis: origin for axis, origin in found.items() if origin}

    def options_of(self, axis):
        """Options of the choice on an axis, by the parameter names of its constructor."""
        name = self.choices[axis] if "." in axis else getattr(self, axis)
        options = own_options(axis, name, self.method, self.regime)
        return {option.name: self.options.get(f"{axis}.{option.name}", option.default) for option in options}

    @functools.cached_property
    def settings(self):
        """All settings that decide the results, with the defaults of options: the content of config.json."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        kept = {k: v for k, v in fields.items() if k not in (*PLACES, *AFTERWARDS, "options")}
        for axis in self.choices:
            kept |= {f"{axis}.{option}": value for option, value in self.options_of(axis).items()}
        digests = [*filter(None, (sources.digest(name, self.reading) for name in self.datasets))]
        if digests:  # the data at the same path may change
            kept["dataset_sha256"] = ",".join(digests)
        for axis, origin in self.origins.items():  # and so may code
            kept[f"{axis}_sha256"] = origin["sha256"]
        # Without these a run has the name that it always had.
        without = ("augment", "augment_rows") if not self.augment else ()
        without += ("eval_tasks",) if self.eval_tasks == "all" else ()
        without += () if self.stream_per_seed else ("stream_per_seed",)
        return {name: value for name, value in kept.items() if name not in without}

    @classmethod
    def from_settings(cls, settings, data_dir="", cache_dir=""):
        """The `Config` with these `settings`, and with the folders of this machine."""
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        options = {k: plain.pop(k) for k in settings if "." in k}
        known = {k: plain.pop(k) for k in settings if k.endswith(DIGEST)}
        config = cls(**plain, options=options, data_dir=data_dir, cache_dir=cache_dir)
        for name, digest in known.items():
            given = settings[name.removesuffix(DIGEST)]
            require(
                config.settings.get(name) in (None, digest),
                f"{given} has changed since this run was started.",
            )
        return config

    @property
    def hash(self):
        """Six hexadecimal digits of the settings."""
        return digest(self.settings)

    def settings_of(self, seed):
        """The settings of the run of one seed."""
        return {**self.settings, "seeds": [seed]}

    @property
    def name(self):
        """Name of the run: the last part of its directory."""
        if self.run_dir:
            return pathlib.Path(self.run_dir).resolve().name
        # Without the digests of files: if a file was edited, its run is found and refused.
        known = {name: value for name, value in self.settings.items() if not name.endswith(DIGEST)}
        if len(self.seeds) > 1:  # others can be added
            del known["seeds"]
        chosen = external.short_name(self.method), external.short_name(self.stream), data_name(self.dataset)
        return f"{'-'.join(chosen)}-{self.scenario}-{digest(known)}"

    def name_of(self, axis):
        """Short name of the choice on an axis, without the folders and packages of code from outside."""
        return external.short_name(getattr(self, axis))

    @property
    def directory(self):
        """Folder for results."""
        return pathlib.Path(self.run_dir or f"runs/{self.name}")

    @property
    def known_options(self):
        """`{"method.strength": Option}` for all choices."""
        return {
            f"{axis}.{option.name}": option
            for axis, choice in self.choices.items()
            for option in own_options(axis, choice, self.method, self.regime)
        }

    def _check_options(self):
        known = self.known_options
        for name, value in self.options.items():
            if name not in known:
                near = did_you_mean(f"--{name}", [f"--{n}" for n in known])
                raise InputError(f"There is no option --{name} here.{near}")
            if known[name].choices:
                pick(f"--{name}", value, known[name].choices)


def own_options(axis, name, method, regime="plain"):
    """Options of one choice, with the defaults of the method and the regime: parameters that are neither
    settings nor passed by a run."""
    usual = catalog.usual(method, regime)
    supplied = SUPPLIED.get(axis, {field.name for field in dataclasses.fields(Config)})
    return [
        dataclasses.replace(option, default=usual.get(f"{axis}.{option.name}", option.default))
        for option in catalog.choice(axis, name).options
        if option.name not in supplied
    ]


def digest(settings):
    """Six hexadecimal digits of some settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
