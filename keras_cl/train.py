"""The training of `keras_cl.main`: from settings, any number of seeds, several devices or workers."""

import dataclasses
import pathlib

import numpy as np
from rich.console import Console

from keras_cl import metrics
from keras_cl.devices import workers
from keras_cl.devices.replicas import require_shares
from keras_cl.errors import require
from keras_cl.report import figures
from keras_cl.report.write import complete
from keras_cl.runs import loggers, measurements
from keras_cl.runs.console import Display
from keras_cl.runs.directory import matrix_csv
from keras_cl.runs.exports import Exports, claim
from keras_cl.runs.files import as_json
from keras_cl.runs.hardware import moved
from keras_cl.runs.opening import open_run
from keras_cl.runs.plan import Plan, check
from keras_cl.runs.provenance import about
from keras_cl.runs.quality.table import numbers
from keras_cl.runs.results import Results, mean_costs, measures_over_seeds
from keras_cl.settings.build import make_model, make_stream, stream_of_seed
from keras_cl.settings.config import digest
from keras_cl.settings.notices import expectation
from keras_cl.task_loop import learn, told_lost


def run(config, device="cpu", display=None, strategy=None):
    """Trains the method of `config` on its stream, once per seed; resumes a run that was stopped.

    Args:
      config: a `Config`.
      device: name of the device, for the headline.
      display: `Display` for the progress; by default the screen, or nothing for workers that do not write.
      strategy: the `tf.distribute` strategy whose devices share each step; None for one device.

    Returns:
      the summary of the run: the numbers of one seed, or mean and spread over several seeds.

    Raises:
      InputError: one sentence about an error that a user can correct.
    """
    loggers.chosen(config)  # a missing package is said before anything is read
    display = display or Display(None if workers.writes(strategy) else Console(quiet=True))
    stream = make_stream(config)
    model = _model(config, stream, config.seeds[0], strategy)  # rejects bad options before any data is read
    display.begin(config.name_of("method"), stream, config.seeds, config.directory, device)
    measurements.check(config, model)
    with display.working() as progress:
        stream.read(progress)
    check(model, stream, config)
    del model
    facts = {**about(), "origins": config.origins}
    with (
        workers.losses_told(config),
        workers.own_places(config, strategy) as config,
        open_run(config.directory, config.settings, facts, config.overwrite, grows=("seeds",)) as directory,
        display.logging(directory.path),
    ):
        if told := moved(directory, config.device):
            display.say(told)
        workers.shared(config, strategy)
        folder = pathlib.Path(config.export_dir, config.name) if config.export != "none" else None
        if folder:
            claim(folder, _owners(config), config.overwrite)
        runs = _several_seeds if len(config.seeds) > 1 else _one_seed
        measured = measurements.Measurements(config, stream)
        summary, matrix = runs(config, stream, directory, folder, display, strategy, measured)
        display.results(matrix, summary, len(config.seeds))
        display.end(expectation(config), directory.path, folder)
        return summary


def _owners(config):
    """`{folder: hash}` of the settings of the models in the folders of the seeds."""
    several = len(config.seeds) > 1
    return {f"seed_{seed}" if several else "": digest(config.settings_of(seed)) for seed in config.seeds}


def _model(config, stream, seed, strategy):
    """The untrained model, whose steps all devices of the strategy share."""
    if strategy is None:
        return make_model(config, stream, seed)
    require(config.jit != "on", "--jit=on compiles steps of one device, and there are several: give auto.")
    for name in ("batch_size", "replay_batch_size"):
        require_shares(getattr(config, name), strategy.num_replicas_in_sync, f"--{name}")
    with strategy.scope():
        return make_model(config, stream, seed)


def _one_seed(config, stream, directory, folder, display, strategy, measured):
    (seed,) = config.seeds
    learned = _complete(config, stream, seed, directory, folder, display, strategy, measured)
    return learned.summary, learned.matrix


def _several_seeds(config, first, directory, folder, display, strategy, measured):
    everything, results, stream = [], [], first
    for place, seed in enumerate(config.seeds):
        display.place = place, len(config.seeds)
        display.say(f"seed {seed}")
        if config.stream_per_seed:
            stream = stream_of_seed(config, first, seed)
            measured = measurements.Measurements(config, stream)
        with open_run(directory.path / f"seed_{seed}", config.settings_of(seed), about()) as part:
            own = folder and folder / f"seed_{seed}"
            everything.append(_complete(config, stream, seed, part, own, display, strategy, measured))
            results.append(Results(part.records()))
    matrices = np.array([learned.matrix for learned in everything])
    costs = mean_costs([learned.summary for learned in everything])
    summary = {**metrics.over_seeds([one.metrics() for one in results]), **costs}
    if lost := directory.changed():
        display.say(told_lost(directory, lost))
    told = {"seeds": config.seeds, **summary}
    if not _shows(directory, matrices.mean(axis=0), told):
        directory.write_matrix(matrices.mean(axis=0))
        directory.write_matrix(matrices.std(axis=0, ddof=1), "matrix_std.csv")
        directory.write_measures(*measures_over_seeds(results))
        directory.write_json("summary.json", told)
        figures.draw(directory.path)
    complete(directory)
    return summary, matrices.mean(axis=0)


def _shows(directory, R, summary):
    """Whether a run is complete with the accuracy matrix R and this summary, and nothing was changed."""
    content = {"matrix.csv": matrix_csv(R), "summary.json": as_json(summary)}
    whole = directory.done and not directory.changed()
    return whole and all((directory.path / name).read_text() == text for name, text in content.items())


def _complete(config, stream, seed, directory, folder, display, strategy, measured):
    """Learns one seed if that is not done yet, and measures afterwards what the settings ask for."""
    settings = config.settings_of(seed)
    description = {"run": config.name, "method": config.name_of("method"), "seed": seed}
    description |= {"settings_hash": digest(settings), "settings": settings}
    missing, lost = measured.begin(directory)
    learned = learn(
        _model(config, stream, seed, strategy),
        stream,
        run_dir=directory,
        export_dir=folder and Exports(folder, description, directory.identity, config.export),
        keep=config.keep,
        callbacks=loggers.chosen(config) if workers.writes(strategy) else (),
        display=display,
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(Plan)},
    )
    measured.take(missing, seed, directory, display)
    if measured.undrawn(directory):
        figures.draw(directory.path)
    summary = learned.summary | numbers(directory.path, len(stream))
    if directory.path.joinpath("summary.json").read_text() != as_json(summary):
        directory.write_json("summary.json", summary)
    if lost:
        for name in lost:
            display.say(f"{directory.path / name}.csv was lost or edited; --{name} measures it again.")
    elif len(config.seeds) > 1:  # the report is of all of them
        directory.finish()
    else:
        complete(directory)
    return learned._replace(summary=summary)
