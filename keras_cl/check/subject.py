"""A method trained on two tiny tasks of different length, which the laws in `keras_cl.check.laws` inspect."""

import contextlib
import dataclasses
import functools
import io
import pathlib
from unittest import mock

import numpy as np
from rich.console import Console

from keras_cl import train
from keras_cl.check.placement import as_on_gpu
from keras_cl.learning import batches
from keras_cl.learning.network import checked, image_shape
from keras_cl.runs import saved_model
from keras_cl.runs.console import Display
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config

ROWS = (3, 4, 5, 6)  # training rows of the four classes: with batches of 2, tasks of 4 and of 6 steps
MORE_ROWS = (7, 8, 15, 16)  # the same for batches that devices share; the last one has an odd number of rows
# Shapes of the images, from which a network from outside gets the first that it can be made for.
SHAPES = [(4, 4, 1), (8, 8, 1), (16, 16, 1), (32, 32, 1), (32, 32, 3), (64, 64, 3), (224, 224, 3)]
CHUNK = 4  # steps per chunk: the tasks have one and two chunks
# Options for small models and memories of the library, by axis and name.
SMALL = {
    "network": {"mlp": {"hidden": (8,), "dropout": 0.25}, "class_vaes": {"hidden": (8,), "latent": 2}},
    "memory": {
        "vae": {"hidden": (8,), "latent": 2},
        "gan": {"hidden": (8,), "latent": 2, "critic_steps": 2},
    },
    "method": {
        "generative_replay": {"images": 20},
        "rtf": {"latent": 2},
        "dgma": {"hidden": (6, 5), "latent": 2},
        "dgmw": {"hidden": (6, 5), "latent": 2},
        "lsa": {"hidden": 4, "bridge_iterations": 5},
    },
}


def small(method, memory="", network=""):
    """Options for small sizes of a method, its memory and its network, as for a `Config`."""
    usual = catalog.usual(method)
    chosen = {"method": method, "memory": memory or usual["memory"], "network": network or usual["network"]}
    return {
        f"{axis}.{name}": value
        for axis, choice in chosen.items()
        for name, value in SMALL[axis].get(choice, {}).items()
    }


def has_strength(method):
    """Whether a method has an option strength, of what holds its network; not of what holds a generator."""
    chosen = catalog.choice("method", method)
    holds_network = chosen.constants.get("protects", "network") == "network"
    return holds_network and any(option.name == "strength" for option in chosen.options)


def blobs(rows, *, labels=None, side=4, shape=None, dtype=np.uint8, seed=0):
    """Noisy images of one random prototype per class: `{"x_train", "y_train", "x_test", "y_test"}`.

    Args:
      rows: number of training rows per class; there are ten test rows per class.
      labels: labels of the classes, by default 0, 1, ...
      side: height and width of an image of one channel.
      shape: shape of an image, instead of `side`.
      dtype: uint8 (0 to 255) or a float type (0 to 1).
      seed: seed of everything.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(len(rows)) if labels is None else np.array(labels)
    shape = shape or (side, side, 1)
    prototypes = rng.uniform(0.2, 0.8, (len(rows), *shape))
    arrays = {}
    for part, counts in (("train", rows), ("test", [10] * len(rows))):
        place = rng.permutation(np.repeat(np.arange(len(rows)), counts))
        images = (prototypes[place] + rng.normal(0, 0.1, (len(place), *shape))).clip(0, 1)
        arrays[f"x_{part}"] = (
            np.rint(255 * images).astype(dtype) if dtype == np.uint8 else images.astype(dtype)
        )
        arrays[f"y_{part}"] = labels[place]
    return arrays


@dataclasses.dataclass
class Trained:
    """Results of a model that learned two tasks; lists have one entry per task."""

    model: object
    stream: object
    chunks: list = dataclasses.field(default_factory=list)  # types of the batches: one trace per type
    losses: list = dataclasses.field(default_factory=list)
    weights: list = dataclasses.field(default_factory=list)
    before_end: list = dataclasses.field(default_factory=list)  # logits of the task's test images
    after_end: list = dataclasses.field(default_factory=list)


class Subject:
    """A method with its memory and its network.

    Args:
      method: the method, as in a `Config`.
      folder: folder for data and runs; the caller removes it.
      options: options of the method, its memory and its network, as in a `Config`.
      eager: scenarios whose steps are not traced, to save time.
      finetuned: the `Subject` of fine-tuning to compare with; by default one with the same settings is made.
      **settings: further settings of the runs, such as the memory and the network.
    """

    how = {"jit": "on"}  # how steps are taken that are compared with those of fine-tuning
    runs_eagerly = False  # whether steps of runs by the command are not traced

    def __init__(self, method, folder, *, options=(), eager=(), finetuned=None, **settings):
        self.method, self.folder, self.eager = method, pathlib.Path(folder), eager
        self._options, self._settings, self._finetuned = dict(options), settings, finetuned
        self.folder.mkdir(exist_ok=True)
        self.dataset, self.larger = str(self.folder / "blobs.npz"), str(self.folder / "more.npz")
        self.scenarios = catalog.choice("method", method).constants.get("scenarios", SCENARIOS)
        self.has_strength = has_strength(method)
        self._write(SHAPES[0])
        if "network" in self.config(self.scenarios[-1]).origins:
            self._write(self._shape())
        self._trained_once = functools.cache(self._trained)
        self.commanded = functools.cache(self._commanded)
        self.exported = functools.cache(self._exported)

    def _write(self, shape):
        """Writes the data sets, of images of a shape."""
        for path, rows in ((self.dataset, ROWS), (self.larger, MORE_ROWS)):
            np.savez(path, **blobs(rows, shape=shape))

    def _shape(self):
        """The shape of images that the network takes, whatever it is given, or can be made for."""
        for shape in SHAPES:
            self._write(shape)
            config = self.config(self.scenarios[-1])
            try:
                make = catalog.load("network", config.network)
                network = checked(make(make_stream(config), **config.options_of("network")))
            except Exception:  # code from outside may raise anything; the laws say so
                continue
            takes = image_shape(network)
            return shape if None in takes else takes
        return SHAPES[0]

    @functools.cached_property
    def finetuned(self):
        """The `Subject` of fine-tuning with the same memory, network and regime."""
        if self._finetuned:
            return self._finetuned
        config = self.config(self.scenarios[-1])
        options = {name: value for name, value in config.options.items() if not name.startswith("method.")}
        settings = self._settings | {"memory": config.memory, "network": config.network}
        return Subject("finetune", self.folder / "finetune", options=options, **settings)

    def config(self, scenario, **given):
        """The `Config` of a run on two tasks, with further settings and, by name, options of the method, or
        of another choice, as in "stream.every"."""
        settings = {"stream": "permuted" if scenario == "domain" else "split", "batch_size": 2, "jit": "off"}
        settings |= {"dataset": self.dataset, "tasks": 2, "epochs": 1, **self._settings}
        fields = {field.name for field in dataclasses.fields(Config)}
        options = {name: given.pop(name) for name in given.keys() - fields}
        own = self._options | {n if "." in n else f"method.{n}": value for n, value in options.items()}
        config = Config(method=self.method, scenario=scenario, **settings | given)
        wanted = small(config.method, config.memory, config.network) | own
        return dataclasses.replace(
            config, options={k: v for k, v in wanted.items() if k in config.known_options}
        )

    def trained(self, scenario, *, jit="off", eagerly=None, device="", **options):
        """The `Trained` model of a scenario, trained once for the same arguments; `options` of the method.

        `device` is a second CPU that stands for a GPU.
        """
        eagerly = (jit == "off" and scenario in self.eager) if eagerly is None else eagerly
        return self._trained_once(scenario, jit, eagerly, device, **options)

    def _trained(self, scenario, jit, eagerly, device, **options):
        with as_on_gpu(device) if device else contextlib.nullcontext():
            return self._learned(scenario, jit, eagerly, **options)

    def _learned(self, scenario, jit, eagerly, **options):
        config = self.config(scenario, jit=jit, **options)
        stream = make_stream(config)
        model = make_model(config, stream, seed=0)
        model.run_eagerly = eagerly
        result = Trained(model, stream)
        for task in stream:
            x, _ = task.test.open()
            model.begin_task(task)
            with short_chunks():
                data = model.batches(task, config.batch_size, 0, config.replay_batch_size)
            fitted = model.fit(data, verbose=0)
            result.chunks.append(data.element_spec)
            result.before_end.append(model.predict_logits(x))
            model.end_task(task)
            result.after_end.append(model.predict_logits(x))
            result.weights.append(model.network.get_weights())
            result.losses += fitted.history["loss"]
        return result

    def _commanded(self):
        """The folder of a run by the command in the last scenario."""
        folder = self.folder / "whole"
        self.command(folder)
        return folder

    def command(self, folder):
        """Runs the command in a folder, or resumes the run in it."""
        places = {"run_dir": str(folder / "run"), "export_dir": str(folder / "models")}
        with short_chunks():
            train.run(self.config(self.scenarios[-1], **places), display=Display(Console(file=io.StringIO())))

    def _exported(self, scenario):
        """The folder of the SavedModel of the trained network."""
        result, folder = self.trained(scenario), self.folder / f"exported-{scenario}"
        saved_model.export(result.model.network, result.stream[-1], folder, {})
        return folder


@contextlib.contextmanager
def short_chunks():
    """Makes chunks short inside the `with` block, so that few steps are more than one chunk."""
    with mock.patch.object(batches, "chunk_length", lambda *_: CHUNK):
        yield
