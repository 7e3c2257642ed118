"""The training of `keras_cl.main`: from settings, any number of seeds, several devices or workers."""

import dataclasses
import pathlib

import numpy as np
from rich.console import Console

from keras_cl import metrics
from keras_cl.curvature import measurement
from keras_cl.devices import workers
from keras_cl.devices.replicas import require_shares
from keras_cl.errors import require
from keras_cl.runs import figures
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.console import Display
from keras_cl.runs.directory import open_run
from keras_cl.runs.exports import Exports, claim
from keras_cl.runs.hardware import moved
from keras_cl.runs.learn import Plan, check, learn
from keras_cl.runs.provenance import about
from keras_cl.runs.results import mean_costs
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.notices import expectation


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
    display = display or Display(None if workers.writes(strategy) else Console(quiet=True))
    stream = make_stream(config)
    model = _model(config, stream, config.seeds[0], strategy)  # rejects bad options before any data is read
    display.begin(config.name_of("method"), stream, config.seeds, config.directory, device)
    measurement.check(config, model.network)
    check(model, stream, config)
    del model
    facts = {**about(), "origins": config.origins}
    with (
        workers.losses_told(config),
        workers.own_places(config, strategy) as config,
        open_run(config.directory, config.settings, facts, config.overwrite) as directory,
        display.logging(directory.path),
    ):
        if told := moved(directory, config.device):
            display.say(told)
        workers.shared(config, strategy)
        folder = pathlib.Path(config.export_dir, config.name)
        claim(folder, config.hash, config.overwrite)
        runs = _several_seeds if len(config.seeds) > 1 else _one_seed
        summary, matrix = runs(config, stream, directory, folder, display, strategy)
        display.results(matrix, summary, len(config.seeds))
        display.end(expectation(config), directory.path, folder)
        return summary


def _model(config, stream, seed, strategy):
    """The untrained model, whose steps all devices of the strategy share."""
    if strategy is None:
        return make_model(config, stream, seed)
    require(config.jit != "on", "--jit=on compiles steps of one device, and there are several: give auto.")
    for name in ("batch_size", "replay_batch_size"):
        require_shares(getattr(config, name), strategy.num_replicas_in_sync, f"--{name}")
    with strategy.scope():
        return make_model(config, stream, seed)


def _one_seed(config, stream, directory, folder, display, strategy):
    (seed,) = config.seeds
    learned = _complete(config, stream, seed, directory, folder, display, strategy)
    return learned.summary, learned.matrix


def _several_seeds(config, stream, directory, folder, display, strategy):
    everything = []
    for seed in config.seeds:
        display.say(f"seed {seed}")
        settings = {**config.settings, "seeds": [seed]}
        with open_run(directory.path / f"seed_{seed}", settings, about()) as part:
            own = folder / f"seed_{seed}"
            everything.append(_complete(config, stream, seed, part, own, display, strategy))
    matrices = np.array([learned.matrix for learned in everything])
    costs = mean_costs([learned.summary for learned in everything])
    summary = {**metrics.over_seeds([metrics.summary(R) for R in matrices]), **costs}
    if not directory.done:
        directory.write_matrix(matrices.mean(axis=0))
        directory.write_matrix(matrices.std(axis=0, ddof=1), "matrix_std.csv")
        directory.write_json("summary.json", {"seeds": config.seeds, **summary})
        figures.draw(directory.path)
        directory.finish()
    return summary, matrices.mean(axis=0)


def _complete(config, stream, seed, directory, folder, display, strategy):
    """Learns one seed if that is not done yet, and measures its curvature if the settings ask for it."""
    description = {"run": config.name, "method": config.name_of("method"), "seed": seed}
    description |= {"settings_hash": config.hash, "settings": config.settings}
    learned = learn(
        _model(config, stream, seed, strategy),
        stream,
        run_dir=directory,
        export_dir=Exports(folder, description),
        display=display,
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(Plan)},
    )
    figure = directory.path / "curvature.png"
    if config.curvature and not measurement.measured(config, stream, directory.path):
        figure.unlink(missing_ok=True)
        _measure_curvature(config, stream, seed, directory, display)
    if config.curvature and not figure.exists():
        figures.draw(directory.path)
    return learned


def _measure_curvature(config, stream, seed, directory, display):
    """Measures curvature from the checkpoints of a finished run, and writes curvature.csv."""
    model, states, records = make_model(config, stream, seed), [], []
    checkpoints = Checkpoints(model)
    for task in stream:
        checkpoints.read(directory.task_folder(task.number))
        states.append(model.network.get_weights())
    options = {"eigenvalues": config.curvature, "rows": config.curvature_rows, "seed": seed}
    for record in measurement.measure(model.network, stream, states, **options):
        records.append(record)
        display.say(f"curvature of task {record['task']}: {measurement.told(record)}")
    directory.write_table(measurement.FILE, records)
