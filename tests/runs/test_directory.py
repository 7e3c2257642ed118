"""The run directory: complete or absent, locked, and never confused with anybody else's folder."""

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest
from processes import start

from keras_cl.errors import InputError
from keras_cl.runs import files, opening
from keras_cl.runs.directory import SEALED, RunDirectory, matrix_csv, read_matrix
from keras_cl.runs.files import plain_file_errors, written_aside
from keras_cl.runs.opening import open_run
from keras_cl.runs.results import Results

ABOUT = {"versions": {"keras_cl": "0"}, "commit": None}
NAN = float("nan")


def write_weights(folder):
    (folder / "weights").write_bytes(bytes(range(256)))


def run_with(path, tasks, settings=None):
    """A run in `path` that has finished some tasks."""
    with open_run(path, settings or {"tasks": 3}, ABOUT) as run:
        for number in range(tasks + 1):
            run.commit(number, {"number": number}, write_weights)
    return run


def everything_in(path):
    """`{name: content}` of all files below `path`, hidden ones too, but for the lock."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def refused(path, settings=None, **options):
    with pytest.raises(InputError) as error, open_run(path, settings or {"tasks": 3}, ABOUT, **options):
        pass
    return str(error.value)


# ---- checkpoints -----------------------------------------------------------------------------------------


def test_what_was_committed_comes_back_in_order(tmp_path):
    run = run_with(tmp_path / "run", tasks=2)
    assert run.finished() == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert (run.task_folder(2) / "weights").read_bytes() == bytes(range(256))


def test_done_of_a_checkpoint_holds_a_checksum_of_every_other_file(tmp_path):
    folder = run_with(tmp_path, tasks=0).task_folder(0)
    sums = json.loads((folder / "DONE").read_text())["files"]
    assert set(sums) == {"weights", "results.json"} == {file.name for file in folder.iterdir()} - {"DONE"}
    assert sums["weights"] == "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"


def test_a_commit_that_fails_leaves_nothing(tmp_path):
    run = run_with(tmp_path, tasks=1)
    before = everything_in(tmp_path)

    def fails(folder):
        write_weights(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.commit(2, {"number": 2}, fails)
    assert everything_in(tmp_path) == before and len(run.finished()) == 2


def test_results_that_are_no_json_leave_nothing(tmp_path):
    run = run_with(tmp_path, tasks=0)
    with pytest.raises(TypeError):
        run.commit(1, {"number": object()}, write_weights)
    assert len(run.finished()) == 1 and not run.task_folder(1).exists()


def test_what_a_killed_process_left_aside_does_not_count_and_is_replaced(tmp_path):
    run = run_with(tmp_path, tasks=0)
    aside = tmp_path / "checkpoints" / ".task_001.aside"
    aside.mkdir()
    (aside / "half").write_text("half")
    assert len(run.finished()) == 1
    run.commit(1, {"number": 1}, write_weights)
    assert len(run.finished()) == 2 and not aside.exists()
    assert not (run.task_folder(1) / "half").exists()


def test_tasks_after_a_gap_do_not_count(tmp_path):
    run = run_with(tmp_path, tasks=2)
    run.task_folder(1).rename(tmp_path / "checkpoints" / ".away")
    assert run.finished() == [{"number": 0}]


@pytest.mark.parametrize("name", ["weights", "results.json", "DONE"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path, name, damage):
    run = run_with(tmp_path, tasks=2)
    file = run.task_folder(2) / name
    content = file.read_bytes()
    file.write_bytes({"truncated": content[:-5], "changed": content[:-5] + b"!!!!!", "missing": b""}[damage])
    if damage == "missing":
        file.unlink()
    with pytest.raises(InputError) as error:
        run.finished()
    assert str(error.value) == (
        f"The checkpoint {run.task_folder(2)} is damaged or incomplete; remove that folder and any later one "
        f"to go on after task 1, or give --overwrite to start afresh."
    )


def test_a_damaged_checkpoint_of_the_untrained_network_means_a_new_start(tmp_path):
    run = run_with(tmp_path, tasks=1)
    (run.task_folder(0) / "weights").write_bytes(b"")
    with pytest.raises(InputError, match="remove that folder and any later one to start again, or give"):
        run.finished()


@pytest.mark.parametrize(
    "done", ["{}", "[]", "1", '{"files": {}}', '{"files": {"weights": 1}}', "[" * 100_000]
)
def test_a_checkpoint_without_its_checksums_is_damaged(tmp_path, done):
    run = run_with(tmp_path, tasks=1)
    (run.task_folder(1) / "DONE").write_text(done)
    with pytest.raises(InputError, match="task_001 is damaged or incomplete"):
        run.finished()


# ---- whose checkpoint it is ------------------------------------------------------------------------------


def whose(run):
    with pytest.raises(InputError) as error:
        run.finished()
    return str(error.value)


def test_checkpoints_that_were_swapped_are_refused(tmp_path):
    run = run_with(tmp_path, tasks=2)
    one, other = run.task_folder(1), run.task_folder(2)
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    assert whose(run).startswith(f"The checkpoint {one} is that after task 2 of this run, with the seeds ")


@pytest.mark.parametrize("settings", [{"tasks": 3, "seeds": [1]}, {"tasks": 3, "seeds": [0]}])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, settings):
    run = run_with(tmp_path / "run", 2, {"tasks": 3, "seeds": [0]})
    other = run_with(tmp_path / "other", 2, settings)
    shutil.rmtree(run.task_folder(2))
    shutil.copytree(other.task_folder(2), run.task_folder(2))
    assert whose(run).startswith(
        f"The checkpoint {run.task_folder(2)} is that after task 2 of another run, with the seeds "
        f"{settings['seeds']} and settings "
    )


def test_a_checkpoint_left_from_before_overwrite_is_refused(tmp_path):
    shutil.copytree(run_with(tmp_path / "run", 2).task_folder(1), tmp_path / "kept")
    with open_run(tmp_path / "run", {"tasks": 3}, ABOUT, overwrite=True) as run:
        run.commit(0, {"number": 0}, write_weights)
    shutil.copytree(tmp_path / "kept", run.task_folder(1))
    assert "is that after task 1 of another run" in whose(run)


def test_a_whole_run_can_be_copied(tmp_path):
    run = run_with(tmp_path / "run", 2)
    shutil.copytree(run.path, tmp_path / "copy")
    assert RunDirectory(tmp_path / "copy").finished() == run.finished()


# ---- the last checkpoint alone ---------------------------------------------------------------------------


def kept_last(path, tasks):
    with open_run(path, {"tasks": 3}, ABOUT) as run:
        for number in range(tasks + 1):
            run.commit(number, {"number": number}, write_weights, alone=True)
    return run


def test_the_last_checkpoint_alone_is_kept_with_all_results(tmp_path):
    run = kept_last(tmp_path, 2)
    assert run.kept() == [2] and run.finished() == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert {file.name for file in run.task_folder(1).iterdir()} == {"results.json", "DONE"}
    assert run.kept_folder(2, "load") == run.task_folder(2)
    with pytest.raises(InputError) as error:
        run.kept_folder(1, "load")
    assert str(error.value) == (
        f"load needs the checkpoint after task 1, and {tmp_path} has kept only that after task 2: "
        f"--keep=all keeps every one from the start."
    )


@pytest.mark.parametrize("place", range(9))
def test_a_checkpoint_is_removed_only_when_the_next_is_complete_wherever_it_is_killed(
    tmp_path, monkeypatch, place
):
    run, calls = kept_last(tmp_path, 1), []

    def killing(target, name):
        real = getattr(target, name)

        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) > place:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        monkeypatch.setattr(target, name, call)

    with pytest.raises(KeyboardInterrupt):
        killing(files.pathlib.Path, "rename")
        killing(files.pathlib.Path, "replace")
        killing(files.pathlib.Path, "unlink")
        for number in (2, 3, 4):
            run.commit(number, {"number": number}, write_weights, alone=True)
    monkeypatch.undo()
    finished = len(run.finished()) - 1
    assert finished in run.kept()  # the run can go on
    run.commit(finished + 1, {"number": finished + 1}, write_weights, alone=True)
    assert run.kept() == [finished + 1]
    for number in range(finished + 1):
        assert {file.name for file in run.task_folder(number).iterdir()} == {"results.json", "DONE"}


def test_a_damaged_last_checkpoint_that_is_the_only_one_means_to_start_afresh(tmp_path):
    run = kept_last(tmp_path, 2)
    (run.task_folder(2) / "weights").write_bytes(b"")
    assert whose(run).endswith(
        "damaged or incomplete; no earlier one was kept, and --overwrite starts afresh."
    )


# ---- writing aside ---------------------------------------------------------------------------------------


def test_written_aside_replaces_the_old_folder_as_a_whole(tmp_path):
    folder = tmp_path / "model"
    for name in ("old", "new"):
        with written_aside(folder) as aside:
            assert aside != folder
            (aside / name).write_text(name)
    assert everything_in(tmp_path) == {"model/new": b"new"}


def test_written_aside_makes_the_folders_above(tmp_path):
    with written_aside(tmp_path / "a" / "b" / "c") as aside:
        (aside / "file").write_text("x")
    assert everything_in(tmp_path) == {"a/b/c/file": b"x"}


def test_written_aside_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(OSError, match="full"), written_aside(folder) as aside:
        (aside / "new").write_text("new")
        assert (folder / "old").exists()
        raise OSError("full")
    assert everything_in(tmp_path) == {"model/old": b"old"}


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path)
    run.write("file", "old")
    monkeypatch.setattr(files.pathlib.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        run.write("file", "new")
    assert (tmp_path / "file").read_text() == "old"


def test_what_is_renamed_is_on_disk_before_and_the_folder_after(tmp_path, monkeypatch):
    run, done = run_with(tmp_path / "run", tasks=0), []
    real = os.fsync, files.pathlib.Path.rename, files.pathlib.Path.replace

    def fsync(descriptor):
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real[0](descriptor)

    def renames(call):
        return lambda path, target: done.append(("rename", str(path), str(target))) or call(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(files.pathlib.Path, "rename", renames(real[1]))
    monkeypatch.setattr(files.pathlib.Path, "replace", renames(real[2]))
    run.write("file", "new")
    aside = str(tmp_path / "run" / ".file.aside")
    at = done.index(("rename", aside, str(tmp_path / "run" / "file")))
    assert ("sync", aside) in done[:at] and ("sync", str(tmp_path / "run")) in done[at:]

    run.commit(1, {"number": 1}, write_weights)
    folder = run.task_folder(1)
    aside = folder.with_name(".task_001.aside")
    at = done.index(("rename", str(aside), str(folder)))
    for name in ("weights", "results.json", "."):
        assert ("sync", str(aside / name)) in done[:at], name
    assert ("sync", str(folder.parent)) in done[at:]


# ---- whose directory it is -------------------------------------------------------------------------------


def test_a_new_run_leaves_its_settings_and_what_is_worth_knowing(tmp_path):
    with open_run(tmp_path / "a" / "run", {"tasks": 3, "seeds": (0,)}, ABOUT) as run:
        assert not run.done
    config = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert len(config.pop("run")) == 32 and config == {"settings": {"tasks": 3, "seeds": [0]}, **ABOUT}


def test_the_same_settings_are_let_in_again_and_config_stays_as_it_was(tmp_path):
    with open_run(tmp_path, {"tasks": 3, "hidden": (4, 5)}, ABOUT):
        before = (tmp_path / "config.json").read_bytes()
    with open_run(tmp_path, {"tasks": 3, "hidden": (4, 5)}, {"versions": {"keras_cl": "1"}}) as run:
        run.finish()
    assert (tmp_path / "config.json").read_bytes() == before and run.done


def test_other_settings_are_refused_naming_every_flag_that_differs(tmp_path):
    run_with(tmp_path, 1, {"tasks": 3, "seeds": (0, 1), "epochs": 5, "method.gamma": 1.0})
    before = everything_in(tmp_path)
    other = {"tasks": 4, "seeds": (0,), "epochs": 5, "stream.pad": 2}
    assert refused(tmp_path, other) == (
        f"{tmp_path} holds a run with other settings: --method.gamma was 1.0, now not given; --seeds was "
        f"0,1, now 0; --stream.pad was not given, now 2; --tasks was 3, now 4. Give another --run_dir, or "
        f"--overwrite to start afresh."
    )
    assert everything_in(tmp_path) == before


def test_overwrite_starts_afresh(tmp_path):
    run_with(tmp_path, tasks=2)
    for name in (*SEALED, "log.txt", "DONE"):
        (tmp_path / name).write_text("old")
    (tmp_path / "seed_3" / "checkpoints").mkdir(parents=True)
    with open_run(tmp_path, {"tasks": 4}, ABOUT, overwrite=True) as run:
        assert run.finished() == [] and not run.done
    assert set(everything_in(tmp_path)) == {"config.json"} and not (tmp_path / "seed_3").exists()
    assert json.loads((tmp_path / "config.json").read_text())["settings"] == {"tasks": 4}


def test_overwrite_leaves_what_somebody_added_to_a_run(tmp_path):
    run_with(tmp_path, tasks=1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("mine too")
    with open_run(tmp_path, {"tasks": 4}, ABOUT, overwrite=True) as run:
        assert run.finished() == []
    assert set(everything_in(tmp_path)) == {"config.json", "notes.txt", ".git/HEAD"}


FOREIGN = {
    "a file": {"thesis.tex": "years of work"},
    "a config.json of another program": {"config.json": '{"model_type": "bert"}', "checkpoints": "x"},
    "a config.json that is a list": {"config.json": "[1, 2]"},
    "a config.json that is empty": {"config.json": ""},
    "a config.json that is no text": {"config.json": "\udcff"},
    "settings that are a list": {"config.json": '{"settings": [], "versions": {"keras_cl": "0"}}'},
    "a config.json that is nested too deeply": {"config.json": "[" * 100_000},
    "settings of another program": {"config.json": '{"settings": {"tasks": 3}, "versions": {"tool": "2"}}'},
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_of_something_else_is_never_touched(tmp_path, files, overwrite):
    for name, content in files.items():
        (tmp_path / name).write_text(content, errors="surrogateescape")
    before = everything_in(tmp_path)
    message = refused(tmp_path, overwrite=overwrite)
    assert not (tmp_path / ".lock").exists()
    assert message == (
        f"{tmp_path} holds files ({', '.join(sorted(files))}) without the config.json of a run of this "
        f"program; give another --run_dir."
    )
    assert everything_in(tmp_path) == before


def test_a_folder_that_only_has_hidden_files_may_be_used_and_keeps_them(tmp_path):
    (tmp_path / ".gitignore").write_text("*")
    with open_run(tmp_path, {"tasks": 3}, ABOUT, overwrite=True):
        pass
    assert set(everything_in(tmp_path)) == {".gitignore", "config.json"}


def test_overwriting_that_was_cut_short_can_be_repeated(tmp_path, monkeypatch):
    run_with(tmp_path, tasks=2)
    (tmp_path / "matrix.csv").write_text("old")

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(opening.shutil, "rmtree", killed)
        with open_run(tmp_path, {"tasks": 4}, ABOUT, overwrite=True):
            pass
    with open_run(tmp_path, {"tasks": 4}, ABOUT, overwrite=True) as run:
        assert run.finished() == []
    assert set(everything_in(tmp_path)) == {"config.json"}


def test_the_same_command_without_overwrite_goes_on_with_overwriting_that_was_cut_short(
    tmp_path, monkeypatch
):
    run_with(tmp_path, tasks=2)

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(opening.shutil, "rmtree", killed)
        with open_run(tmp_path, {"tasks": 3}, ABOUT, overwrite=True):
            pass
    assert (tmp_path / "checkpoints" / "task_002").exists()  # of before
    assert "with other settings: --tasks was 3, now 4" in refused(tmp_path, {"tasks": 4})
    with open_run(tmp_path, {"tasks": 3}, ABOUT) as run:
        assert run.finished() == []
    assert "overwriting" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("left", [b"", b"\0" * 100])
def test_a_config_that_a_power_loss_emptied_does_not_lock_the_run_away(tmp_path, left):
    run = run_with(tmp_path, tasks=2)
    before = run.identity
    (tmp_path / "config.json").write_bytes(left)
    assert refused(tmp_path, {"tasks": 4}) == (
        f"{tmp_path / 'config.json'} is empty, and the checkpoints are of a run with other settings; give "
        f"these, another --run_dir, or --overwrite to start afresh."
    )
    with open_run(tmp_path, {"tasks": 3}, ABOUT) as run:
        assert len(run.finished()) == 3 and run.identity == before
    (tmp_path / "config.json").write_bytes(left)
    with open_run(tmp_path, {"tasks": 4}, ABOUT, overwrite=True) as run:
        assert run.finished() == []


def test_a_config_emptied_before_there_was_a_checkpoint_means_a_new_run(tmp_path):
    with open_run(tmp_path, {"tasks": 3}, ABOUT):
        pass
    (tmp_path / "config.json").write_bytes(b"")
    with open_run(tmp_path, {"tasks": 4}, ABOUT) as run:
        assert run.finished() == []


# ---- settings that grow ----------------------------------------------------------------------------------


def opened(path, *seeds):
    with open_run(path, {"seeds": seeds}, ABOUT, grows=("seeds",)) as run:
        return run.done


def test_values_are_added_to_a_setting_that_grows_and_the_run_is_not_complete_then(tmp_path):
    with open_run(tmp_path, {"seeds": (0, 1)}, ABOUT) as run:
        run.finish()
    identifier = run.identity["run"]
    assert opened(tmp_path, 0, 1) and not opened(tmp_path, 0, 1, 7)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["settings"] == {"seeds": [0, 1, 7]} and config["run"] == identifier


@pytest.mark.parametrize(("earlier", "seeds"), [((0, 1), (1, 2)), ((0, 1, 2), (0, 1)), ((0,), (0, 1))])
def test_values_are_not_taken_away_nor_added_to_one(tmp_path, earlier, seeds):
    opened(tmp_path, *earlier)
    with pytest.raises(
        InputError, match=r"--seeds was .*, now .* \(to add some, give the earlier ones too\)"
    ):
        opened(tmp_path, *seeds)


# ---- what a finished run has lost ------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["lost", "edited"])
def test_a_complete_run_knows_what_was_lost_or_edited(tmp_path, damage):
    with open_run(tmp_path, {"tasks": 3}, ABOUT) as run:
        assert run.changed() == []
        run.write_matrix(MATRIX)
        run.write_json("summary.json", {"accuracy": 1})
        run.finish()
    assert run.done and run.changed() == []
    for name in ("matrix.csv", "summary.json"):
        (tmp_path / name).unlink() if damage == "lost" else (tmp_path / name).write_text("other")
    assert run.done and run.changed() == ["matrix.csv", "summary.json"]


@pytest.mark.parametrize("done", ["", "{}", "[]"])
def test_a_run_whose_done_has_no_checksums_is_not_complete(tmp_path, done):
    (tmp_path / "DONE").write_text(done)
    assert not RunDirectory(tmp_path).done


# ---- one process at a time -------------------------------------------------------------------------------

HOLD = """
import sys
from keras_cl.runs.opening import open_run
with open_run(sys.argv[1], {"tasks": 3}, {"versions": {"keras_cl": "0"}}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    holder = start("-c", HOLD, str(tmp_path), stdin=-1)
    try:
        assert holder.stdout.readline() == "held\n"
        before = everything_in(tmp_path)
        expected = f"Another process is writing to {tmp_path}; wait for it or give --run_dir."
        assert refused(tmp_path) == expected
        assert refused(tmp_path, overwrite=True) == expected
        assert everything_in(tmp_path) == before
    finally:
        holder.kill()  # the lock goes with the process, however it ends
        holder.communicate()
    with open_run(tmp_path, {"tasks": 3}, ABOUT):
        pass


# ---- tables ----------------------------------------------------------------------------------------------

MATRIX = np.array([[0.1, NAN], [1.0, 0.25], [0.123457, 0.0]])


def test_the_matrix_is_written_with_a_row_a_moment_and_empty_where_nothing_was_measured():
    assert matrix_csv(MATRIX) == (
        "after_tasks,task_1,task_2\n0,0.100000,\n1,1.000000,0.250000\n2,0.123457,0.000000\n"
    )


def test_the_matrix_comes_back_from_its_file(tmp_path):
    run = RunDirectory(tmp_path)
    run.write_matrix(MATRIX)
    run.write_matrix(MATRIX + 1, "matrix_std.csv")
    np.testing.assert_array_equal(read_matrix(tmp_path / "matrix.csv"), MATRIX)
    np.testing.assert_array_equal(read_matrix(tmp_path / "matrix_std.csv"), MATRIX + 1)


def test_results_are_written_as_matrix_and_one_line_an_epoch(tmp_path):
    epochs = [
        {"epoch": 1, "loss": 2.0, "accuracy": 0.5, "seconds": 0.1},
        {"epoch": 2, "loss": 1.0, "accuracy": 0.75, "seconds": 0.1, "accuracies": [0.75, None]},
    ]
    rows = [{"accuracies": [0.5, 0.5], "epochs": []}, {"accuracies": [0.75, 0.5], "epochs": epochs}]
    RunDirectory(tmp_path).write_results(Results(rows))
    np.testing.assert_array_equal(read_matrix(tmp_path / "matrix.csv"), [[0.5, 0.5], [0.75, 0.5]])
    first, second = csv.DictReader(io.StringIO((tmp_path / "metrics.csv").read_text()))
    assert [first[name] for name in ("task", "epoch", "loss", "accuracy")] == ["1", "1", "2.0", "0.5"]
    assert [(row["task_1"], row["task_2"]) for row in (first, second)] == [("", ""), ("0.75", "")]


# ---- disks -----------------------------------------------------------------------------------------------


def test_an_error_of_the_disk_becomes_a_sentence_with_the_file(tmp_path):
    with pytest.raises(InputError) as error, plain_file_errors(tmp_path):
        raise OSError(28, "No space left on device", "weights")
    assert str(error.value) == f"Writing to {tmp_path} failed: No space left on device (weights)."


def test_it_says_that_finished_tasks_are_kept_where_there_are_some(tmp_path):
    run_with(tmp_path, tasks=0)
    with pytest.raises(InputError) as error, plain_file_errors(tmp_path):
        raise OSError("the disk went away")
    assert str(error.value) == (
        f"Writing to {tmp_path} failed: the disk went away. Tasks that were finished are kept; the same "
        f"command goes on from there."
    )


def test_a_directory_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    assert refused(tmp_path / "file" / "run").startswith(
        f"Writing to {tmp_path / 'file' / 'run'} failed: Not a directory"
    )
    assert "File exists" in refused(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused(tmp_path / "run")
