"""Training: fit, end, evaluate, export, checkpoint each task. `run(config)` is what `keras_cl.main` does."""

import pathlib
import time

import numpy as np
from rich.console import Console

from keras_cl import metrics
from keras_cl.curvature import measurement
from keras_cl.devices import workers
from keras_cl.devices.replicas import require_shares
from keras_cl.errors import Diverged, require
from keras_cl.runs import figures, samples
from keras_cl.runs.checkpoints import Checkpoints, Exports
from keras_cl.runs.console import Display
from keras_cl.runs.directory import open_run
from keras_cl.runs.history import EpochHistory, title_of
from keras_cl.runs.provenance import about
from keras_cl.runs.results import Results, mean_costs, plain
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.notices import expectation


def run(config, device="cpu", display=None, strategy=None):
    """Trains the method of `config` over its stream, once for each seed; goes on with what was begun.

    Args:
      config: a `Config`.
      device: name of the device, for the headline.
      display: where to show progress; the screen by default, nowhere for workers that do not write.
      strategy: the `tf.distribute` strategy whose devices take each step together; None for one device.

    Returns:
      the summary of the run: one seed's numbers, or mean and spread over several seeds.

    Raises:
      InputError: for everything that a user can mend, in one sentence.
    """
    display = display or Display(None if workers.writes(strategy) else Console(quiet=True))
    stream = make_stream(config)
    model = _model(config, stream, config.seeds[0], strategy)  # refuses bad options before any data is read
    headline = display.headline(config, stream, device)
    measurement.check(config, model.network)
    _check_clock(config)
    _check_rows(config, stream)
    if model.memory is not None:
        model.memory.require_images(stream)
    del model
    with (
        workers.losses_told(config),
        workers.own_places(config, strategy) as config,
        open_run(config.directory, config.settings, about(), config.overwrite) as directory,
        display.logging(directory.path / "log.txt"),
    ):
        workers.shared(config, strategy)
        display.note(headline)
        runs = _several_seeds if len(config.seeds) > 1 else _one_seed
        return runs(config, stream, directory, display, strategy)


def _model(config, stream, seed, strategy):
    """The model, untrained, whose steps are taken by all devices of the strategy."""
    if strategy is None:
        return make_model(config, stream, seed)
    require(config.jit != "on", "--jit=on compiles steps of one device, and there are several: give auto.")
    for name in ("batch_size", "replay_batch_size"):
        require_shares(getattr(config, name), strategy.num_replicas_in_sync, f"--{name}")
    with strategy.scope():
        return make_model(config, stream, seed)


def _check_clock(config):
    """Refuses a schedule by the epoch where a task has none."""
    regime = config.options_of("regime")
    waits = regime["schedule"] == "plateau" or (
        regime["clock"] == "epoch" and (regime["schedule"] != "constant" or regime["warmup"])
    )
    require(
        not (config.iterations and waits),
        "Where --iterations is given there are no epochs, and the learning rate would wait for them; give "
        "--regime.clock=step or task, and another schedule than plateau.",
    )


def _check_rows(config, stream):
    """Reads the data, or says why it cannot; refuses tasks that are too small before anything is trained."""
    for task in stream:
        rows = len(task.train)
        require(
            rows >= config.batch_size,
            f"--batch_size is {config.batch_size} and task {task.number} has only {rows} training rows; give "
            f"at most that many.",
        )
        require(len(task.test), f"Task {task.number} has no test rows: its classes are {task.classes}.")


def learn(config, stream, seed, directory, exports, display, strategy=None):
    """Learns the tasks that `directory` has not finished yet; returns the `Results` of all."""
    model = _model(config, stream, seed, strategy)
    checkpoints, results = Checkpoints(model), Results(directory.finished())
    exports.claim()
    if not len(results):
        untrained = results.add(model, model.accuracies(stream, after=0))
        directory.commit(0, untrained, checkpoints.write)
    else:
        _restore(model, stream, directory, checkpoints, exports, results, display)
    todo = stream[results.tasks :]
    trained = sum(bool(model.training_tasks(task)) for task in todo)
    with display.training(trained * passes(config)) as progress:
        for task in todo:
            started = time.monotonic()
            epochs = _learned(model, task, config, progress, directory)
            seconds = round(time.monotonic() - started, 3)

            row = model.accuracies(stream)
            if epochs:
                epochs[-1]["accuracies"] = plain(row)
            record = results.add(model, row, len(task.train), seconds, epochs)
            if model.memory is not None and model.memory.generates:
                record["generated_labels"] = samples.label_counts(task, model.memory, stream.num_classes)
                samples.draw(directory.path, task, model.memory)
            exports.write(model, task, results)
            directory.commit(task.number, record, checkpoints.write)
            directory.write_results(results)
            display.learned(title_of(task), seconds, row[: task.number], record["report"])
    return results


def passes(config):
    """How often `fit` goes over a task's data set, which with --iterations holds all steps of the task."""
    return 1 if config.iterations else config.epochs


def _learned(model, task, config, progress, directory):
    """Learns a task; returns the record of each epoch, none where the method waits."""
    progress.begin(title_of(task))
    try:
        return learn_task(model, task, config, progress)
    except Diverged as error:
        kept = f"What was finished, up to task {task.index}, is kept in {directory.path}. "
        raise Diverged(f"{error}. {kept if task.index else ''}A smaller --learning_rate may help.") from None


def learn_task(model, task, config, *callbacks):
    """Learns one task as the settings say; returns the record of each epoch, none where the method waits.

    Raises:
      Diverged: if the loss or the weights are no longer numbers.
    """
    model.begin_task(task)
    epochs = _fit(model, task, config, callbacks) if model.training_tasks(task) else []
    model.end_task(task)
    return epochs


def _fit(model, task, config, callbacks):
    record = EpochHistory(model, task, measured=config.eval_every == "epoch")
    batches = model.batches(task, config.batch_size, config.iterations, config.replay_batch_size)
    model.fit(batches, epochs=passes(config), verbose=0, callbacks=[record, *callbacks])
    # The loss of a step is that before it: only the weights tell whether the last step went well.
    if not all(np.isfinite(variable).all() for variable in (*model.network.weights, *model.trained)):
        raise Diverged(f"The weights are no longer finite after {title_of(task)}")
    return record.epochs


def _restore(model, stream, directory, checkpoints, exports, results, display):
    """Brings back the model of the last finished task, and any exported model that went missing."""
    for task in stream[: results.tasks]:
        if not exports.has(task):
            checkpoints.read(directory.task_folder(task.number))
            exports.write(model, task, results.up_to(task.number))
    checkpoints.read(directory.task_folder(results.tasks))
    if results.tasks:
        display.say(f"going on after task {results.tasks}")


def _one_seed(config, stream, directory, display, strategy):
    (seed,) = config.seeds
    exports = Exports(pathlib.Path(config.export_dir, config.name), config, seed)
    results = _complete(config, stream, seed, directory, exports, display, strategy)
    summary = results.summary()
    display.matrix(results.matrix, "Accuracy (percent) on the test images of each task")
    display.summary(summary)
    display.sizes(summary)
    display.end(expectation(config), directory.path, exports.folder)
    return summary


def _several_seeds(config, stream, directory, display, strategy):
    everything = []
    for seed in config.seeds:
        display.say(f"seed {seed}")
        settings = {**config.settings, "seeds": [seed]}
        exports = Exports(pathlib.Path(config.export_dir, config.name, f"seed_{seed}"), config, seed)
        with open_run(directory.path / f"seed_{seed}", settings, about()) as part:
            everything.append(_complete(config, stream, seed, part, exports, display, strategy))
    matrices = np.array([results.matrix for results in everything])
    summary = {**metrics.over_seeds([metrics.summary(R) for R in matrices]), **mean_costs(everything)}
    if not directory.done:
        directory.write_matrix(matrices.mean(axis=0))
        directory.write_matrix(matrices.std(axis=0, ddof=1), "matrix_std.csv")
        directory.write_json("summary.json", {"seeds": config.seeds, **summary})
        figures.draw(directory.path)
        directory.finish()
    display.matrix(matrices.mean(axis=0), f"Mean accuracy (percent) over {len(matrices)} seeds")
    display.summary(summary)
    display.sizes(summary)
    display.end(expectation(config), directory.path, exports.folder.parent)
    return summary


def _complete(config, stream, seed, directory, exports, display, strategy):
    """The `Results` of one seed, learned now where they are not there yet."""
    results = Results(directory.finished())
    complete = directory.done and results.tasks == len(stream) and all(map(exports.has, stream))
    if complete:
        display.say(f"{directory.path} is complete; --overwrite would train it afresh.")
    else:
        results = learn(config, stream, seed, directory, exports, display, strategy)
        directory.write_results(results)
        directory.write_json("summary.json", results.summary())
    figure = directory.path / "curvature.png"
    if config.curvature and not measurement.measured(config, stream, directory.path):
        figure.unlink(missing_ok=True)
        _measure_curvature(config, stream, seed, directory, display)
    if not complete or (config.curvature and not figure.exists()):
        figures.draw(directory.path)
        directory.finish()
    return results


def _measure_curvature(config, stream, seed, directory, display):
    """Writes curvature.csv, from the checkpoints of a stream that has been learned."""
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
