"""Settings that do not go together."""

import pathlib

from keras_cl.errors import require
from keras_cl.settings import catalog


def check(config):
    """Raises `InputError` if settings of a `Config` do not go together."""
    require(
        not config.curvature or config.keep == "all",
        "--curvature is measured from the checkpoints of all tasks; give --keep=all.",
    )
    for name in ("run_dir", "export_dir"):
        folder = getattr(config, name)
        unnamed = folder and not pathlib.Path(folder).resolve().name
        require(not unnamed, f"--{name} is {folder}; give a folder with a name.")
    _check_memory(config)


def _check_memory(config):
    """The memory, and the rows replayed from it, must be possible for the method."""
    possible = catalog.possible_memories(config.method)
    able = not config.memory or catalog.can_have(config.method, config.memory)
    require(
        not config.memory or possible or able,
        f"--memory is {config.memory}, and the method {config.method} can have no memory.",
    )
    require(
        able,
        f"The method {config.method} cannot have the memory {config.memory}; possible: "
        f"{', '.join(possible)}.",
    )
    draws = catalog.choice("method", config.method).constants.get("draws", 1)
    require(
        draws or not config.replay_batch_size,
        f"--replay_batch_size is {config.replay_batch_size}, and the method {config.method} does not replay "
        f"rows in its steps.",
    )
    require(
        config.memory or not config.replay_batch_size,
        f"--replay_batch_size is {config.replay_batch_size}, and there is no --memory to replay rows from; "
        f"possible: {', '.join(possible) or 'none'}.",
    )
