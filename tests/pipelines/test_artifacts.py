"""Artifacts: complete or none, every edit is seen, and an id vouches for the whole way back."""

import errno
import functools
import json
import os
import pathlib
import re
import shutil
import signal

import artifact_lines
import faults
import pytest

from keras_cl.errors import InputError
from keras_cl.runs import seals
from pipelines import artifacts


@pytest.fixture
def two(tmp_path):
    """Examples of task 1, and of tasks 1 and 2, which share the files of task 1."""
    first = artifact_lines.examples(tmp_path, 1)
    return first, artifact_lines.examples(tmp_path, 2, first)


def test_a_record_says_what_an_artifact_was_made_of(two):
    first, second = two
    record = artifacts.read_record(second)
    assert record["component"] == "ExampleGen" and record["artifact"] == "examples"
    assert record["settings"] == {"settings": artifact_lines.SETTINGS, "number": 2, "folder": ""}
    assert record["inputs"]["previous"] == {
        "path": str(first),
        "digest": artifacts.verified(first),
        "id": artifacts.read_record(first)["id"],
    }
    assert record["digest"] == artifacts.digest_of(second) == artifacts.verified(second)
    assert record["code"] == artifact_lines.CODE and record["began"] <= record["time"]


def test_the_history_has_the_records_back_to_the_raw_data(two):
    first, second = map(artifacts.read_record, two)
    assert artifacts.history_of(two[1]) == {first["id"]: first, second["id"]: second}


def test_the_same_work_elsewhere_has_the_same_id_and_other_work_has_not(two, tmp_path):
    first = artifact_lines.examples(tmp_path / "elsewhere", 1)
    second = artifact_lines.examples(tmp_path / "elsewhere", 2, first)
    assert [artifacts.read_record(one)["id"] for one in (first, second)] == [
        artifacts.read_record(one)["id"] for one in two
    ]
    other = artifact_lines.examples(tmp_path / "other", 1, text=" with another image")
    after = artifact_lines.small("SchemaGen", "schema", tmp_path / "other", 1, statistics=other)
    before = artifact_lines.small("SchemaGen", "schema", tmp_path, 1, statistics=two[0])
    assert artifacts.verified(after) == artifacts.verified(before)
    assert artifacts.read_record(after)["id"] != artifacts.read_record(before)["id"]


def seal_again(folder):
    (folder / seals.DONE).unlink()
    seals.seal_all(folder)


def edit_record(folder, **changed):
    record = json.loads((folder / artifacts.RECORD).read_text())
    (folder / artifacts.RECORD).write_text(json.dumps(record | changed))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda folder: (folder / "task_002/rows").write_text("other rows"), "task_002/rows"),
        (lambda folder: (folder / "task_002/rows").unlink(), "task_002/rows"),
        (lambda folder: (folder / "task_002/more").write_text("a shard"), "task_002/more"),
        (lambda folder: edit_record(folder, code="other"), "artifact.json"),
        (lambda folder: (folder / artifacts.HISTORY).write_bytes(b""), "history.json.gz"),
        (
            lambda folder: ((folder / "task_002/rows").write_text("other rows"), seal_again(folder)),
            "artifact.json",
        ),
        (lambda folder: (edit_record(folder, code="other"), seal_again(folder)), "artifact.json"),
    ],
    ids=["changed", "removed", "added", "record", "history", "sealed again", "record sealed again"],
)
def test_an_edited_artifact_is_refused_and_the_file_named(two, edit, named, tmp_path):
    edit(two[1])
    message = f"The artifact {two[1]} was edited: the digest of {named} is not the one recorded."
    with pytest.raises(InputError) as refused:
        artifacts.verified(two[1])
    assert str(refused.value) == message
    with pytest.raises(InputError) as refused:  # by the component that would read it
        artifact_lines.examples(tmp_path, 3, two[1])
    assert str(refused.value) == message
    assert not (tmp_path / "task3").exists()


def test_a_shared_file_that_is_edited_in_place_is_named_in_both_artifacts(two):
    first, second = two
    assert (first / "task_001/rows").samefile(second / "task_001/rows")
    (first / "task_001/rows").write_text("edited")
    for folder in two:
        with pytest.raises(InputError, match=f"{folder} was edited: the digest of task_001/rows is not"):
            artifacts.verified(folder)


def test_a_shared_file_that_is_replaced_is_edited_in_one_artifact(two):
    first, second = two
    (first / "task_001/new").write_text("edited")
    (first / "task_001/new").replace(first / "task_001/rows")
    with pytest.raises(InputError, match=f"{first} was edited"):
        artifacts.verified(first)
    assert artifacts.verified(second)


def test_a_disk_that_is_full_at_any_write_is_one_sentence_and_no_artifact(two, tmp_path):
    def made(place):
        return artifact_lines.examples(place, 2, two[0])

    def full(number, count):
        if count == number:
            raise OSError(errno.ENOSPC, "No space left on device")

    total = faults.counted(lambda: made(tmp_path / "whole"), faults.takes_room)
    assert total > 10
    for number in range(1, total + 1):
        place = tmp_path / str(number)
        disturbed = faults.disturbed(functools.partial(full, number), faults.takes_room)
        with disturbed, pytest.raises(InputError) as error:
            made(place)
        said = r"ExampleGen could not read or write its files: No space left on device( \(\S+\))?\."
        assert re.fullmatch(said, str(error.value)), number
        assert seals.read_seal(place / "task2/example-gen/examples") is None or number == total
        artifacts.verified(made(place))


def test_a_disk_without_links_gets_copies(two, tmp_path, monkeypatch):
    def refused(*args):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    artifacts.linked(two[0], tmp_path / "copy")
    assert (tmp_path / "copy/task_001/rows").read_text() == "rows of task 1"
    assert not (tmp_path / "copy/task_001/rows").samefile(two[0] / "task_001/rows")
    assert [entry.name for entry in (tmp_path / "copy").iterdir()] == ["task_001"]


@pytest.mark.parametrize("missing", ["folder", "DONE", "artifact.json"])
def test_what_is_no_artifact_is_refused(two, missing):
    if missing == "folder":
        shutil.rmtree(two[0])
    else:
        (two[0] / missing).unlink()
    with pytest.raises(InputError, match=r"is missing or unfinished\.$|was edited: .* artifact\.json is not"):
        artifacts.verified(two[0])


def test_a_component_that_fails_leaves_no_artifact_and_the_next_run_none_of_its_files(tmp_path):
    folder = tmp_path / "model"
    with pytest.raises(ZeroDivisionError), artifacts.produced("Trainer", {"model": folder}):
        (folder / "half").write_text("half a model")
        1 / 0  # noqa: B018
    assert not (folder / artifacts.RECORD).exists()
    with pytest.raises(InputError, match="unfinished"):
        artifacts.verified(folder)
    with artifacts.produced("Trainer", {"model": folder}):
        (folder / "whole").write_text("a model")
    assert artifacts.verified(folder) and not (folder / "half").exists()


def test_a_component_that_is_killed_at_any_file_operation_leaves_a_whole_artifact_or_none(tmp_path):
    first = artifact_lines.examples(tmp_path, 1)

    def act(name):
        return functools.partial(artifact_lines.examples, tmp_path / name, 2, first)

    total = faults.counted(act("whole"), faults.writes)
    assert total > 15
    sealed = []
    for number in range(1, total + 1):
        folder = tmp_path / str(number) / "task2/example-gen/examples"
        killed = functools.partial(faults.killed_at, number, faults.writes, act(str(number)))
        assert faults.in_a_fork(killed) == -signal.SIGKILL
        sealed.append(seals.read_seal(folder) is not None)
        if sealed[-1]:
            assert artifacts.verified(folder)
        else:
            with pytest.raises(InputError, match="is missing or unfinished"):
                artifacts.verified(folder)
        assert artifacts.verified(first)
        act(str(number))()
        assert artifacts.verified(folder)
    assert sealed == sorted(sealed) and sealed.count(True) == 1  # only the folder is synced after DONE


def test_a_component_that_writes_into_a_shared_file_is_refused(two, tmp_path):
    """Opening a linked file for writing writes into the artifact that it was linked from."""
    third = tmp_path / "task3"
    producing = artifacts.produced("ExampleGen", {"examples": third}, {"previous": two[1]})
    with pytest.raises(InputError) as refused, producing:
        artifacts.linked(two[1], third)
        (third / "task_002/rows").write_text("rows of task 2 and more")
    assert str(refused.value) == f"The artifact {two[1]} changed while it was read: task_002/rows."
    with pytest.raises(InputError, match="unfinished"):
        artifacts.verified(third)


def test_linking_never_writes_into_a_file_that_is_there(two, tmp_path):
    other = artifact_lines.examples(tmp_path / "other", 1, text=" of others")
    artifacts.linked(two[0], tmp_path / "both")
    with pytest.raises(OSError, match="File exists"):
        artifacts.linked(other, tmp_path / "both")
    assert artifacts.verified(two[0]) and artifacts.verified(other)


def test_the_outputs_of_a_component_become_artifacts_together(tmp_path):
    outputs = {"model": tmp_path / "model", "report": tmp_path / "report"}
    with artifacts.produced("Trainer", outputs):
        (outputs["model"] / "weights").write_text("weights")
        (outputs["report"] / "report").write_text("a report")
    assert len({artifacts.read_record(folder)["id"] for folder in outputs.values()}) == 2
    assert all(map(artifacts.verified, outputs.values()))
    with pytest.raises(InputError), artifacts.produced("Trainer", outputs):
        (outputs["report"] / "link").symlink_to(tmp_path)
    assert not any((folder / "DONE").exists() for folder in outputs.values())


def test_settings_that_cannot_be_recorded_fail_before_the_work(tmp_path):
    with (
        pytest.raises(TypeError),
        artifacts.produced("Trainer", {"model": tmp_path / "model"}, network=object()),
    ):
        pytest.fail("the work began")


def test_a_link_in_an_output_is_refused_because_nobody_would_see_an_edit_behind_it(tmp_path):
    folder = tmp_path / "examples"
    with (
        pytest.raises(InputError, match="raw is a link"),
        artifacts.produced("ExampleGen", {"examples": folder}),
    ):
        (folder / "raw").symlink_to(pathlib.Path("/"))
    with pytest.raises(InputError, match="unfinished"):
        artifacts.verified(folder)
