"""Provenance of a run: versions, the commit, and a description of a model made in Python."""

import contextlib
import json
import pathlib
import platform
import subprocess

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_cl
from keras_cl.devices import device
from keras_cl.methods.base import PLAIN


def about():
    """Versions, commit and device, which config.json records beside the settings."""
    versions = {"keras_cl": keras_cl.__version__, "python": platform.python_version()}
    versions |= {module.__name__: module.__version__ for module in (tf, keras, np)}
    return {"versions": versions, "commit": _commit(), "devices": [device.kind()]}


def described(model, stream, plan):
    """The settings in config.json of a run that was begun from Python, as far as they can be read.

    Args:
      model: a compiled `ContinualModel`.
      stream: a `Stream`.
      plan: dict of how each task is trained.
    """
    told = {
        "program": "keras_cl.learn",
        "method": model.name,
        "memory": _told(model.memory),
        "stream": stream.name,
        "regime": _told(model.regime),
        "network": type(model.network).__name__,  # its name counts what was made before
        "network_weights": [list(weight.shape) for weight in model.network.weights],
        "optimizer": model.optimizer.get_config(),
        "scenario": stream.scenario,
        "dataset": "",
        "task_classes": stream.task_classes,
        "input_shape": stream.input_shape,
        "valid_fraction": stream.valid_fraction,
        "stream_seed": stream.seed,
        **({"train_rows": _rule(stream.train_rows)} if stream.train_rows else {}),
        "seeds": [model.seed],
        "reset_optimizer": model.reset_optimizer,
        "isolate_heads": model.isolate_heads,
        **model.told_losses,
        **plan,
        **{f"method.{name}": value for name, value in model.options.items()},
    }
    if stream.every:
        parts = {"task_classes": stream.phases.task_classes, "train_rows": _rule(stream.phases.train_rows)}
        told |= {"stream.every": stream.every, "stream.phases": parts}
    if model.augment.parts:
        told |= {
            "augment": [_told(part) for part in model.augment.parts],
            "augment_rows": model.augment.rows,
        }
    return json.loads(json.dumps(told, default=float))


def _rule(function):
    """The name of a function, and the arguments that were fixed by `functools.partial`."""
    plain = getattr(function, "func", function)
    return {"name": getattr(plain, "__name__", type(plain).__name__), **getattr(function, "keywords", {})}


def _told(part):
    """The class name of a memory, a regime or an augmentation, and its attributes that are plain values."""
    if part is None:
        return None
    plain = {n: v for n, v in vars(part).items() if isinstance(v, PLAIN) and not n.startswith("_")}
    return {"name": type(part).__name__, **plain}


def _commit():
    """Commit of the checkout of this library, with "-dirty" if files have changed; None if unknown."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*arguments):
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() == root:
            changed = git("status", "--porcelain", "--untracked-files=no")
            return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    return None
