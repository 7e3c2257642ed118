"""A run from settings to files: what it leaves, how it goes on, and what it keeps when it has to stop."""

import csv
import dataclasses
import json
import re
import shutil
import types

import numpy as np
import pytest
import tf_keras as keras
from helpers import assert_same, blobs, saved_variables
from processes import small

from keras_cl import metrics, streams, train
from keras_cl.errors import Diverged, InputError
from keras_cl.methods.base import ContinualModel
from keras_cl.runs import seals
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.directory import MEASURES, RunDirectory, read_matrix
from keras_cl.runs.history import EpochHistory
from keras_cl.runs.restore import load
from keras_cl.settings.build import make_model, make_stream, stream_of

CHECKPOINT = {"DONE", "results.json", "variables.data-00000-of-00001", "variables.index"}


def names_in(folder):
    """Names below `folder` but for what begins with a dot."""
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def rows_of(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def confusion_of(directory):
    """The counts of a confusion.csv."""
    rows = rows_of(directory / "confusion.csv")
    return np.array([[int(row[str(label)]) for label in range(10)] for row in rows])


def variables_of(config, number):
    """All variables of the checkpoint after `number` tasks."""
    return saved_variables(RunDirectory(config.directory).task_folder(number) / "variables")


def no_training(monkeypatch):
    """Makes every attempt to train fail."""

    def fails(*_):
        raise AssertionError("something was trained")

    monkeypatch.setattr("keras_cl.runs.learn._fit", fails)


@pytest.fixture
def no_figures(monkeypatch):
    """Leaves out the figures, a fourth of the time of so short a run, where they are not in question."""
    monkeypatch.setattr(train.figures, "draw", lambda path: None)


without_figures = pytest.mark.usefixtures("no_figures")


# ---- what a run leaves -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The settings of a small run that was trained, and its summary."""
    config = small(tmp_path_factory.mktemp("finished"))
    return config, train.run(config)


@pytest.fixture
def copy(finished, tmp_path):
    """Settings of a copy of that run, to be spoiled."""
    shutil.copytree(finished[0].directory.parent, tmp_path, dirs_exist_ok=True)
    return small(tmp_path)


def test_a_run_leaves_every_file(finished):
    config, _ = finished
    assert names_in(config.directory) == {
        "config.json", "checkpoints", "matrix.csv", "metrics.csv", "summary.json", "log.txt", "matrix.png",
        "accuracy.png", "loss.csv", "class_accuracy.csv", "confusion.csv", "report.html", "DONE",
    }  # fmt: skip
    assert names_in(config.directory / "checkpoints") == {"task_000", "task_001", "task_002"}
    for number in range(3):
        assert names_in(config.directory / "checkpoints" / f"task_00{number}") == CHECKPOINT
    assert names_in(config.directory.parent / "models" / "run") == {"1", "2"}
    for figure in ("matrix.png", "accuracy.png"):
        assert (config.directory / figure).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_left_aside(finished):
    config, _ = finished
    hidden = {path.name for path in config.directory.parent.rglob(".*")}
    assert hidden == {".lock"}


def test_config_holds_every_setting_and_the_versions(finished):
    config, _ = finished
    written = json.loads((config.directory / "config.json").read_text())
    assert written["settings"] == json.loads(json.dumps(config.settings))
    assert set(written["versions"]) == {"keras_cl", "python", "tensorflow", "tf_keras", "numpy"}
    assert written["commit"] is None or len(written["commit"].removesuffix("-dirty")) == 40


def test_matrix_metrics_and_summary_agree(finished):
    config, summary = finished
    exact = np.array([r["accuracies"] for r in RunDirectory(config.directory).finished()])
    np.testing.assert_allclose(read_matrix(config.directory / "matrix.csv"), exact, atol=5e-7)
    assert json.loads((config.directory / "summary.json").read_text()) == summary
    assert {name: summary[name] for name in metrics.DESCRIPTIONS} == metrics.summary(exact)
    rows = rows_of(config.directory / "metrics.csv")
    assert [(row["task"], row["epoch"]) for row in rows] == [("1", "1"), ("2", "1")]
    assert [[float(row[f"task_{j}"]) for j in (1, 2)] for row in rows] == exact[1:].tolist()


def test_losses_classes_and_confusion_agree_with_the_matrix(finished):
    config, _ = finished
    records = RunDirectory(config.directory).finished()
    matrix, losses = (np.array([r[name] for r in records], float) for name in ("accuracies", "losses"))
    np.testing.assert_allclose(read_matrix(config.directory / "loss.csv"), losses, atol=5e-7)
    assert (losses > 0).all()
    found = rows_of(config.directory / "class_accuracy.csv")
    assert len(found) == 3 * 2 * 10
    for after, task in np.ndindex(3, 2):
        of = [row for row in found if (row["after_tasks"], row["task"]) == (str(after), str(task + 1))]
        weights = [int(row["rows"]) for row in of]
        mean = np.average([float(row["accuracy"]) for row in of], weights=weights)
        assert mean == pytest.approx(matrix[after, task], abs=2e-6)
    counts = confusion_of(config.directory)
    share = np.trace(counts) / counts.sum()
    assert share == pytest.approx(matrix[2].mean())  # the tasks have equally many rows
    assert records[2]["confusion"] == {"labels": list(range(10)), "counts": counts.tolist()}
    assert "confusion" not in records[1]


def test_the_summary_tells_what_the_run_cost(finished):
    _, summary = finished
    parameters = 64 * 16 + 16 + 16 * 10 + 10
    assert (summary["parameters"], summary["network_bytes"]) == (parameters, 4 * parameters)
    assert len(summary["seconds"]) == len(summary["method_bytes"]) == 2


def test_the_log_tells_the_story(finished):
    log = (finished[0].directory / "log.txt").read_text()
    for part in ("finetune on permuted digits", "task 1/2  epoch 1/1", "task 2/2 learned in", "after task 2"):
        assert part in log
    assert "average accuracy" in log and "results  " in log


def test_the_models_say_whose_they_are(finished):
    config, _ = finished
    matrix = read_matrix(config.directory / "matrix.csv")
    for number in (1, 2):
        description = json.loads((config.directory.parent / f"models/run/{number}/task.json").read_text())
        assert (description["run"], description["task"], description["seed"]) == ("run", number, 0)
        assert description["settings_hash"] == config.hash
        np.testing.assert_allclose(description["metrics"]["accuracies"], matrix[number], atol=5e-7)


def test_the_accuracies_are_those_of_the_models_in_the_checkpoints(finished):
    config, _ = finished
    stream = make_stream(config)
    model = make_model(config, stream, 0)
    for number, record in enumerate(RunDirectory(config.directory).finished()):
        Checkpoints(model).read(config.directory / "checkpoints" / f"task_00{number}")
        assert model.accuracies(stream, after=number).tolist() == record["accuracies"]


# ---- the same command again ------------------------------------------------------------------------------


@without_figures
def test_a_rerun_with_the_same_seed_is_the_same_bit_for_bit(finished, tmp_path):
    config, again = finished[0], small(tmp_path)
    train.run(again)
    assert (again.directory / "matrix.csv").read_bytes() == (config.directory / "matrix.csv").read_bytes()
    for number in range(3):
        one, other = variables_of(config, number), variables_of(again, number)
        assert one.keys() == other.keys()
        assert_same(one.values(), other.values())


@without_figures
def test_another_seed_is_another_run(finished, tmp_path):
    other = small(tmp_path, seeds=(1,))
    train.run(other)
    matrix = read_matrix(finished[0].directory / "matrix.csv")
    assert not np.array_equal(read_matrix(other.directory / "matrix.csv"), matrix)


def test_the_same_command_shows_a_finished_run_and_trains_nothing(finished, copy, monkeypatch, capsys):
    no_training(monkeypatch)
    before = (copy.directory / "summary.json").read_bytes()
    assert train.run(copy) == finished[1]
    shown = capsys.readouterr().out
    assert f"{copy.directory} is complete; --overwrite trains it again." in shown
    assert "after task 2" in shown and "average accuracy" in shown
    assert (copy.directory / "summary.json").read_bytes() == before


@without_figures
def test_a_run_goes_on_after_the_last_finished_task(finished, copy, capsys):
    for name in ("DONE", "summary.json", "checkpoints/task_002/DONE"):
        (copy.directory / name).unlink()
    shutil.rmtree(copy.directory / "checkpoints" / "task_002")
    summary = train.run(copy)
    shown = capsys.readouterr().out
    assert "Resuming after task 1" in shown and "task 1/2 learned" not in shown
    assert {**summary, "seconds": 0} == {**finished[1], "seconds": 0}
    assert_same(variables_of(copy, 2).values(), variables_of(finished[0], 2).values())
    assert (copy.directory / "DONE").exists()


@without_figures
def test_a_removed_model_is_exported_again_when_a_run_goes_on(finished, copy):
    (copy.directory / "DONE").unlink()
    models = copy.directory.parent / "models" / "run"
    variables, described = models / "1" / "variables" / "variables", models / "1" / "task.json"
    before = saved_variables(variables), described.read_text()
    shutil.rmtree(models / "1")
    train.run(copy)
    assert_same(saved_variables(variables).values(), before[0].values())
    assert described.read_text() == before[1]


@without_figures
def test_a_damaged_checkpoint_of_a_finished_run_can_be_mended_as_the_message_says(finished, copy):
    damaged = copy.directory / "checkpoints" / "task_002"
    (damaged / "variables.index").write_bytes(b"")
    with pytest.raises(InputError, match=f"The checkpoint {damaged} is damaged or incomplete; remove that"):
        train.run(copy)
    shutil.rmtree(damaged)
    summary = train.run(copy)
    assert {**summary, "seconds": 0} == {**finished[1], "seconds": 0}


@without_figures
def test_overwrite_trains_afresh(copy, capsys):
    changed = dataclasses.replace(copy, epochs=2)
    with pytest.raises(InputError, match="--epochs was 1, now 2"):
        train.run(changed)
    train.run(dataclasses.replace(changed, overwrite=True))
    assert "task 1/2 learned" in capsys.readouterr().out
    assert len(rows_of(copy.directory / "metrics.csv")) == 4


# ---- models of another run -------------------------------------------------------------------------------


def test_the_models_of_another_run_are_refused_and_kept(copy):
    shutil.rmtree(copy.directory)
    models = copy.directory.parent / "models" / "run"
    with pytest.raises(InputError) as error:
        train.run(dataclasses.replace(copy, epochs=2))
    assert str(error.value) == (
        f"{models} holds the models of another run; give --export_dir or another --run_dir, or --overwrite."
    )
    assert names_in(models) == {"1", "2"}


@without_figures
def test_overwrite_leaves_no_model_of_the_run_before(copy):
    models = copy.directory.parent / "models" / "run"
    train.run(dataclasses.replace(copy, tasks=1, overwrite=True))
    assert names_in(models) == {"1"}
    assert json.loads((models / "1" / "task.json").read_text())["settings"]["tasks"] == 1


def test_a_model_of_another_program_is_never_removed(copy):
    models = copy.directory.parent / "models" / "run"
    (models / "2" / "task.json").unlink()
    with pytest.raises(InputError) as error:
        train.run(dataclasses.replace(copy, overwrite=True))
    assert str(error.value) == f"{models / '2'} is no model of this program; give another --export_dir."
    assert names_in(models) == {"1", "2"}


# ---- epochs ----------------------------------------------------------------------------------------------


@without_figures
def test_accuracies_are_measured_after_each_epoch_where_that_is_asked_for(tmp_path):
    config = small(tmp_path, epochs=2, eval_every="epoch")
    train.run(config)
    rows = rows_of(config.directory / "metrics.csv")
    assert [(row["task"], row["epoch"]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert all(0 <= float(row["task_1"]) <= 1 for row in rows)
    assert [row["task_2"] == "" for row in rows] == [True, False, False, False]
    matrix = read_matrix(config.directory / "matrix.csv")
    ends = [[float(row[f"task_{j}"]) for j in (1, 2)] for row in rows[1::2]]
    np.testing.assert_allclose(ends, matrix[1:], atol=5e-7)


@without_figures
def test_measuring_each_epoch_does_not_change_the_result(finished, tmp_path):
    config = small(tmp_path, eval_every="epoch")
    train.run(config)
    assert_same(variables_of(config, 2).values(), variables_of(finished[0], 2).values())


def test_only_tasks_seen_are_evaluated_where_that_is_asked_for(finished, tmp_path):
    """The run has the weights of the other one, and what it measures is the same."""
    config = small(tmp_path, eval_tasks="seen")
    summary = train.run(config)
    found, whole = (read_matrix(one.directory / "matrix.csv") for one in (config, finished[0]))
    measured = [[False, False], [True, False], [True, True]]
    np.testing.assert_array_equal(found, np.where(measured, whole, np.nan))
    assert_same(variables_of(config, 2).values(), variables_of(finished[0], 2).values())
    later = {"forward_transfer", "triangle_forward_transfer"}
    assert {name for name in metrics.DESCRIPTIONS if summary[name] is None} == later
    same = metrics.DESCRIPTIONS.keys() - later
    assert {name: summary[name] for name in same} == {name: finished[1][name] for name in same}
    losses, all_losses = (read_matrix(one.directory / "loss.csv") for one in (config, finished[0]))
    np.testing.assert_array_equal(losses, np.where(measured, all_losses, np.nan))
    # Of 0, 1 and 2 tasks with ten classes each, where all evaluations have two.
    seen, everything = (rows_of(one.directory / "class_accuracy.csv") for one in (config, finished[0]))
    assert 2 * len(seen) == len(everything)
    assert (config.directory / "report.html").exists()


@without_figures
def test_a_run_of_seen_tasks_goes_on_and_says_so_in_its_settings(finished, tmp_path):
    assert "eval_tasks" not in finished[0].settings  # so that runs of earlier versions are resumed
    config = small(tmp_path, eval_tasks="seen")
    assert config.settings["eval_tasks"] == "seen"
    train.run(config)
    before = (config.directory / "matrix.csv").read_bytes()
    (config.directory / "DONE").unlink()
    (config.directory / "matrix.csv").unlink()
    shutil.rmtree(config.directory / "checkpoints" / "task_002")
    train.run(config)
    assert (config.directory / "matrix.csv").read_bytes() == before
    with pytest.raises(InputError, match="--eval_tasks was seen, now not given"):
        train.run(small(tmp_path))


def test_what_cannot_be_measured_is_empty(tmp_path):
    config = small(tmp_path, stream="split", scenario="class", eval_every="epoch", epochs=2)
    summary = train.run(config)
    lines = (config.directory / "matrix.csv").read_text().splitlines()
    assert lines[1] == "0,," and lines[2].endswith(",") and not lines[3].endswith(",")
    assert np.isnan(read_matrix(config.directory / "matrix.csv")[:2]).tolist() == [
        [True, True],
        [False, True],
    ]
    assert [row["task_2"] == "" for row in rows_of(config.directory / "metrics.csv")] == [
        True,
        True,
        False,
        False,
    ]
    assert summary["forward_transfer"] is None
    assert json.loads((config.directory / "summary.json").read_text())["forward_transfer"] is None


def of_an_earlier_version(config, numbers):
    """Removes from the checkpoints what earlier versions did not measure."""
    directory = RunDirectory(config.directory)
    for folder in map(directory.task_folder, numbers):
        record = json.loads((folder / "results.json").read_text())
        for name in ("losses", "class_accuracies", "class_rows", "confusion"):
            record.pop(name, None)
        (folder / "results.json").write_text(json.dumps(record))
        number = seals.read_seal(folder)["task"]
        seals.seal_all(folder, task=number, **directory.identity)
    for name in MEASURES:
        (config.directory / name).unlink()


def test_a_run_of_an_earlier_version_goes_on_and_measures_what_is_left(finished, copy):
    stop_after_the_first_task(copy)
    of_an_earlier_version(copy, (0, 1))
    train.run(copy)
    for name in ("matrix.csv", "confusion.csv"):
        assert (copy.directory / name).read_bytes() == (finished[0].directory / name).read_bytes()
    losses = read_matrix(finished[0].directory / "loss.csv")
    losses[:2] = np.nan
    np.testing.assert_array_equal(read_matrix(copy.directory / "loss.csv"), losses)
    assert {row["after_tasks"] for row in rows_of(copy.directory / "class_accuracy.csv")} == {"2"}


def test_a_complete_run_of_an_earlier_version_stays_as_it_is(copy, capsys):
    of_an_earlier_version(copy, (0, 1, 2))
    RunDirectory(copy.directory).finish()
    train.run(copy)
    assert "is complete" in capsys.readouterr().out
    assert not names_in(copy.directory) & {*MEASURES}


# ---- a number of steps in place of epochs ----------------------------------------------------------------


def stop_after_the_first_task(config):
    """Leaves a finished run of two tasks as it stood when the first of them was learned."""
    for name in ("DONE", "matrix.csv", "metrics.csv", "summary.json"):
        (config.directory / name).unlink()
    shutil.rmtree(config.directory / "checkpoints" / "task_002")
    shutil.rmtree(config.directory.parent / "models" / "run" / "2")


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The settings of a run of nine steps a task."""
    config = small(tmp_path_factory.mktemp("counted"), iterations=9, optimizer="sgd", learning_rate=0.1)
    train.run(config)
    return config


def test_a_run_of_given_steps_has_one_record_a_task(counted):
    rows = rows_of(counted.directory / "metrics.csv")
    assert [(row["task"], row["epoch"]) for row in rows] == [("1", "1"), ("2", "1")]
    matrix = read_matrix(counted.directory / "matrix.csv")
    ends = [[float(row[f"task_{j}"]) for j in (1, 2)] for row in rows]
    np.testing.assert_allclose(ends, matrix[1:], atol=5e-7)
    log = (counted.directory / "log.txt").read_text()
    assert "task 2/2  epoch 1/1" in log and "epoch 2" not in log and "epoch 1/10" not in log


@pytest.mark.parametrize("number", [1, 2])
def test_a_run_of_given_steps_takes_exactly_these_for_each_task(counted, number):
    (steps,) = (value for key, value in variables_of(counted, number).items() if "iterations" in key)
    assert steps == 9  # since the task began, with a fresh optimizer


@without_figures
def test_with_given_steps_the_number_of_epochs_does_not_matter(counted, tmp_path):
    config = small(tmp_path, iterations=9, optimizer="sgd", learning_rate=0.1, epochs=3)
    train.run(config)
    assert (config.directory / "matrix.csv").read_bytes() == (counted.directory / "matrix.csv").read_bytes()
    assert_same(variables_of(config, 2).values(), variables_of(counted, 2).values())
    assert len(rows_of(config.directory / "metrics.csv")) == 2


@without_figures
def test_a_run_of_given_steps_goes_on_bit_for_bit(counted, tmp_path, capsys):
    shutil.copytree(counted.directory.parent, tmp_path, dirs_exist_ok=True)
    config = small(tmp_path, iterations=9, optimizer="sgd", learning_rate=0.1)
    stop_after_the_first_task(config)
    train.run(config)
    assert "Resuming after task 1" in capsys.readouterr().out
    assert (config.directory / "matrix.csv").read_bytes() == (counted.directory / "matrix.csv").read_bytes()
    assert variables_of(config, 2).keys() == variables_of(counted, 2).keys()
    assert_same(variables_of(config, 2).values(), variables_of(counted, 2).values())


# ---- a method that waits for the last task ---------------------------------------------------------------


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """The settings of two runs of joint training, one that trains at each task and one that waits."""
    settings = {"method": "joint", "tasks": 3, "optimizer": "sgd", "learning_rate": 0.1}
    configs = [
        small(tmp_path_factory.mktemp(str(offline)), {"method.offline": offline}, **settings)
        for offline in (False, True)
    ]
    for config in configs:
        train.run(config)
    return configs


def test_joint_that_waits_ends_as_joint_does_and_measures_nothing_before(joint):
    plain, waiting = (read_matrix(config.directory / "matrix.csv") for config in joint)
    np.testing.assert_array_equal(waiting[-1], plain[-1])
    np.testing.assert_array_equal(waiting[0], plain[0])
    assert np.isnan(waiting[1:-1]).all()
    assert (plain[1] != plain[0]).any() and (plain[-1] > plain[0] + 0.2).all()  # something was learned
    one, other = (variables_of(config, 3) for config in joint)
    assert one.keys() == other.keys()
    assert_same(one.values(), other.values())


def test_a_run_that_waits_leaves_every_file_and_records_of_the_last_task_alone(joint):
    plain, waiting = joint
    assert names_in(waiting.directory) == names_in(plain.directory)
    models = [config.directory.parent / "models" / "run" for config in joint]
    assert names_in(models[1]) == names_in(models[0]) == {"1", "2", "3"}
    assert [row["task"] for row in rows_of(plain.directory / "metrics.csv")] == ["1", "2", "3"]
    (row,) = rows_of(waiting.directory / "metrics.csv")
    assert row == {**rows_of(plain.directory / "metrics.csv")[-1], "seconds": row["seconds"]}
    for figure in ("matrix.png", "accuracy.png"):
        assert (waiting.directory / figure).read_bytes().startswith(b"\x89PNG")
    written = json.loads((waiting.directory / "summary.json").read_text())
    empty = "forgetting", "backward_transfer", "forward_transfer", "learning_accuracy", "triangle_accuracy"
    assert [written[name] for name in empty] == [None] * 5
    assert "nan" not in (waiting.directory / "log.txt").read_text()
    assert len(written["seconds"]) == len(written["method_bytes"]) == 3
    assert (
        written["average_accuracy"]
        == json.loads((plain.directory / "summary.json").read_text())["average_accuracy"]
    )


def test_a_run_that_waits_goes_on_bit_for_bit(joint, tmp_path, capsys):
    shutil.copytree(joint[1].directory.parent, tmp_path, dirs_exist_ok=True)
    config = dataclasses.replace(joint[1], run_dir=str(tmp_path / "run"), export_dir=str(tmp_path / "models"))
    for number in (2, 3):
        shutil.rmtree(config.directory / "checkpoints" / f"task_00{number}")
    (config.directory / "DONE").unlink()
    train.run(config)
    assert "Resuming after task 1" in capsys.readouterr().out
    assert_same(variables_of(config, 3).values(), variables_of(joint[1], 3).values())
    for file in ("matrix.csv", "matrix.png"):
        assert (config.directory / file).read_bytes() == (joint[1].directory / file).read_bytes()


def test_the_time_that_is_left_does_not_count_tasks_that_a_method_waits_through(joint):
    log = (joint[1].directory / "log.txt").read_text()
    assert re.findall(r"about (\d+) s left", log) == ["0"]  # after the one epoch that there is


# ---- what a method reports -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The settings and the summary of a run of hat, which reports how much of the network is used."""
    config = small(tmp_path_factory.mktemp("reported"), method="hat", stream="split", seeds=(0, 3))
    return config, train.run(config)


def capacity(config, seed, number):
    """Share of the units that tasks up to `number` use, from the gates in the checkpoint."""
    folder = RunDirectory(config.directory / f"seed_{seed}").task_folder(number)
    used = [
        value for key, value in saved_variables(folder / "variables").items() if key.startswith("model/m/")
    ]
    return float(np.mean(np.concatenate(used).astype(float)))


def test_what_a_method_reports_reaches_the_summary_as_a_list_with_a_number_a_task(reported):
    config, _ = reported
    for seed in (0, 3):
        written = json.loads((config.directory / f"seed_{seed}" / "summary.json").read_text())
        expected = [capacity(config, seed, number) for number in (1, 2)]
        np.testing.assert_allclose(written["capacity_used"], expected, rtol=1e-5)
        assert 0 < expected[0] <= expected[1] <= 1


def test_what_a_method_reports_is_a_mean_over_seeds(reported):
    config, summary = reported
    expected = np.mean([[capacity(config, seed, number) for number in (1, 2)] for seed in (0, 3)], axis=0)
    np.testing.assert_allclose(summary["capacity_used"], expected, atol=5.1e-4)  # three digits
    assert json.loads((config.directory / "summary.json").read_text()) == {"seeds": [0, 3], **summary}


def test_what_a_method_reports_is_said_when_a_task_is_learned(reported):
    config, _ = reported
    log = (config.directory / "log.txt").read_text()
    said = re.findall(r"task (\d)/2 learned in \d+\.\d s, capacity used (\d\.\d\d\d); accuracy on the", log)
    expected = [(number, capacity(config, seed, number)) for seed in (0, 3) for number in (1, 2)]
    assert said == [(str(number), f"{used:.3f}") for number, used in expected]


# ---- several seeds ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    config = small(tmp_path_factory.mktemp("seeds"), seeds=(0, 3))
    return config, train.run(config)


def test_every_seed_is_a_run_of_its_own_equal_to_that_seed_alone(seeds, finished):
    config, _ = seeds
    assert names_in(config.directory) == {
        "config.json", "seed_0", "seed_3", "matrix.csv", "matrix_std.csv", "summary.json", "log.txt",
        "matrix.png", "accuracy.png", "loss.csv", "class_accuracy.csv", "confusion.csv", "DONE",
        "report.html",
    }  # fmt: skip
    alone = (finished[0].directory / "matrix.csv").read_bytes()
    assert (config.directory / "seed_0" / "matrix.csv").read_bytes() == alone
    assert (config.directory / "seed_3" / "matrix.csv").read_bytes() != alone
    models = config.directory.parent / "models" / "run"
    assert {name: names_in(models / name) for name in names_in(models)} == {
        "seed_0": {"1", "2"},
        "seed_3": {"1", "2"},
    }


def test_several_seeds_end_in_mean_and_deviation(seeds):
    config, summary = seeds
    matrices = np.array([read_matrix(config.directory / f"seed_{seed}" / "matrix.csv") for seed in (0, 3)])
    np.testing.assert_allclose(read_matrix(config.directory / "matrix.csv"), matrices.mean(0), atol=2e-6)
    spread = np.abs(matrices[0] - matrices[1]) / 2**0.5
    np.testing.assert_allclose(read_matrix(config.directory / "matrix_std.csv"), spread, atol=2e-6)
    each = [metrics.average_accuracy(R) for R in matrices]
    mean = summary["average_accuracy"]
    assert mean["n"] == 2 and mean["mean"] == pytest.approx(np.mean(each), abs=2e-6)
    assert mean["std"] == pytest.approx(np.std(each, ddof=1), abs=2e-6)
    assert json.loads((config.directory / "summary.json").read_text()) == {"seeds": [0, 3], **summary}
    losses = [read_matrix(config.directory / f"seed_{seed}" / "loss.csv") for seed in (0, 3)]
    np.testing.assert_allclose(read_matrix(config.directory / "loss.csv"), np.mean(losses, 0), atol=2e-6)
    counts = sum(confusion_of(config.directory / f"seed_{seed}") for seed in (0, 3))
    np.testing.assert_array_equal(confusion_of(config.directory), counts)


def test_several_seeds_that_are_finished_are_shown_and_not_trained(seeds, monkeypatch, capsys):
    config, summary = seeds
    no_training(monkeypatch)
    assert train.run(config) == summary
    shown = capsys.readouterr().out
    assert shown.count("is complete") == 2 and "Mean accuracy (percent) over 2 seeds" in shown
    assert "(sd " in shown


@without_figures
def test_several_seeds_go_on_where_they_were(seeds, tmp_path, capsys):
    shutil.copytree(seeds[0].directory.parent, tmp_path, dirs_exist_ok=True)
    config = small(tmp_path, seeds=(0, 3))
    for name in ("DONE", "seed_3/DONE", "matrix.csv"):
        (config.directory / name).unlink()
    shutil.rmtree(config.directory / "seed_3" / "checkpoints" / "task_002")
    again = train.run(config)
    assert {**again, "seconds": None} == {**seeds[1], "seconds": None}  # time alone is not repeatable
    shown = capsys.readouterr().out
    assert "seed_0 is complete" in shown and "Resuming after task 1" in shown
    matrices = [(folder.directory / "matrix.csv").read_bytes() for folder in (config, seeds[0])]
    assert matrices[0] == matrices[1] and (config.directory / "DONE").exists()


@without_figures
def test_one_seed_in_place_of_several_leaves_no_model_of_theirs(seeds, tmp_path):
    shutil.copytree(seeds[0].directory.parent, tmp_path, dirs_exist_ok=True)
    train.run(small(tmp_path, tasks=1, overwrite=True))
    assert names_in(tmp_path / "models" / "run") == {"1"}
    assert "seed_0" not in names_in(tmp_path / "run")
    train.run(small(tmp_path, tasks=1, seeds=(0, 3), overwrite=True))
    assert names_in(tmp_path / "models" / "run") == {"seed_0", "seed_3"}


@without_figures
def test_each_seed_may_have_a_stream_of_its_own(tmp_path):
    """The run of a seed is that of the seed alone on the stream drawn with the sum of both seeds."""
    split = {"stream": "split", "scenario": "class", "tasks": 5, "iterations": 20}
    drawn = {"stream.class_order": "seeded", "stream.seed": 2}
    config = small(tmp_path / "both", drawn, seeds=(0, 3), stream_per_seed=True, **split)
    train.run(config)
    for seed in config.seeds:
        alone = small(tmp_path / str(seed), drawn | {"stream.seed": 2 + seed}, seeds=(seed,), **split)
        train.run(alone)
        own = config.directory / f"seed_{seed}"
        assert (own / "matrix.csv").read_bytes() == (alone.directory / "matrix.csv").read_bytes()
        stream = make_stream(alone)
        assert load(config.directory, seed=seed).stream.task_classes == stream.task_classes
        assert stream_of(json.loads((own / "config.json").read_text())["settings"]).seed == stream.seed
    counts = sum(confusion_of(config.directory / f"seed_{seed}") for seed in config.seeds)
    np.testing.assert_array_equal(confusion_of(config.directory), counts)
    before = config.settings.keys() - small(tmp_path, drawn, seeds=(0, 3), **split).settings.keys()
    assert before == {"stream_per_seed"}  # so that other runs of earlier versions are resumed


# ---- a loss that is no number ----------------------------------------------------------------------------


def too_bright(folder):
    """An .npz file of four classes; the images of the last two are too bright for float32 to multiply."""
    arrays = blobs([64] * 4, dtype=np.float32)
    for part in ("train", "test"):
        arrays[f"x_{part}"][arrays[f"y_{part}"] >= 2] *= 1e38
    np.savez(folder / "bright.npz", **arrays)
    return str(folder / "bright.npz")


def test_a_loss_that_becomes_nan_keeps_the_tasks_that_were_finished_and_says_so(tmp_path):
    config = small(tmp_path, stream="split", dataset=too_bright(tmp_path))
    with pytest.raises(Diverged) as error:
        train.run(config)
    assert str(error.value) == (
        f"The loss became nan in task 2/2, epoch 1/1. Finished tasks, up to task 1, are kept in "
        f"{config.directory}. A smaller --learning_rate may help."
    )
    assert names_in(config.directory / "checkpoints") == {"task_000", "task_001"}
    assert names_in(config.directory.parent / "models" / "run") == {"1"}
    assert len(read_matrix(config.directory / "matrix.csv")) == 2
    assert not (config.directory / "DONE").exists()
    assert len(RunDirectory(config.directory).finished()) == 2


def test_a_loss_that_becomes_nan_in_the_first_task_keeps_nothing_and_claims_nothing(tmp_path):
    config = small(tmp_path, optimizer="sgd", learning_rate=1e30, epochs=3)
    with pytest.raises(Diverged, match=r"The loss became (nan|inf) in task 1/2, epoch \d/3\. A smaller"):
        train.run(config)
    assert names_in(config.directory / "checkpoints") == {"task_000"}


# ---- real data -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def decoded(tmp_path_factory):
    return str(tmp_path_factory.mktemp("decoded"))


@without_figures
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.slow
def test_real_mnist_is_learned_in_every_scenario(tfds_dir, decoded, tmp_path, scenario):
    places = {"data_dir": str(tfds_dir), "cache_dir": decoded}
    options = {"network.hidden": (32,)}
    config = small(
        tmp_path, options, stream="split", dataset="mnist", scenario=scenario, batch_size=250, **places
    )
    summary = train.run(config)
    matrix = read_matrix(config.directory / "matrix.csv")
    assert matrix[1, 0] > 0.85 and matrix[2, 1] > 0.8
    forgets = {"task": False, "domain": True, "class": True}[scenario]
    assert (matrix[2, 0] < 0.6) == forgets, matrix
    assert summary["average_accuracy"] == pytest.approx(matrix[2].mean(), abs=1e-6)


def test_statistics_of_a_batch_that_are_no_numbers_stop_training_too(tmp_path, monkeypatch):
    def spoilt(model, *_, **__):
        moving = model.network.get_layer("norm_0").moving_mean
        moving.assign(moving * float("nan"))

    monkeypatch.setattr(ContinualModel, "fit", spoilt)
    config = small(tmp_path, method="finetune", options={"network.batch_norm": True})
    with pytest.raises(Diverged, match="weights are no longer finite after task 1/"):
        train.run(config)


# ---- the record of a task --------------------------------------------------------------------------------


def follow(losses):
    """A `EpochHistory` that was told of one epoch for each loss, on the first of two tasks."""
    learner = types.SimpleNamespace(optimizer=keras.optimizers.Adam(0.5))
    record = EpochHistory(learner, task=streams.permuted(tasks=2)[0])
    record.set_params({"epochs": len(losses)})
    for number, loss in enumerate(losses):
        logs = {"loss": loss, "accuracy": 0.5}
        record.on_epoch_begin(number)
        record.on_train_batch_end(0, logs)
        record.on_epoch_end(number, logs)
    return record


def test_there_is_one_record_an_epoch():
    kept = [(e["epoch"], e["loss"], e["accuracy"]) for e in follow([2.0, 1.0]).epochs]
    assert kept == [(1, 2.0, 0.5), (2, 1.0, 0.5)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_training(loss):
    with pytest.raises(Diverged, match=rf"The loss became {loss} in task 1/2, epoch 2/2"):
        follow([2.0, loss])
