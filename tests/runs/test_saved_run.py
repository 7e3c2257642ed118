"""Runs read from their directories: finished or not, of this version or another, whole or damaged."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import silent
from processes import small
from saved_runs import ABOUT, matrix, write_run

import keras_cl
from keras_cl import metrics, train
from keras_cl.errors import InputError
from keras_cl.runs.directory import RunDirectory, read_matrix
from keras_cl.runs.opening import open_run
from keras_cl.runs.saved_run import read


def refused(paths):
    with pytest.raises(InputError) as error:
        read(paths)
    return str(error.value)


def change(file, **values):
    """Changes values in a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# ---- what is read ----------------------------------------------------------------------------------------


def test_a_finished_run(tmp_path):
    write_run(tmp_path / "run", {7: matrix([0.5, 0.6, 0.9])})
    (run,) = read(tmp_path / "run")
    assert (run.seed, run.tasks, run.total, run.done, run.state) == (7, 3, 3, True, "finished")
    np.testing.assert_array_equal(run.matrix, matrix([0.5, 0.6, 0.9]))
    assert run.settings["method"] == "ewc" and run.about["devices"] == ["cpu"]
    assert run.summary["average_accuracy"] == pytest.approx(2 / 3)
    assert run.summary["seconds"] == 6.0 and run.summary["method_bytes"] == 2**20
    assert run.summary["forward_transfer"] is None


@pytest.mark.usefixtures("eagerly")
def test_a_run_that_was_trained_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_cl.report.figures.draw", lambda path: None)
    monkeypatch.setattr("keras_cl.report.write.of_run", lambda path: None)
    train.run(small(tmp_path, seeds=(3,)), display=silent())
    (run,) = read(tmp_path / "run")
    assert (run.seed, run.done, run.other_version) == (3, True, False)
    np.testing.assert_allclose(run.matrix, read_matrix(run.path / "matrix.csv"), atol=1e-6)
    written = json.loads((run.path / "summary.json").read_text())
    assert {name: written[name] for name in metrics.DESCRIPTIONS}.items() <= run.summary.items()
    assert run.summary["seconds"] == sum(written["seconds"])
    assert run.summary["parameters"] == written["parameters"] > 0


def test_what_is_finished_does_not_wait_for_its_seal(tmp_path):
    """The report of a run is made before its last file is written, and lost figures change no result."""
    write_run(tmp_path / "open", {0: matrix(0.5)}, finish=False)
    write_run(tmp_path / "sealed", {0: matrix(0.5)})
    RunDirectory(tmp_path / "sealed").write_matrix(matrix(0.4))
    assert [run.done for run in read([tmp_path / "open", tmp_path / "sealed"])] == [True, True]


def test_every_seed_is_a_run_also_those_that_were_added(tmp_path):
    path = tmp_path / "run"
    write_run(path, {0: matrix(0.5), 10: matrix(0.6)})
    write_run(path, {2: matrix(0.7)}, planned=(0, 10, 2))
    runs = read(path)
    assert [(run.seed, run.path.name, run.run) for run in runs] == [
        (seed, f"seed_{seed}", path) for seed in (0, 10, 2)
    ]
    assert {run.planned for run in runs} == {(0, 10, 2)}


def test_a_run_is_read_where_it_stopped(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5), 1: matrix(0.5)[:2]}, planned=(0, 1, 2))
    whole, part = read(path)
    assert (part.tasks, part.total, part.done, part.state) == (1, 3, False, "1 of 3 tasks")
    assert part.matrix.shape == (4, 3) and np.isnan(part.matrix[2:]).all() and part.matrix[1, 0] == 0.95
    assert part.summary == dict.fromkeys(whole.summary.keys() & part.summary.keys())
    assert "average_accuracy" in part.summary and "seconds" not in part.summary
    assert whole.done


def test_one_task_that_is_not_learned_has_no_metric(tmp_path):
    """A run of one task has no forgetting once it is finished, and not before."""
    path = write_run(tmp_path / "run", {0: np.full((1, 1), 0.1)}, tasks=1)
    assert set(read(path)[0].summary.values()) == {None}


@pytest.mark.parametrize("seeds", [(4,), (4, 5)])
def test_a_run_that_has_only_its_settings(tmp_path, seeds):
    (run,) = read(write_run(tmp_path / "run", {}, planned=seeds))
    assert (run.seed, run.tasks, run.total, run.state) == (4, 0, 3, "not begun")
    assert np.isnan(run.matrix).all() and run.matrix.shape == (4, 3) and run.planned == seeds


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_run_that_is_being_overwritten_has_nothing(tmp_path, seeds):
    path = write_run(tmp_path / "run", dict.fromkeys(seeds, matrix(0.5)))
    change(path / "config.json", overwriting=True, run="another")
    assert read(path)[0].state == "not begun"


def test_a_run_without_variables_is_whole(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5)})
    RunDirectory(path).keep_last(3)
    assert read(path)[0].done


@pytest.mark.parametrize(
    "about", [{"versions": {"keras_cl": "0.0.9"}}, {"versions": {"keras_cl": "9.0"}, "new": 1}]
)
def test_a_run_of_another_version_is_read_and_says_so(tmp_path, about):
    (run,) = read(write_run(tmp_path / "run", {0: matrix(0.5)}, about=about))
    assert run.other_version and run.version == about["versions"]["keras_cl"] and run.done
    assert not read(write_run(tmp_path / "own", {0: matrix(0.5)}))[0].other_version


def test_records_of_another_version_may_lack_costs(tmp_path):
    settings = {"method": "ewc", "tasks": 1, "seeds": [0]}
    with open_run(tmp_path / "run", settings, ABOUT) as run:
        for number, accuracy in enumerate((0.1, 0.9)):
            run.commit(number, {"accuracies": [accuracy]}, lambda folder: None)
    summary = read(tmp_path / "run")[0].summary
    assert summary["average_accuracy"] == 0.9 and "parameters" not in summary


# ---- where they are --------------------------------------------------------------------------------------


def test_patterns_find_the_runs_among_other_folders(tmp_path, monkeypatch):
    for name in ("b", "a"):
        write_run(tmp_path / "runs" / name, {0: matrix(0.5)})
    (tmp_path / "runs/notes").mkdir()
    (tmp_path / "runs/search").mkdir()
    (tmp_path / "runs/search/config.json").write_text('{"settings": {"tuner": "grid"}}')
    monkeypatch.chdir(tmp_path)
    assert [run.path.name for run in read("runs/*")] == ["a", "b"]
    assert [run.path.name for run in read(["runs/b", "runs/a"])] == ["b", "a"]
    assert [run.path.name for run in read("**")] == ["a", "b"]


def test_a_directory_that_is_named_twice_counts_once(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5), 1: matrix(0.5)})
    assert [run.seed for run in read([path, path / "seed_1", f"{tmp_path}/*"])] == [0, 1]


def test_a_name_with_brackets_is_a_name(tmp_path):
    assert read(write_run(tmp_path / "run[1]", {0: matrix(0.5)}))[0].done


def test_what_is_not_there_is_said_with_the_nearest_name(tmp_path, monkeypatch):
    write_run(tmp_path / "runs/finetune", {0: matrix(0.5)})
    monkeypatch.chdir(tmp_path)
    assert refused("runs/finetun") == (
        "There is no run at runs/finetun. runs has finetune. Did you mean finetune?"
    )
    assert refused("runs/finetun*e*x") == (
        "There is no run at runs/finetun*e*x. runs has finetune. Did you mean finetune?"
    )
    assert refused("rns/*") == "There is no run at rns/*. Did you mean runs?"
    assert refused(tmp_path / "rns") == f"There is no run at {tmp_path}/rns. Did you mean runs?"
    assert refused([]).startswith("No run is given")


def test_a_folder_that_is_no_run(tmp_path):
    write_run(tmp_path / "runs/finetune", {0: matrix(0.5)})
    (tmp_path / "empty").mkdir()
    assert (
        refused(tmp_path / "empty") == f"{tmp_path}/empty is no run of this program: it has no config.json."
    )
    assert refused(tmp_path / "runs").endswith(f"There is one in 1 of its folders: give '{tmp_path}/runs/*'.")
    (tmp_path / "empty/config.json").write_text('{"settings": {"tuner": "grid"}}')
    assert "has no settings of a run" in refused(tmp_path / "empty")


# ---- what is damaged -------------------------------------------------------------------------------------


def lose(file):
    file.unlink()


def edit(file):
    file.write_text(file.read_text().replace("0.95", "0.99"))


def empty(file):
    file.write_text("")


@pytest.mark.parametrize("damage", [lose, edit, empty])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_results_that_were_changed_are_named(tmp_path, damage, seeds):
    path = write_run(tmp_path / "run", dict.fromkeys(seeds, matrix(0.5)))
    part = path / f"seed_{seeds[-1]}" if len(seeds) > 1 else path
    damage(part / "checkpoints/task_002/results.json")
    assert str(part / "checkpoints/task_002/results.json") in refused(path)


@pytest.mark.parametrize("damage", [lose, empty])
def test_a_checkpoint_without_its_seal_is_named(tmp_path, damage):
    path = write_run(tmp_path / "run", {0: matrix(0.5)})
    damage(path / "checkpoints/task_002/DONE")
    assert "checkpoints/task_002" in refused(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0\0", '{"settings": 1'])
def test_settings_that_cannot_be_read_are_named(tmp_path, text):
    path = write_run(tmp_path / "runs/a", {0: matrix(0.5)})
    (path / "config.json").write_text(text)
    assert refused(path) == f"The run {path} is damaged: {path}/config.json cannot be read."
    assert refused(tmp_path / "runs/*") == refused(path)


def test_a_checkpoint_that_is_gone_is_named(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5)})
    shutil.rmtree(path / "checkpoints/task_001")
    assert "checkpoints/task_001 is gone" in refused(path)


def test_a_finished_run_without_checkpoints_is_not_one_that_has_not_begun(tmp_path):
    path = write_run(tmp_path / "run", {0: matrix(0.5)})
    shutil.rmtree(path / "checkpoints")
    assert "results are gone" in refused(path)


def test_a_checkpoint_of_another_run_is_named(tmp_path):
    path, other = (write_run(tmp_path / name, {0: matrix(0.5)}) for name in ("run", "other"))
    shutil.rmtree(path / "checkpoints/task_002")
    shutil.copytree(other / "checkpoints/task_002", path / "checkpoints/task_002")
    assert f"{path}/checkpoints/task_002 is that of another run" in refused(path)


@pytest.mark.parametrize("record", [{}, {"accuracies": "all"}, {"accuracies": [0.5, 0.5]}])
def test_records_that_are_not_understood_are_named_with_the_version_that_wrote_them(tmp_path, record):
    path = write_run(tmp_path / "run", {0: matrix(0.5)}, about={"versions": {"keras_cl": "9.0"}})
    RunDirectory(path).commit(2, record, lambda folder: None)
    told = refused(path)
    assert "checkpoints/task_002/results.json is not understood" in told
    assert f"written by keras_cl 9.0, and this is {keras_cl.__version__}" in told


# ---- as a table for a notebook ---------------------------------------------------------------------------


def test_runs_as_a_data_frame(tmp_path):
    write_run(tmp_path / "a", {0: matrix(0.5), 1: matrix(0.7)}, method__strength=1.0)
    write_run(tmp_path / "b", {3: matrix(0.5)[:3]}, method="si", network__hidden=[10])
    frame = keras_cl.runs.load([tmp_path / "a", tmp_path / "b"])
    assert frame["seed"].tolist() == [0, 1, 3] and frame["done"].tolist() == [True, True, False]
    assert frame["method"].tolist() == ["ewc", "ewc", "si"] and frame["finished_tasks"].tolist() == [3, 3, 2]
    assert frame["tasks"].tolist() == [3, 3, 3] and "seeds" not in frame
    means = frame.groupby(["method", "network.hidden"])["average_accuracy"].mean()
    assert means["ewc", (400, 400)] == pytest.approx(0.6)
    assert frame["average_accuracy"].isna().tolist() == [False, False, True]
    assert frame["forward_transfer"].isna().all() and frame["forward_transfer"].dtype == float
    stacked = np.stack(frame[frame["method"] == "ewc"]["matrix"])
    np.testing.assert_array_equal(stacked, [matrix(0.5), matrix(0.7)])
    assert np.isnan(frame.loc[2, "matrix"][3]).all()


def test_reading_runs_loads_no_tensorflow(tmp_path):
    write_run(tmp_path / "a", {0: matrix(0.5)})
    program = (
        "import sys, keras_cl\n"
        f"assert 'pandas' not in sys.modules; assert len(keras_cl.runs.load({str(tmp_path / 'a')!r})) == 1\n"
        "assert 'load' in dir(keras_cl.runs)\n"
        "print(*{'tensorflow', 'tf_keras', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_runs_have_no_other_names():
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        keras_cl.runs.lod  # noqa: B018
