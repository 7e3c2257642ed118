"""What the tests of the pipeline's models share: tasks taken through its components one after the other."""

import json
import pathlib

import numpy as np
from helpers import blobs, silent
from processes import small

from keras_cl import train
from pipelines.components.evaluator import evaluator
from pipelines.components.example_gen import example_gen
from pipelines.components.trainer import trainer
from pipelines.settings import text_of


def tiny(folder, rows=(24,) * 6, **settings):
    """A `Config` of three tasks of two classes each, trained in a moment by library and pipeline."""
    folder.mkdir(exist_ok=True)
    if not (folder / "blobs.npz").exists():
        np.savez(folder / "blobs.npz", **blobs(rows))
    given = {"dataset": str(folder / "blobs.npz"), "stream": "split", "tasks": 3, "batch_size": 8}
    return small(folder, **{**given, "method": "ewc", "epochs": 2, "optimizer": "adam", **settings})


class Line:
    """The artifacts of a config's tasks, in folders `<name>_<task>`.

    Args:
      folder: where they are.
      config: the `Config`.
      base: a `Line` whose artifacts are used where it has them.
    """

    def __init__(self, folder, config, base=None):
        self.folder, self.settings, self.base = pathlib.Path(folder), text_of(config), base

    def path(self, name, number):
        """Folder of an artifact, as text; "" before the first task."""
        known = self.base and self.base.path(name, number)
        if known and pathlib.Path(known).exists():
            return known
        return str(self.folder / f"{name}_{number}") if number else ""

    def generate(self, number, arrived=""):
        """Takes a task through the ExampleGen, from the stream or from a file that arrived."""
        places = self.path("examples", number - 1), self.path("examples", number)
        example_gen(self.settings, number, str(arrived), *places, "")

    def train(self, number, hyperparameters=""):
        """Takes a task through the Trainer."""
        previous = self.path("model", number - 1)
        places = (self.path("examples", number), previous, hyperparameters, self.path("model", number))
        trainer(self.settings, number, *places)

    def evaluate(self, number):
        """Takes a task through the Evaluator."""
        places = ("model", number), ("examples", number), ("evaluation", number - 1), ("evaluation", number)
        evaluator(self.settings, *(self.path(*place) for place in places))

    def read(self, name, number, file):
        """The JSON in a file of an artifact."""
        return json.loads(pathlib.Path(self.path(name, number), file).read_text())


def library(config):
    """Trains by `keras_cl.main`'s own function; its run directory."""
    train.run(config, display=silent())
    return pathlib.Path(config.run_dir)
