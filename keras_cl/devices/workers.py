"""Several workers of one run: all compute the same, and only the first one writes the results.

The others write to a temporary folder. They start with a copy of what the first one has, so that all resume
after the same task; the folder of the run must be readable by all of them.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile

import tensorflow as tf

from keras_cl.errors import InputError, require


def writes(strategy):
    """Whether this process writes the results of a run; a strategy of None means one device."""
    return strategy is None or strategy.extended.should_checkpoint


@contextlib.contextmanager
def own_places(config, strategy):
    """Yields the `Config` with this worker's output folders, once the first worker has called `shared`."""
    if writes(strategy):
        yield config
        if _several(strategy):
            _agree(strategy)  # the first worker to exit would end the others
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
    """Tells the other workers that the run is open, and lets them copy it."""
    if _several(strategy) and writes(strategy):
        _agree(strategy)
        _agree(strategy, _finished(config))


@contextlib.contextmanager
def losses_told(config):
    """Raises `InputError` with one sentence if another worker is lost."""
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
    """Folders that a worker copies: the run and, if it is resumed, its models."""
    models = () if config.overwrite else (pathlib.Path(config.export_dir, config.name),)
    return config.directory, *models


def _finished(config):
    """Number of finished tasks in checkpoints plus those in models."""
    patterns = "checkpoints/task_*", "**/task.json"
    return sum(
        1 for folder, kept in zip(_folders(config), patterns, strict=False) for _ in folder.rglob(kept)
    )


def _agree(strategy, number=0):
    """Waits for all workers; raises `InputError` if they do not all have the same number of tasks."""
    numbers = strategy.gather(strategy.run(lambda: tf.constant([number])), axis=0).numpy()
    require(
        (numbers == number).all(),
        f"The workers find {', '.join(map(str, numbers))} checkpoints and models; --run_dir and "
        f"--export_dir have to be folders that all of them can read.",
    )
