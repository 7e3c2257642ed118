"""Searches: what is measured, what is found and written, how they go on, and by several processes."""

import contextlib
import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs
from processes import ROOT, sentence

from keras_cl import sources, streams
from keras_cl.devices import device
from keras_cl.errors import Diverged, InputError
from keras_cl.settings import command, flags
from keras_cl.settings.build import make_model, make_stream
from tuning import search as program
from tuning import settings, trial, workers

SMALL = ("--tasks=3", "--tuning_tasks=2", "--network.hidden=16", "--iterations=4", "--jit=off", "--method=l2")
TUNERS = ("bayesian", "random", "hyperband", "grid")


def said(*given):
    """Exit code, standard output and standard error of `tuning.search` with some flags, in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(device, "prepare", return_value="cpu"),
        mock.patch.object(os, "_exit", side_effect=sys.exit),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main = command.plain(program.main, program.INTERRUPTED)
            main(command.parser(settings.parse)(["search", *SMALL, *map(str, given)]))
        except SystemExit as end:
            code = end.code
    return code, output.getvalue(), errors.getvalue()


@pytest.fixture
def tried(monkeypatch):
    """Replaces training by a formula, best at a learning rate of .01; the configurations that were tried."""
    calls = []

    def numbers(config, stream, tasks):
        calls.append((config, tasks))
        value = 1 - abs(np.log10(config.learning_rate) + 2) / 10 - 0.01 * config.options["method.strength"]
        return {"average_accuracy": float(value), "forgetting": float(config.options["method.strength"])}

    monkeypatch.setattr("tuning.tuner.numbers", numbers)
    return calls


def rows_of(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def values_of(folder):
    """What was tried, in order, and what it came to."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(folder)]


# ---- a search as it is -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Directory of a small search that really trained, and what it printed."""
    folder = tmp_path_factory.mktemp("finished") / "search"
    given = ("--tuner=random", "--trials=2", "--seeds=0,1", "--batch_size=64", f"--search_dir={folder}")
    code, output, errors = said(*given)
    assert code == 0, errors
    return folder, output


def test_a_search_leaves_every_file_and_prints_the_table(finished):
    folder, output = finished
    assert {"best.flags", "trials.csv", "trials.png", "tensorboard", "config.json"} <= set(os.listdir(folder))
    assert "random search, up to 2 trials on the first 2 of 3 tasks" in output
    assert "│ best │" in output and f"--flagfile={folder / 'best.flags'}" in output
    for row in rows_of(folder):
        assert row["status"] == "completed" and row["learning_rate"] in output


def test_the_winner_is_a_flagfile_of_what_was_given_and_found(finished):
    folder, _ = finished
    best = max(rows_of(folder), key=lambda row: float(row["average_accuracy"]))
    assert (folder / "best.flags").read_text().splitlines() == [
        "--method=l2",
        "--tasks=3",
        "--iterations=4",
        "--batch_size=64",
        "--seeds=0,1",
        "--jit=off",
        "--network.hidden=16",
        f"--learning_rate={best['learning_rate']}",
        f"--method.strength={best['method.strength']}",
    ]
    config = flags.parse(["", f"--flagfile={folder / 'best.flags'}"])
    assert (config.seeds, config.options["network.hidden"]) == ((0, 1), (16,))
    assert config.learning_rate == float(best["learning_rate"])


def test_a_score_is_the_mean_over_seeds_on_validation_rows(finished):
    folder, _ = finished
    row = rows_of(folder)[0]
    search = settings.parse(["", *SMALL, "--batch_size=64"])
    found = {"learning_rate": float(row["learning_rate"]), "method.strength": float(row["method.strength"])}
    config, tasks = search.configured(found)
    matrices = [trial.validation_matrix(config, make_stream(config), seed, tasks) for seed in (0, 1)]
    assert matrices[0].shape == (3, 2)
    mean = np.mean([R[-1].mean() for R in matrices])
    assert float(row["average_accuracy"]) == pytest.approx(mean, abs=1e-6)


def test_tensorboard_has_a_run_for_each_trial_with_its_hyperparameters(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder, _ = finished
    for number, row in enumerate(rows_of(folder), 1):
        events = EventAccumulator(str(folder / "tensorboard" / f"trial_{number:03d}")).Reload()
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
        assert hparams["learning_rate"].number_value == float(row["learning_rate"])
        (score,) = events.Tensors("average_accuracy")
        assert tf.make_ndarray(score.tensor_proto) == pytest.approx(float(row["average_accuracy"]), abs=1e-6)
        content = events.summary_metadata["_hparams_/session_end_info"].plugin_data.content
        assert HParamsPluginData.FromString(content).session_end_info.status == STATUS_SUCCESS


class Sealed(sources.Source):
    """A source whose test rows must not be touched."""

    @property
    def test(self):
        raise AssertionError("test rows were read")


def test_test_rows_are_never_read():
    known = sources.from_arrays(**blobs([40] * 4))
    sealed = Sealed(known.name, known.input_shape, known.classes, known.scale, known.load)
    stream = streams.split(sealed, tasks=2, scenario="class", valid_fraction=0.25)
    given = ("--stream=split", "--scenario=class", "--tasks=2", "--eval_every=epoch")
    search = settings.parse(["", *SMALL, *given])
    config, tasks = search.configured({"batch_size": 8, "iterations": 60, "learning_rate": 0.01})
    program.check_rows(search, stream, make_model(config, stream, 0))
    assert 0 < trial.numbers(config, stream, tasks)["average_accuracy"] <= 1
    with pytest.raises(AssertionError, match="test rows were read"):
        len(stream[0].test)


# ---- what is tried and found -----------------------------------------------------------------------------


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_that_was_stopped_goes_on_to_the_same_end(tuner, tmp_path, tried, monkeypatch):
    given = [f"--tuner={tuner}", "--trials=6", "--grid_points=6", "--budget=tasks", "--batch_size=16"]
    given += ["--method.strength=0.1", "--tuning_tasks=3"]
    assert said(*given, f"--search_dir={tmp_path / 'straight'}")[0] == 0
    straight, _ = list(tried), tried.clear()

    from tuning import tuner as module

    numbers = module.numbers

    def stopped(config, stream, tasks):
        if len(tried) == 4:
            raise KeyboardInterrupt
        return numbers(config, stream, tasks)

    with monkeypatch.context() as patch:
        patch.setattr(module, "numbers", stopped)
        code, _, errors = said(*given, f"--search_dir={tmp_path / 'stopped'}")
    assert code == 130 and "the same command" in errors
    code, output, _ = said(*given, f"--search_dir={tmp_path / 'stopped'}")
    assert code == 0 and output.count("from an earlier run") == 4
    assert tried == straight  # nothing twice, and the same in the same order
    assert values_of(tmp_path / "stopped") == values_of(tmp_path / "straight")
    distance = [abs(np.log10(config.learning_rate) + 2) for config, _ in straight]
    if tuner == "bayesian":  # three at random, and then it has learned
        assert min(distance[3:]) < min(distance[:3])


@pytest.mark.slow
def test_the_seed_decides_what_is_tried(tmp_path, tried):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        said("--tuner=random", "--trials=2", f"--seeds={seed}", f"--search_dir={tmp_path / name}")
    assert values_of(tmp_path / "a") == values_of(tmp_path / "b") != values_of(tmp_path / "c")


@pytest.mark.slow
def test_more_trials_go_on_with_a_search_and_overwrite_starts_afresh(tmp_path, tried):
    given = ("--tuner=random", f"--search_dir={tmp_path / 'search'}")
    said(*given, "--trials=2")
    said(*given, "--trials=4")
    assert (len(tried), len(rows_of(tmp_path / "search"))) == (4, 4)
    said(*given, "--trials=4", "--overwrite")
    assert len(tried) == 8
    assert "overwrite" not in (tmp_path / "search" / "best.flags").read_text()


def test_a_directory_of_another_configuration_is_refused_with_what_differs(tmp_path, tried):
    given = ("--tuner=random", "--trials=1", f"--search_dir={tmp_path}")
    said(*given)
    code, _, errors = said(*given, "--learning_rate=0.01", "--objective=forgetting")
    assert code == 1 and len(tried) == 1
    assert sentence(errors) == (
        f"{tmp_path} holds a search with other settings: --learning_rate was searched in 0.0001 to 0.1, now "
        f"0.01; --objective was average_accuracy, now forgetting. Give another --search_dir, or --overwrite "
        f"to start afresh."
    )


def test_what_is_low_when_good_is_sought_low(tmp_path, tried):
    said("--tuner=grid", "--grid_points=2", "--objective=forgetting", f"--search_dir={tmp_path}")
    assert "--method.strength=0.001\n" in (tmp_path / "best.flags").read_text()


def test_the_winner_of_hyperband_had_the_whole_budget(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.tuner.numbers", lambda config, stream, tasks: {"average_accuracy": 1 / tasks})
    given = ("--tuner=hyperband", "--budget=tasks", "--trials=6", "--tuning_tasks=3")
    assert said(*given, f"--search_dir={tmp_path}")[0] == 0
    rows = rows_of(tmp_path)
    assert {row["tasks"] for row in rows} == {"1", "3"}
    best = next(row for row in rows if row["tasks"] == "3")
    assert f"--learning_rate={best['learning_rate']}\n" in (tmp_path / "best.flags").read_text()


# ---- trials that fail ------------------------------------------------------------------------------------


def fails_below(rate, error):
    """Numbers of trials of which those with a lower learning rate raise `error`."""

    def numbers(config, stream, tasks):
        if config.learning_rate < rate:
            raise error
        return {"average_accuracy": config.learning_rate}

    return numbers


def test_a_trial_that_diverges_is_a_failed_one_and_not_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.tuner.numbers", fails_below(0.01, Diverged("The loss became nan")))
    given = ("--tuner=grid", "--grid_points=4", "--batch_size=8", "--method.strength=1")
    code, output, _ = said(*given, f"--search_dir={tmp_path}")
    assert code == 0
    assert [row["status"] for row in rows_of(tmp_path)] == ["failed", "failed", "completed", "completed"]
    assert [row["message"] for row in rows_of(tmp_path)] == ["The loss became nan"] * 2 + [""] * 2
    assert "failed: The loss became nan" in output and "trial 4" in output.splitlines()[-2]


def test_real_divergence_and_batches_that_are_too_large_fail(tmp_path):
    given = ("--tuner=random", "--trials=1", "--optimizer=sgd", f"--search_dir={tmp_path}")
    code, _, errors = said(*given, "--batch_size=5000", "--learning_rate=0.1")
    assert code == 1
    assert "All 1 trials failed; the last one: batch_size is 5000" in sentence(errors)
    code, _, errors = said(*given, "--batch_size=32", "--learning_rate=1e30", "--overwrite")
    assert code == 1 and "the last one: The loss became " in sentence(errors)
    assert rows_of(tmp_path)[0]["status"] == "failed" and not (tmp_path / "best.flags").exists()


def test_a_fault_of_the_program_is_no_failed_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.tuner.numbers", fails_below(1, ZeroDivisionError("a fault")))
    with pytest.raises(ZeroDivisionError, match="a fault"):
        said("--trials=2", f"--search_dir={tmp_path}")


def test_an_objective_that_is_not_defined_is_said(tmp_path, tried):
    code, _, errors = said("--objective=forward_transfer", "--trials=1", f"--search_dir={tmp_path}")
    assert code == 1
    assert sentence(errors).endswith(
        "The forward_transfer is not defined in the domain-incremental scenario."
    )


def test_rows_for_validation_there_must_be(tmp_path, tried):
    code, _, errors = said("--valid_fraction=0.001", "--trials=1", f"--search_dir={tmp_path}")
    assert code == 1 and not tried
    assert sentence(errors) == "--valid_fraction=0.001 leaves task 1 0 rows to measure on and 1442 to learn."


# ---- several processes -----------------------------------------------------------------------------------


def environment(port, name):
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **dict(zip(workers.VARIABLES, (name, "127.0.0.1", str(port)), strict=True)),
    }


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def until(condition, seconds=60):
    """Waits until a function returns something true, and returns that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


@pytest.mark.slow
def test_a_chief_and_two_workers_of_whom_one_dies_in_a_trial(tmp_path, monkeypatch):
    port = free_port()
    given = ["--tuner=random", "--trials=4", "--batch_size=32", f"--search_dir={tmp_path}"]
    line = [sys.executable, "-m", "tuning.search", *SMALL, *given]

    def started(name):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, env=environment(port, name), **pipes)

    def at_work():
        """The trial that the first worker is at, by the records of the chief."""
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((tmp_path / "keras_tuner" / "chief" / "oracle.json").read_text())
            return state["ongoing_trials"].get("tuner0")

    def killed():
        begun.append(until(at_work))
        processes["tuner0"].kill()

    begun, processes = [], {name: started(name) for name in ("tuner0", "tuner1")}
    killer = threading.Thread(target=killed)
    killer.start()
    try:
        for name in workers.VARIABLES:
            monkeypatch.setenv(name, environment(port, "chief")[name])
        code, output, errors = said(*given)
        killer.join()
        other, complaint = processes["tuner1"].communicate(timeout=20)
        assert (code, processes["tuner1"].returncode) == (0, 0), errors + complaint
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    assert [row["status"] for row in rows_of(tmp_path)] == ["completed"] * 4
    assert f"trial {int(begun[0]) + 1}/4" in other and "│ best │" in output
    assert flags.parse(["", f"--flagfile={tmp_path / 'best.flags'}"]).batch_size == 32


def test_a_chief_whose_workers_are_gone_ends_and_says_which_trials_are_lost(tmp_path, monkeypatch):
    from tuning.tuner import Tuner

    for name in workers.VARIABLES:
        monkeypatch.setenv(name, environment(free_port(), "chief")[name])
    search = settings.parse(["", *SMALL, "--tuner=random"])
    tuner = Tuner(search, None, tmp_path, "chief", None)
    tuner.oracle.create_trial("tuner0")
    with workers.alive(tmp_path / "workers", "tuner0"):
        assert not workers.dead(tmp_path / "workers", "tuner0")
        with pytest.raises(InputError, match="a worker tuner0 already"):
            workers.alive(tmp_path / "workers", "tuner0").__enter__()
    assert workers.dead(tmp_path / "workers", "tuner0")
    workers.serve(tuner.oracle, tmp_path / "workers", patience=0.5)
    assert not tuner.oracle.ongoing_trials
    (row,) = program.rows(tuner)
    assert (row["number"], row["status"], row["message"]) == (1, "lost", "its worker died")


def test_who_a_process_is_stands_in_the_environment(monkeypatch):
    for name in workers.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert workers.role() == ""
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner7")
    assert workers.role() == ""  # Keras Tuner's own name of a process that is alone
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(InputError, match="needs the environment variable KERASTUNER_ORACLE_PORT too"):
        workers.role()
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(free_port()))
    assert workers.role() == "tuner7"
    with pytest.raises(InputError, match=r"No chief answered at 127.0.0.1:\d+ within 0.3 seconds."):
        workers.wait_for_chief(0.3)


def test_a_worker_with_another_configuration_is_refused(tmp_path, tried, monkeypatch):
    given = ("--tuner=random", "--trials=1", f"--search_dir={tmp_path}")
    said(*given)
    for name, value in zip(workers.VARIABLES, ("tuner0", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(workers, "wait_for_chief", lambda patience: None)
    code, _, errors = said(*given, "--seeds=3")
    assert code == 1 and "--seeds was 0, now 3" in sentence(errors)
    code, _, errors = said(*given[:2], f"--search_dir={tmp_path / 'other'}")
    assert code == 1 and sentence(errors) == f"{tmp_path / 'other'} holds no search."
