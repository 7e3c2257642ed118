"""Several workers of one run: each computes the same, and the first one alone writes it down.

The others write into a folder of their own that goes with them. They begin with a copy of what the first one
has: so all go on after the same task, and the folder of the run has to be one that all can read.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile

import tensorflow as tf

from keras_cl.errors import InputError, require


def writes(strategy):
    """Whether it is for this process to write down what a run leaves; None stands for one device."""
    return strategy is None or strategy.extended.should_checkpoint


@contextlib.contextmanager
def own_places(config, strategy):
    """Gives the `Config` with the folders that this worker writes to, once the first one called `shared`."""
    if writes(strategy):
        yield config
        if _several(strategy):
            _agree(strategy)  # whoever ends first takes the others along
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {"run_dir": f"{folder}/runs/{config.name}", "export_dir": f"{folder}/models"}
        own = dataclasses.replace(config, **places, overwrite=False)
        _agree(strategy)
        for theirs, ours in zip(_folders(config), _folders(own), strict=True):
            if theirs.is_dir():
                shutil.copytree(theirs, ours)
        _agree(strategy, _finished(own))
        yield own
        _agree(strategy)


def shared(config, strategy):
    """Tells the other workers that the run was opened, and lets them copy it."""
    if _several(strategy) and writes(strategy):
        _agree(strategy)
        _agree(strategy, _finished(config))


@contextlib.contextmanager
def losses_told(config):
    """One sentence where another worker was lost."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise InputError(
            f"Another worker ended or cannot be reached. The same commands, started again, go on after the "
            f"last task that is finished in {config.directory}."
        ) from error


def _several(strategy):
    return strategy is not None and strategy.cluster_resolver


def _folders(config):
    """What a worker copies: the run and, where they are to be gone on with, its models."""
    models = () if config.overwrite else (pathlib.Path(config.export_dir, config.name),)
    return config.directory, *models


def _finished(config):
    """How many tasks there are, in checkpoints and in models."""
    patterns = "checkpoints/task_*", "**/task.json"
    return sum(
        1 for folder, kept in zip(_folders(config), patterns, strict=False) for _ in folder.rglob(kept)
    )


def _agree(strategy, number=0):
    """Waits for all workers, and refuses to go on if they do not come with the same number of tasks."""
    numbers = strategy.gather(strategy.run(lambda: tf.constant([number])), axis=0).numpy()
    require(
        (numbers == number).all(),
        f"The workers find {', '.join(map(str, numbers))} checkpoints and models; --run_dir and "
        f"--export_dir have to be folders that all of them can read.",
    )
