"""Pusher: whole versions that never change, whatever happens to the process, the disk or the artifacts.

A push is killed, or the disk is full, at every single file operation; the operations are counted, not listed.
"""

import errno
import functools
import json
import os
import pathlib
import resource
import shutil
import signal
import threading

import artifact_lines
import faults
import pytest

from keras_cl.errors import InputError
from keras_cl.runs import seals
from pipelines import artifacts
from pipelines.artifacts import LINEAGE
from pipelines.components.pusher import EVALUATION, pusher

ADDED = (LINEAGE, EVALUATION)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Artifacts of two tasks."""
    return artifact_lines.line(tmp_path_factory.mktemp("root"))


def push(one, folder, *, name="digits", **other):
    """Pushes the model of a task below `folder`; returns pushed.json."""
    given = {key: str(one[key]) for key in ("model", "blessing", "infra_blessing")} | other
    place = {"serving_dir": str(folder / "serving"), "model_name": name}
    pusher(**given, **place, pushed=str(pushed(one, folder)), code="")
    artifacts.verified(pushed(one, folder))
    return json.loads((pushed(one, folder) / "pushed.json").read_text())


def pushed(one, folder):
    """Where `push` leaves the Pushed artifact of a task."""
    return folder / "pushed" / one["model"].parents[1].name


def refusal(*args, **kwargs):
    with pytest.raises(InputError) as refused:
        push(*args, **kwargs)
    return str(refused.value)


def files(folder):
    """`{name: content}` of the files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def versions(folder):
    """What a server sees: the names of the versions."""
    return sorted(p.name for p in (folder / "serving/digits").iterdir() if not p.name.startswith("."))


def assert_whole(one, version):
    """A version has all files of its model, and their digests are those that were recorded."""
    of = one["model"] / "saved_models" / version.name
    assert not seals.changed(version) and not artifacts.differing(version)
    own = {name: content for name, content in files(version).items() if name not in (*ADDED, seals.DONE)}
    assert own == {name: content for name, content in files(of).items() if name != seals.DONE}
    assert json.loads((version / LINEAGE).read_text())["record"]["inputs"]["model"]["path"] == str(
        one["model"]
    )


# ---- what is pushed --------------------------------------------------------------------------------------


def test_a_blessed_model_is_served_whole_with_its_lineage_and_pushing_it_again_changes_nothing(
    made, tmp_path
):
    for task, one in enumerate(made, 1):
        served = tmp_path / "serving/digits" / str(task)
        assert push(one, tmp_path) == {"pushed": True, "version": task, "path": str(served), "reasons": []}
        assert_whole(one, served)
    before = files(tmp_path / "serving")
    for one in made[::-1]:
        assert push(one, tmp_path)["pushed"]
    assert files(tmp_path / "serving") == before


def test_a_served_model_is_still_what_its_run_sealed(made, tmp_path):
    push(made[0], tmp_path)
    done = seals.read_seal(tmp_path / "serving/digits/1")
    assert (done["run"], done["task"]) == ("a run", 1)


def test_the_lineage_has_the_records_of_everything_that_the_model_and_its_blessings_were_made_of(
    made, tmp_path
):
    push(made[1], tmp_path)
    told = json.loads((tmp_path / "serving/digits/2" / LINEAGE).read_text())
    made_of = ("examples", "model", "evaluation", "blessing")  # of both tasks
    expected = {artifacts.read_record(one[name])["id"] for one in made for name in made_of}
    expected.add(artifacts.read_record(made[1]["infra_blessing"])["id"])
    assert set(told["history"]) == expected
    assert all(artifacts.identity(record) == key for key, record in told["history"].items())
    assert artifacts.identity(told["record"]) == told["record"]["id"]


def test_a_model_that_is_not_blessed_is_not_pushed_and_the_reasons_are_told(made, tmp_path):
    one, root = made[0], tmp_path / "root"
    unblessed = artifact_lines.blessing(root, 1, one["evaluation"], blessed=False)
    refused = artifact_lines.infra_blessing(root, 1, one["model"], one["examples"], blessed=False)
    told = push(one, tmp_path, blessing=str(unblessed))
    reasons = ["Task 1 forgot 30 points; at most 10 are allowed."]
    assert told == {"pushed": False, "version": 1, "path": "", "reasons": reasons}
    told = push(one, tmp_path, infra_blessing=str(refused))
    assert told["reasons"] == ["The server did not answer."]
    told = push(one, tmp_path, blessing=str(unblessed), infra_blessing=str(refused))
    assert told["reasons"] == [*reasons, "The server did not answer."]
    assert not (tmp_path / "serving").exists()


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model", "blessing", "infra_blessing"])
def test_an_artifact_that_was_edited_is_named_and_nothing_is_pushed(name, tmp_path):
    (one,) = artifact_lines.line(tmp_path / "root", 1)
    file = {"model": "saved_models/1/saved_model.pb"}.get(name, f"{name}.json")
    (one[name] / file).write_text('{"blessed": true, "task": 1}')
    message = f"The artifact {one[name]} was edited: the digest of {file} is not the one recorded."
    assert refusal(one, tmp_path) == message
    assert not (tmp_path / "serving").exists() and not (tmp_path / "pushed").exists()


def test_blessings_of_another_task_or_another_model_are_refused(made, tmp_path):
    one, two = made
    assert refusal(two, tmp_path, blessing=str(one["blessing"])) == (
        f"The blessing {one['blessing']} is not about {two['model']}: it was made of another model."
    )
    assert refusal(one, tmp_path, infra_blessing=str(two["infra_blessing"])) == (
        "The artifacts are about different tasks: the model about task 1, the blessing about task 1, the "
        "infra_blessing about task 2."
    )
    (other,) = artifact_lines.line(tmp_path / "root", 1)
    again = artifact_lines.model(tmp_path / "again", 1, other["examples"], text=" trained again")
    message = refusal(one, tmp_path, model=str(again))
    assert message == f"The blessing {one['blessing']} is not about {again}: it was made of another model."
    wrong = artifact_lines.blessing(tmp_path / "wrong", 2, two["evaluation"], about=1)
    assert "the model about task 2, the blessing about task 1" in refusal(two, tmp_path, blessing=str(wrong))
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp", ".hidden", "a\nb", "a:b", "a b"])
def test_a_name_that_is_no_plain_folder_is_refused(made, name, tmp_path):
    message = refusal(made[0], tmp_path, name=name)
    assert message.startswith("--model_name is ") and "it must be letters" in message
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("name", ["blessing", "infra_blessing"])
def test_a_missing_blessing_is_refused(made, name, tmp_path):
    assert refusal(made[0], tmp_path, **{name: ""}) == (
        f"{name} is missing: only a model with both blessings is pushed."
    )
    swapped = {"blessing": "infra_blessing", "infra_blessing": "blessing"}[name]
    message = refusal(made[0], tmp_path, **{name: str(made[0][swapped])})
    assert message == f"{made[0][swapped]} is no {name}: it has no {name}.json."


def test_another_model_is_never_served_under_a_version_that_is(made, tmp_path):
    push(made[0], tmp_path)
    before = files(tmp_path / "serving")
    root = tmp_path / "root"
    read = artifact_lines.examples(root, 1)
    model = artifact_lines.model(root, 1, read, text=" trained again")
    evaluation = artifact_lines.evaluation(root, 1, model, read)
    other = {
        "model": model,
        "blessing": artifact_lines.blessing(root, 1, evaluation),
        "infra_blessing": artifact_lines.infra_blessing(root, 1, model, read),
    }
    served = tmp_path / "serving/digits/1"
    assert refusal(other, tmp_path) == (
        f"{served} already holds another model, and a version that is served never changes: give another "
        f"model_name."
    )
    assert files(tmp_path / "serving") == before
    assert push(other, tmp_path, name="other")["pushed"]


@pytest.mark.parametrize("kind", ["edited", "added", "foreign", "empty", "file", "link", "broken link"])
def test_what_is_in_the_place_of_a_version_is_never_replaced(made, kind, tmp_path):
    served = tmp_path / "serving/digits/1"
    if kind in ("edited", "added"):
        push(made[0], tmp_path)
        (served / {"edited": "saved_model.pb", "added": "more"}[kind]).write_text("by hand")
    elif kind in ("foreign", "empty"):
        served.mkdir(parents=True)
        if kind == "foreign":
            (served / "saved_model.pb").write_text("somebody's model")
    else:
        served.parent.mkdir(parents=True)
        served.write_text("") if kind == "file" else served.symlink_to(
            made[0]["examples"] if kind == "link" else tmp_path / "nothing"
        )
    before, target = files(tmp_path / "serving"), served.is_symlink() and served.readlink()
    message = refusal(made[0], tmp_path)
    said = "already holds another model" if kind == "link" else "was edited, or was never pushed"
    assert message.startswith(f"{served} {said}, and a version that is served never changes: ")
    assert files(tmp_path / "serving") | {"digits/.lock": b""} == before | {"digits/.lock": b""}
    assert (served.is_symlink() and served.readlink()) == target


def test_a_link_to_the_serving_folder_and_read_only_artifacts_are_fine(made, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "serving").symlink_to(tmp_path / "disk")
    (one,) = artifact_lines.line(tmp_path / "root", 1)
    for entry in one["model"].rglob("*"):
        entry.chmod(0o555 if entry.is_dir() else 0o400)
    assert push(one, tmp_path)["pushed"]
    served = tmp_path / "disk/digits/1"
    assert_whole(one, served)
    umask = os.umask(0)
    os.umask(umask)
    for entry in served.rglob("*"):  # as any new file: what is served is read by another user
        assert entry.stat().st_mode & 0o777 == (0o777 if entry.is_dir() else 0o666) & ~umask


# ---- killed, and full disks ------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [faults.writes, pytest.param(faults.anything, marks=pytest.mark.slow)])
def test_a_push_killed_at_any_file_operation_leaves_a_version_absent_or_whole(made, which, tmp_path):
    """The version that was served before stays as it is, and the next push completes the new one."""
    one, two = made

    begun = tmp_path / "begun"
    push(one, begun)
    for version in (2, 3):  # of other pushes that were killed
        (begun / f"serving/digits/.{version}.aside").mkdir()
        (begun / f"serving/digits/.{version}.aside/half").write_text("half a model")
    total = faults.counted(functools.partial(push, two, shutil.copytree(begun, tmp_path / "whole")), which)
    assert total > 40
    seen, sealed = [], []
    for number in range(1, total + 1):
        folder = shutil.copytree(begun, tmp_path / str(number))
        before = files(folder / "serving/digits/1")
        act = functools.partial(push, two, folder)
        assert faults.in_a_fork(functools.partial(faults.killed_at, number, which, act)) == -signal.SIGKILL, (
            number
        )
        seen.append(versions(folder))
        assert files(folder / "serving/digits/1") == before
        if "2" in seen[-1]:
            assert_whole(two, folder / "serving/digits/2")
        sealed.append(seals.read_seal(pushed(two, folder)) is not None)
        if sealed[-1]:  # the last operations
            assert artifacts.verified(pushed(two, folder)) and "2" in seen[-1]
        assert act()["pushed"]
        assert_whole(two, folder / "serving/digits/2")
        names = {entry.name for entry in (folder / "serving/digits").iterdir()}
        assert names == {".lock", "1", "2"}, number
        assert files(folder / "serving/digits/1") == before
    assert sealed == sorted(sealed) and not all(sealed)
    assert seen == sorted(seen) and seen[0] == ["1"] and seen[-1] == ["1", "2"]


def test_a_disk_that_is_full_at_any_write_is_one_sentence_and_nothing_is_half_served(made, tmp_path):
    one, two = made
    push(one, tmp_path / "whole")
    total = faults.counted(lambda: push(two, tmp_path / "whole"), faults.takes_room)
    assert total > 20
    sentences = set()

    def full(number, count):
        if count == number:
            raise OSError(errno.ENOSPC, "No space left on device", "variables")

    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        push(one, folder)
        before = files(folder / "serving/digits/1")
        with faults.disturbed(lambda count, n=number: full(n, count), faults.takes_room):
            message = refusal(two, folder)
        of_model = f"Pushing to {folder / 'serving/digits'} failed: No space left on device ("
        of_artifact = "Pusher could not read or write its files: No space left on device ("
        assert message.startswith((of_model, of_artifact)), number
        sentences.add(message[:7])
        assert message.endswith("still is; push again.") or not message.startswith(of_model)
        assert str(two["model"]) not in message  # the file that was written, not the one that was read
        assert files(folder / "serving/digits/1") == before
        if "2" in versions(folder):
            assert_whole(two, folder / "serving/digits/2")
        assert push(two, folder)["pushed"]
        assert_whole(two, folder / "serving/digits/2")
    assert sentences == {"Pushing", "Pusher "}


def test_a_file_that_the_system_does_not_let_grow_is_one_sentence(made, tmp_path):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        message = refusal(made[0], tmp_path)
        assert "failed: File too large" in message, message

    assert faults.in_a_fork(limited) == 0
    assert versions(tmp_path) == []
    assert push(made[0], tmp_path)["pushed"]


def test_a_folder_that_cannot_be_made_is_one_sentence(made, tmp_path):
    (tmp_path / "serving").write_text("a plain file")
    place = tmp_path / "serving/digits"
    assert refusal(made[0], tmp_path).startswith(f"Pushing to {place} failed: Not a directory (")


# ---- two at once -----------------------------------------------------------------------------------------


def test_two_pushes_at_once_both_succeed_and_the_version_is_whole(made, tmp_path):
    def again(name):
        for task in (0, 1):
            given = {key: str(made[task][key]) for key in ("model", "blessing", "infra_blessing")}
            serving, pushed = tmp_path / "serving", tmp_path / name
            pusher(**given, serving_dir=str(serving), model_name="digits", pushed=str(pushed), code="")

    processes = [faults.FORK.Process(target=again, args=(str(number),)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert {entry.name for entry in (tmp_path / "serving/digits").iterdir()} == {".lock", "1", "2"}
    for one, version in zip(made, ("1", "2"), strict=True):
        assert_whole(one, tmp_path / "serving/digits" / version)


def test_a_push_waits_for_another_one_and_says_so_when_it_takes_too_long(made, tmp_path, monkeypatch):
    from pipelines.components import pusher as module

    push(made[0], tmp_path)
    with module._alone(tmp_path / "serving/digits"):
        monkeypatch.setattr(module, "PATIENCE", 0.1)
        place = tmp_path / "serving/digits"
        assert refusal(made[1], tmp_path) == (
            f"Another process has been pushing to {place} for 0.1 seconds; push again later."
        )
        assert versions(tmp_path) == ["1"]
        monkeypatch.setattr(module, "PATIENCE", 60)
        waiting = threading.Thread(target=push, args=(made[1], tmp_path))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive() and versions(tmp_path) == ["1"]
    waiting.join(60)
    assert versions(tmp_path) == ["1", "2"]


def test_a_reader_never_sees_a_part_of_a_version(made, tmp_path):
    """A server looks while a version comes; what it sees is always whole."""
    served = pathlib.Path(tmp_path, "serving/digits/2")
    looks = []

    def look(count):
        if served.exists():
            looks.append(sorted(os.listdir(served)))

    push(made[0], tmp_path)
    with faults.disturbed(look, faults.anything):
        push(made[1], tmp_path)
    assert looks and {tuple(seen) for seen in looks} == {tuple(sorted(os.listdir(served)))}
