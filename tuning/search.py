"""Command line: searches the settings of a method on validation data of the first tasks of a stream.

python -m tuning.search --method=ewc --stream=split --dataset=mnist --tuner=bayesian --trials=20
"""

import math

from absl import app

from keras_cl.errors import require
from keras_cl.settings import command
from tuning import settings, workers

INTERRUPTED = "Interrupted; the same command without --overwrite resumes after the finished trials."


def main(search):
    """Searches, alone or as the chief or a worker of several processes; resumes a search that was begun."""
    from keras_cl.devices import device

    name = workers.role()
    device.prepare(search.config.device, quiet=not search.verbosity)
    from keras_cl.runs import measurements
    from keras_cl.runs.console import Display
    from keras_cl.settings.build import make_model, make_stream

    config, _ = search.configured({})
    display, stream = Display(), make_stream(config)
    model = make_model(config, stream, config.seeds[0])  # rejects bad options before any data is read
    measurements.check(config, model)  # for a run with the best settings
    if name in ("", workers.CHIEF):
        lead(search, stream, model, display, chief=bool(name))
    else:
        follow(search, stream, model, display, name)


def lead(search, stream, model, display, chief=False):
    """Runs the search, or serves its trials to workers, writes the results and returns the best record.

    Args:
      search: the `Search`.
      stream: the stream of the search, with validation rows; only its first `search.tasks` tasks are read.
      model: an untrained model of the search's settings.
      display: a `keras_cl.runs.console.Display`.
      chief: whether workers run the trials.

    Raises:
      InputError: if the directory holds another search, the data cannot be used, or every trial failed.
    """
    from keras_cl.runs.hardware import moved
    from keras_cl.runs.opening import open_run
    from keras_cl.runs.provenance import about
    from tuning import report
    from tuning.tuner import Tuner

    path, overwrite = search.directory, search.config.overwrite
    with open_run(path, search.settings, about(), overwrite, settings.KIND) as directory:
        if told := moved(directory, search.config.device):
            display.say(told)
        headline(search, stream, display)
        check_rows(search, stream, model)
        tuner = Tuner(search, stream, path, workers.CHIEF if chief else "alone", display)
        if chief:
            workers.serve(tuner.oracle, path / "workers", search.patience)
        else:
            tuner.search()
        return report.write(search, rows(tuner), directory, display)


def follow(search, stream, model, display, worker):
    """Runs trials that the chief chooses.

    Raises:
      InputError: if no chief answers, or it has another search.
    """
    from keras_cl.runs.opening import require_same
    from tuning.tuner import Tuner

    path = search.directory
    workers.wait_for_chief(search.patience)
    require_same(path, search.settings, settings.KIND)
    with workers.alive(path / "workers", worker):
        check_rows(search, stream, model)
        workers.work(Tuner(search, stream, path, worker, display))


def headline(search, stream, display):
    """Prints what is searched."""
    from tuning.space import said

    grid = f" in a grid of {math.prod(map(len, search.space.values()))}" if search.tuner == "grid" else ""
    display.say(
        f"{search.config.method} on {stream.name}: {search.tuner} search, up to {search.trials} trials{grid} "
        f"on the first {search.tasks} of {len(stream)} tasks; results go to {search.directory}"
    )
    for flag, values in search.space.items():
        display.say(f"  --{flag}  {said(values)}")


def check_rows(search, stream, model):
    """Reads the data; raises `InputError` if it cannot be used or a task has no validation rows."""
    if model.memory is not None:
        model.memory.require_images(stream)
    for task in stream[: search.tasks]:
        require(
            len(task.valid) and len(task.train),
            f"--valid_fraction={search.valid_fraction:g} leaves task {task.number} {len(task.valid)} rows to "
            f"measure on and {len(task.train)} to learn.",
        )


def rows(tuner):
    """Records of all trials, in order; a trial is lost if its worker died and no other took over."""
    from tuning.tuner import number

    found = []
    for trial in sorted(tuner.oracle.trials.values(), key=number):
        values, budget = tuner.asked(trial)
        lost = {"values": values, "budget": budget, "status": "lost", "numbers": {}, "seconds": 0.0}
        record = tuner.record(trial) or lost | {"message": "its worker died"}
        found.append({"number": number(trial), **record})
    return found


def cli():
    """What `keras-cl-search` and `python -m tuning.search` run."""
    app.run(command.plain(main, INTERRUPTED), flags_parser=command.parser(settings.parse))


if __name__ == "__main__":
    cli()
