"""Hooks of callbacks beyond those of Keras: the run and its tasks begin and end.

    on_run_begin(description)      before the first task; `description` is a dict, see `announced`
    on_task_begin(task)            before a task is learned
    on_epoch_recorded(task, record)   a record of the training on the task, as in metrics.csv
    on_task_end(task, results)     the task is finished and stored; `results` are the `Results` so far
    on_run_end(results)            all tasks are finished, and the files of the run are written
    on_run_stopped(results, error) the run ended before, by an error or because it was stopped

A callback has those that it needs.
"""

import contextlib

from keras_cl.runs.files import read_json
from keras_cl.runs.provenance import about, described


def tell(callbacks, hook, *given):
    """Calls a hook of every callback that has it."""
    for callback in callbacks:
        if hasattr(callback, hook):
            getattr(callback, hook)(*given)


@contextlib.contextmanager
def announced(callbacks, model, stream, plan, directory, results):
    """Inside the `with` block a run is trained; tells the callbacks of its beginning and its end.

    The description is a dict: name of the run, method, seed, path (None if nothing is stored), settings,
    versions, and results (`Results`, to which the run adds).
    """
    try:
        if any(hasattr(callback, "on_run_begin") for callback in callbacks):
            tell(callbacks, "on_run_begin", _description(model, stream, plan, directory, results))
        yield
    except BaseException as error:
        tell(callbacks, "on_run_stopped", results, error)
        raise
    tell(callbacks, "on_run_end", results)


def _description(model, stream, plan, directory, results):
    path, name = directory.path, f"{model.name}-{stream.name}"
    if path:
        config = read_json(path / "config.json")
        name = f"{path.parent.name}/{path.name}" if path.name == f"seed_{model.seed}" else path.resolve().name
    else:
        config = {"settings": described(model, stream, plan.settings), **about()}
    facts = {"name": name, "method": model.name, "seed": model.seed, "path": path, "results": results}
    return facts | {"settings": config["settings"], "versions": config["versions"]}
