"""Failures outside of the program: killed processes, full disks, damaged files, unusable input.

Killing is real, by processes of their own. The sentences are those of the command itself, mostly run inside
the test's process.
"""

import contextlib
import csv
import errno
import functools
import json
import resource
import shutil
import signal
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs
from processes import PATIENCE, Forked, arguments, refusal, said, sentence, small, start

from keras_cl import train
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.directory import RunDirectory

EPOCHS = 30  # enough that learning a task takes a while


def names_in(folder):
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


# ---- killed ----------------------------------------------------------------------------------------------


def ewc(folder):
    """A run that has everything that must come back: penalties, optimizer state, dropout, compiled by XLA."""
    return [
        "--tasks=3",
        f"--epochs={EPOCHS}",
        "--network.hidden=16",
        "--network.dropout=0.2",
        "--noreset_optimizer",
        f"--run_dir={folder / 'run'}",
        f"--export_dir={folder / 'models'}",
    ]


def finish(process):
    """Waits for a process that must end well; returns what it said."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and not errors, errors
    return output


def kill_as_soon_as(happened, process):
    """Kills a process, as nobody can refuse, once `happened()` is true."""
    try:
        process.wait_until(happened)
    finally:
        process.end(signal.SIGKILL)
    assert process.code == -signal.SIGKILL


def without_seconds(record):
    """A record without the times, which no two runs share."""
    epochs = [
        {name: value for name, value in epoch.items() if name != "seconds"} for epoch in record["epochs"]
    ]
    return {**record, "seconds": None, "epochs": epochs}


@pytest.fixture(scope="module")
def killed_and_whole(tmp_path_factory):
    """Folders of a run that was killed at four points and gone on with, and of one that was left alone."""
    folder, whole = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("whole")
    undisturbed = start("-m", "keras_cl.main", *ewc(whole))  # the command itself, from its first import on
    run, models = folder / "run", folder / "models" / "run"
    finished = [run / "checkpoints" / f"task_{number:03d}" for number in range(4)]
    log = run / "log.txt"

    def again():
        return Forked(*ewc(folder), folder=tmp_path_factory.mktemp("said"))

    first = again()  # killed after its first line
    kill_as_soon_as(lambda: "3 tasks, domain-incremental" in first.output.read_text(), first)

    kill_as_soon_as((models / ".2.aside").exists, again())  # while a model is exported
    assert finished[1].exists() and not finished[2].exists() and not (models / "2").exists()

    epoch = f"task 3/3  epoch 2/{EPOCHS}"
    kill_as_soon_as(lambda: epoch in log.read_text(), again())  # while a task is learned
    assert finished[2].exists() and not finished[3].exists()
    assert f"task 3/3  epoch {EPOCHS}/" not in log.read_text()

    kill_as_soon_as(finished[3].exists, again())  # when a task was just finished, but not the run
    assert not (run / "DONE").exists()

    last = again()
    said, errors = last.end()
    assert last.code == 0 and not errors, errors
    assert "Resuming after task 3" in said and "task 3/3 learned" not in said
    finish(undisturbed)
    return folder, whole


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_the_same_matrix_bit_for_bit(killed_and_whole):
    killed, whole = (folder / "run" / "matrix.csv" for folder in killed_and_whole)
    assert killed.read_bytes() == whole.read_bytes() and killed.read_text().count("\n") == 5


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_the_same_variables_bit_for_bit(killed_and_whole):
    for number in range(4):
        killed, whole = (folder / "run" / "checkpoints" / f"task_00{number}" for folder in killed_and_whole)
        for name in ("variables.data-00000-of-00001", "variables.index"):
            assert (killed / name).read_bytes() == (whole / name).read_bytes(), (number, name)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_the_same_records(killed_and_whole):
    killed, whole = (RunDirectory(folder / "run").finished() for folder in killed_and_whole)
    assert list(map(without_seconds, killed)) == list(map(without_seconds, whole))


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_the_same_files(killed_and_whole):
    killed, whole = ({str(p.relative_to(f)) for p in f.rglob("*")} for f in killed_and_whole)
    assert killed == whole
    tables = [csv.DictReader((f / "run" / "metrics.csv").open()) for f in killed_and_whole]
    killed, whole = ([{**row, "seconds": ""} for row in table] for table in tables)
    assert killed == whole and len(whole) == 3 * EPOCHS
    killed, whole = (json.loads((f / "run" / "summary.json").read_text()) for f in killed_and_whole)
    assert {**killed, "seconds": None} == {**whole, "seconds": None}


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_the_same_models(killed_and_whole):
    for number in "123":
        killed, whole = (folder / "models" / "run" / number for folder in killed_and_whole)
        name = "variables/variables.data-00000-of-00001"
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
        assert (killed / "task.json").read_text() == (whole / "task.json").read_text()


# ---- another process, an interrupt -----------------------------------------------------------------------


def test_a_second_process_is_refused_and_an_interrupt_ends_the_first_with_one_line(tmp_path):
    first = Forked(*arguments(tmp_path, "--epochs=1000000"), folder=tmp_path)
    try:
        log = tmp_path / "run" / "log.txt"
        first.wait_until(lambda: log.exists() and "task 1/2  epoch 3/" in log.read_text())
        second = refusal(*arguments(tmp_path, "--epochs=1000000"))
        assert second == f"Another process is writing to {tmp_path / 'run'}; wait for it or give --run_dir."
        assert first.code is None
    finally:
        _, errors = first.end(signal.SIGINT)
    assert first.code == 130
    assert (
        errors == "Interrupted; the same command without --overwrite resumes after the last finished task.\n"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a run of `small` that nothing disturbed."""
    folder = tmp_path_factory.mktemp("trained")
    train.run(small(folder))
    return folder


# ---- disks -----------------------------------------------------------------------------------------------


def test_a_disk_that_takes_no_more_is_one_sentence_of_the_real_command(tmp_path):
    size = 30_000  # a checkpoint has more than 50 kB
    limited = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    process = Forked(*arguments(tmp_path, "--network.hidden=64"), folder=tmp_path, begin=limited)
    _, errors = process.end()
    assert process.code == 1
    assert sentence(errors).startswith(f"Writing to {tmp_path / 'run'} failed: ")
    assert "File too large" in errors
    assert names_in(tmp_path / "run") == {"config.json", "log.txt", "checkpoints"}
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


@contextlib.contextmanager
def full_disk_at(target, name, call):
    """Lets the disk be full at one call of a function, the first being number 1."""
    real, calls = getattr(target, name), []

    def limited(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device", "variables")
        return real(*args, **kwargs)

    with mock.patch.object(target, name, limited):
        yield


def test_a_full_disk_keeps_the_tasks_that_were_finished(trained, tmp_path):
    with full_disk_at(Checkpoints, "write", call=3):  # the untrained network, task 1, task 2
        message = refusal(*arguments(tmp_path))
    assert message == (
        f"Writing to {tmp_path / 'run'} failed: No space left on device (variables). Tasks that were "
        f"finished are kept; the same command goes on from there."
    )
    assert [p.name for p in sorted((tmp_path / "run/checkpoints").iterdir())] == ["task_000", "task_001"]
    code, output, _ = said(*arguments(tmp_path))
    assert code == 0 and "Resuming after task 1" in output
    for name in ("matrix.csv", "checkpoints/task_002/variables.data-00000-of-00001"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / "run" / name).read_bytes()


def test_a_disk_that_is_full_for_tensorflow_is_a_sentence_too(tmp_path):
    full = tf.errors.ResourceExhaustedError(None, None, "models/1; No space left on device\nand more")
    with mock.patch.object(tf.saved_model, "save", side_effect=full):
        message = refusal(*arguments(tmp_path))
    assert message.startswith(f"Writing to {tmp_path / 'run'} failed: models/1; No space left on device (")
    assert not any((tmp_path / "models" / "run").iterdir())


@pytest.mark.parametrize("flag", ["run_dir", "export_dir"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, flag):
    (tmp_path / "file").write_text("a plain file")
    message = refusal(*arguments(tmp_path, f"--{flag}={tmp_path / 'file' / 'below'}"))
    assert "Not a directory" in message and str(tmp_path / "file" / "below") in message


# ---- damaged or foreign directories ----------------------------------------------------------------------


def test_a_truncated_checkpoint_is_refused_with_what_to_do(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "run" / "DONE").unlink()
    variables = tmp_path / "run/checkpoints/task_001/variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:100])
    message = refusal(*arguments(tmp_path))
    assert message == (
        f"The checkpoint {variables.parent} is damaged or incomplete; remove that folder and any later one "
        f"to start again, or give --overwrite to start afresh."
    )
    for number in (1, 2):
        shutil.rmtree(tmp_path / "run/checkpoints" / f"task_00{number}")
    assert said(*arguments(tmp_path))[0] == 0
    for number in (1, 2):
        name = f"run/checkpoints/task_00{number}/variables.data-00000-of-00001"
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_other_settings_are_refused_naming_the_flags(trained):
    message = refusal(*arguments(trained, "--epochs=2", "--network.hidden=16,8"))
    assert message == (
        f"{trained / 'run'} holds a run with other settings: --epochs was 1, now 2; --network.hidden was 16, "
        f"now 16,8. Give another --run_dir, or --overwrite to start afresh."
    )


def test_overwriting_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    message = refusal(*arguments(tmp_path, "--overwrite"))
    assert message.startswith(f"{tmp_path / 'run'} holds files (thesis.tex) without the config.json of a run")
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


# ---- data and combinations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--stream=split", "--tasks=11"],
            "10 classes of digits cannot make 11 tasks: at most 10.",
        ),
        (
            ["--stream=split", "--tasks=3"],
            "10 classes of digits do not split into 3 equal tasks; possible: 1, 2, 5, 10.",
        ),
        (
            ["--stream=split", "--tasks=10"],
            "10 tasks of one class each can only be class-incremental: with one possible answer there is "
            "nothing to learn; give --scenario=class or fewer tasks.",
        ),
        (
            ["--batch_size=2000"],
            "--batch_size is 2000 and task 1 has only 1442 training rows; give at most that many.",
        ),
        (["--tasks=0"], "A stream needs at least one task, not 0."),
        (["--epochs=0"], "--epochs is 0; it must be at least 1."),
        (["--dataset=mnst"], "dataset 'mnst' is not known; possible: digits, mnist,"),
        (["--dataset=none.npz"], "There is no file none.npz."),
        (["--network.hidden=0"], "hidden is (0,); a layer needs at least one unit."),
        (["--network.dropout=1"], "dropout is 1.0; it must be at least 0 and below 1."),
        (["--method=ewc", "--method.gamma=0.5"], "gamma is 0.5, but only the online form decays: give"),
        (["--stream.valid_fraction=1"], "valid_fraction is 1.0; it must be at least 0 and below 1."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, flags, message):
    assert refusal(*arguments(tmp_path, *flags)).startswith(message)
    assert not (tmp_path / "models" / "run").exists()


def test_permuted_images_may_be_task_incremental_because_every_image_comes_with_its_task(tmp_path):
    code, output, errors = said(*arguments(tmp_path, "--scenario=task"))
    assert (code, errors) == (0, "") and "task-incremental" in output
    assert (tmp_path / "run" / "DONE").exists()


def data(tmp_path, **changed):
    """An .npz file of four classes with some of its arrays changed."""
    path = tmp_path / "own.npz"
    np.savez(path, **{**blobs([20] * 4), **changed})
    return f"--dataset={path}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"y_test": np.full(40, 7)},
            "y_test has the label 7, which y_train never has; known labels are 0, 1, 2, 3.",
        ),
        (
            {"y_train": np.full(80, -1)},
            "y_train has the label -1; labels must be at least 0 and below 2**31.",
        ),
        (
            {"y_train": np.full(80, 0.5)},
            "y_train has shape (80,) and type float64; labels must be whole numbers",
        ),
        ({"y_train": np.zeros(79, int)}, "x_train has 80 rows and y_train has 79; they must have the same"),
    ],
)
def test_wrong_labels_are_named(tmp_path, changed, message):
    flag = data(tmp_path, **changed)
    assert message in refusal(*arguments(tmp_path, flag))
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there_are_one_sentence(tmp_path):
    import tensorflow_datasets as tfds

    missing = mock.Mock(side_effect=ConnectionError("no network"))
    with mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare", missing):
        message = refusal(*arguments(tmp_path, "--dataset=mnist", f"--data_dir={tmp_path / 'none'}"))
    assert message.startswith(f"The data set mnist is not in {tmp_path / 'none'} and could not be downloaded")
    assert "--data_dir" in message and "--dataset=path/to/file.npz" in message
    assert missing.called and not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_is_one_sentence(tmp_path):
    message = refusal(*arguments(tmp_path, "--optimizer=sgd", "--learning_rate=1e30", "--epochs=3"))
    assert message.startswith("The loss became ") and message.endswith("A smaller --learning_rate may help.")


def test_more_words_show_the_traceback(tmp_path):
    process = Forked(*arguments(tmp_path, "--dataset=none.npz"), "--verbosity=1", folder=tmp_path)
    _, errors = process.end()
    assert process.code == 1
    assert "Traceback" in errors and "There is no file none.npz." in errors
