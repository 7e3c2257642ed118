"""A run on disk and on the screen: directory, checkpoints, exported models, results, figures."""

import importlib

PUBLIC = {  # name: the module that defines it, imported at first use
    "load": "keras_cl.runs.data_frame",
    "TensorBoard": "keras_cl.runs.loggers.tensorboard",
    "MLflow": "keras_cl.runs.loggers.mlflow",
    "WandB": "keras_cl.runs.loggers.wandb",
}


def __getattr__(name):
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    raise AttributeError(f"module 'keras_cl.runs' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *PUBLIC])
