"""Settings that do not go together."""

import pathlib

from keras_cl.errors import require
from keras_cl.settings import catalog


def check_values(config, measurements):
    """Raises `InputError` for values of single settings of a `Config` that are impossible."""
    for name in ("epochs", "batch_size", "curvature_rows"):
        require(getattr(config, name) >= 1, f"--{name} is {getattr(config, name)}; it must be at least 1.")
    for name in ("iterations", "replay_batch_size", "early_stopping", *measurements):
        require(getattr(config, name) >= 0, f"--{name} is {getattr(config, name)}; it must not be negative.")
    require(config.learning_rate > 0, f"--learning_rate is {config.learning_rate}; it must be above 0.")
    require(0 <= config.momentum < 1, f"--momentum is {config.momentum}; it must be at least 0 and below 1.")
    require(
        not config.momentum or config.optimizer == "sgd",
        f"--momentum is for --optimizer=sgd, and the optimizer is {config.optimizer}.",
    )
    seeds = ",".join(map(str, config.seeds))
    require(
        config.seeds and min(config.seeds) >= 0,
        f"--seeds is {seeds or 'empty'}; give whole numbers from 0 on.",
    )
    require(len(set(config.seeds)) == len(config.seeds), f"--seeds names a seed twice: {seeds}.")


def check(config, scenarios):
    """Raises `InputError` if settings of a `Config` do not go together; `scenarios` are all that exist."""
    able = catalog.choice("method", config.method).constants.get("scenarios", scenarios)
    require(
        config.scenario in able,
        f"The method {config.method} does not support the {config.scenario}-incremental scenario; possible: "
        f"{', '.join(able)}.",
    )
    for name in ("curvature", "generator_quality"):
        require(
            not getattr(config, name) or config.keep == "all",
            f"--{name} is measured from the checkpoints of all tasks; give --keep=all.",
        )
    for name in ("run_dir", "export_dir"):
        folder = getattr(config, name)
        unnamed = folder and not pathlib.Path(folder).resolve().name
        require(not unnamed, f"--{name} is {folder}; give a folder with a name.")
    require(
        not config.stream_per_seed or "stream.seed" in config.known_options,
        f"--stream_per_seed draws streams with --stream.seed, which {config.stream} does not have.",
    )
    require(
        config.augment or config.augment_rows == "both",
        f"--augment_rows is {config.augment_rows}, and there is no --augment; possible: "
        f"{', '.join(catalog.library.names('augment'))}.",
    )
    _check_pass(config)
    _check_memory(config)


def check_one_pass(plan):
    """Raises `InputError` if a `Config` or a `Plan` asks for more than a stream without tasks has."""
    require(
        plan.epochs == 1,
        f"--epochs is {plan.epochs}, and a stream without tasks is a single pass over its rows; give 1.",
    )
    for name in ("iterations", "early_stopping"):
        require(
            not getattr(plan, name),
            f"--{name} is {getattr(plan, name)}, and a stream without tasks is a single pass over its rows, "
            f"to its end; leave --{name} out.",
        )
    require(
        plan.eval_every == "task",
        f"--eval_every is {plan.eval_every}, and a stream without tasks is measured every so many "
        f"steps; give --stream.every.",
    )


def check_boundaries(model):
    """Raises `InputError` if a `ContinualModel`, as it was made, needs tasks."""
    require_no_boundaries(f"The method {model.name}", model.needs_boundaries)
    if model.memory is not None:
        require_no_boundaries("The memory", model.memory.needs_boundaries)


def require_no_boundaries(what, reason):
    """Raises `InputError` with the reason why a method or a memory needs the boundaries of tasks, if any."""
    alternatives = ", ".join(catalog.methods_without_tasks())
    able = f"; methods that learn without: {alternatives}" * what.startswith("The method")
    require(not reason, f"{what} {reason}, and this stream has no task boundaries{able}.")


def _check_pass(config):
    """One pass without tasks must be possible for the method and the memory."""
    if catalog.has_tasks(config.stream):
        return
    for axis in ("method", "memory") if config.memory else ("method",):
        name = getattr(config, axis)
        require_no_boundaries(f"The {axis} {name}", catalog.needs_boundaries(axis, name))
    check_one_pass(config)


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
