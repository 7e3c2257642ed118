"""The index of a pipeline root: made of the artifacts at any time, by anybody, as often as anybody likes."""

import os
import shutil
import signal
import sqlite3
from unittest import mock

import artifact_lines
import faults
import pytest

from keras_cl.errors import InputError
from pipelines import artifacts
from pipelines.lineage import store


@pytest.fixture
def line(tmp_path):
    """Artifacts of two tasks below `tmp_path / "root"`."""
    return artifact_lines.line(tmp_path / "root")


def table(root, name="artifacts"):
    """All rows of a table, sorted."""
    with sqlite3.connect(root / store.INDEX) as index:
        return sorted(index.execute(f"SELECT * FROM {name}"))


def names(found):
    """What records are about, as `Component task`."""
    places = (record["path"].rpartition("root/")[2] for record in found.values())
    return {f"{place.split('/')[-1]} {place[4]}" for place in places}


def test_every_artifact_is_indexed_once_however_often_it_is_scanned(line, tmp_path):
    root = tmp_path / "root"
    store.refresh(root)
    rows = table(root), table(root, "inputs")
    assert len(rows[0]) == 16 and {row[0] for row in rows[0]} == {
        artifacts.read_record(folder)["id"] for one in line for folder in one.values()
    }
    store.refresh(root)
    assert (table(root), table(root, "inputs")) == rows


def test_the_way_back_and_the_way_forward(line, tmp_path):
    root, (one, two) = tmp_path / "root", line
    store.refresh(root)
    back = store.ancestors(root, two["blessing"])
    both = ("examples", "model", "evaluation")
    assert names(back) == {f"{name} {task}" for name in both for task in (1, 2)} | {"blessing 1"}
    assert set(store.everything(root)) > set(back)
    history = artifacts.history_of(two["blessing"])
    assert set(back) == set(history) - {artifacts.read_record(two["blessing"])["id"]}
    forward = store.descendants(root, one["model"])
    after = ("model 2", "evaluation 1", "evaluation 2", "blessing 1", "blessing 2")
    assert names(forward) == {*after, "infra_blessing 1", "infra_blessing 2"}
    assert names(store.descendants(root, one["schema"])) == {"schema 2", "anomalies 1", "anomalies 2"}
    assert not store.descendants(root, two["blessing"]) and not store.ancestors(root, one["examples"])


def test_an_artifact_is_found_by_its_path_id_digest_or_their_beginning(line, tmp_path, monkeypatch):
    root, model = tmp_path / "root", line[0]["model"]
    store.refresh(root)
    record = artifacts.read_record(model)
    monkeypatch.chdir(root)
    for key in (model, model.relative_to(root), record["id"], record["id"][:10], record["digest"][:12]):
        assert store.find(root, key)["id"] == record["id"]


def test_what_is_not_known_or_not_unique_is_one_sentence(line, tmp_path):
    root, (one, two) = tmp_path / "root", line
    store.refresh(root)
    with pytest.raises(InputError) as refused:
        store.find(root, f"{one['model']}s")
    assert str(refused.value) == (
        f"There is no artifact {one['model']}s in {root}. Did you mean {one['model']}?"
    )
    schema = artifacts.read_record(one["schema"])
    assert schema["digest"] == artifacts.read_record(two["schema"])["digest"]  # it did not change
    with pytest.raises(
        InputError, match=f"{schema['digest']} is that of several artifacts: S.*; give the id"
    ):
        store.find(root, schema["digest"])
    with pytest.raises(InputError, match="There is no artifact % in"):
        store.find(root, "%")


def test_unfinished_and_damaged_artifacts_are_not_indexed(line, tmp_path):
    root, two = tmp_path / "root", line[1]
    (two["model"] / "DONE").unlink()
    (two["schema"] / "artifact.json").write_text("{")
    store.refresh(root)
    assert len(table(root)) == 14


def test_what_was_removed_is_marked_and_not_forgotten(line, tmp_path):
    root, (one, two) = tmp_path / "root", line
    store.refresh(root)
    shutil.rmtree(one["evaluation"])
    store.refresh(root)
    back = store.ancestors(root, two["blessing"])
    gone = {record["path"] for record in back.values() if record["removed"]}
    assert len(back) == 7 and gone == {str(one["evaluation"])}
    rows = table(root)
    store.refresh(root)
    assert table(root) == rows  # it was removed then, and not again now
    artifact_lines.evaluation(root, 1, one["model"], one["examples"])  # made again, the same
    store.refresh(root)
    assert not any(record["removed"] for record in store.ancestors(root, two["blessing"]).values())


def test_an_artifact_with_a_copy_is_not_removed_while_one_of_them_is_there(line, tmp_path):
    root, one = tmp_path / "root", line[0]
    copy = shutil.copytree(one["evaluation"], root / "copy")
    for gone, left in ((copy, one["evaluation"]), (one["evaluation"], copy)):
        store.refresh(root)
        kept = shutil.move(gone, tmp_path / "kept")
        store.refresh(root)
        record = store.ancestors(root, one["blessing"])[artifacts.read_record(left)["id"]]
        assert (record["path"], record["removed"]) == (str(left), "")
        shutil.move(kept, gone)


def test_another_artifact_at_the_same_place_does_not_make_the_first_forgotten(line, tmp_path):
    root, one = tmp_path / "root", line[0]
    store.refresh(root)
    first = artifacts.read_record(one["evaluation"])["id"]
    after = set(store.descendants(root, first))
    other = artifact_lines.model(tmp_path / "other", 1, one["examples"], text=" again")
    artifact_lines.evaluation(root, 1, other, one["examples"])
    store.refresh(root)
    assert store.find(root, first)["removed"] and set(store.descendants(root, first)) == after
    assert store.find(root, one["evaluation"])["id"] != first
    assert not store.descendants(root, one["evaluation"])


def test_a_scan_that_is_killed_leaves_the_index_as_it_was(line, tmp_path):
    root = tmp_path / "root"
    store.refresh(root)
    rows = table(root)
    shutil.rmtree(line[0]["evaluation"])
    artifact_lines.small("SchemaGen", "schema", root / "more", 3)

    def killed():
        add, calls = store._add, []

        def watched(*args):
            calls.append(args)
            if len(calls) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            add(*args)

        with mock.patch.object(store, "_add", watched):
            store.refresh(root)

    assert faults.in_a_fork(killed) == -signal.SIGKILL
    assert table(root) == rows
    store.refresh(root)
    assert len(table(root)) == 17


def test_several_scans_at_once(line, tmp_path):
    root = tmp_path / "root"
    processes = [faults.FORK.Process(target=store.refresh, args=(root,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(table(root)) == 16


def test_an_index_that_cannot_be_used_is_one_sentence(line, tmp_path):
    root = tmp_path / "root"
    with pytest.raises(InputError, match="There is no pipeline root .*none"):
        store.refresh(tmp_path / "none")
    with pytest.raises(InputError, match="There is no index .*; pipelines.run makes it"):
        store.find(root, "abcdef")
    (root / store.INDEX).write_text("no database, but long enough that it is not taken for an empty one" * 20)
    with pytest.raises(InputError, match="is damaged .file is not a database.; remove it"):
        store.refresh(root)
    (root / store.INDEX).unlink()
    (root / store.INDEX).mkdir()
    with pytest.raises(InputError, match="cannot be used: unable to open database file"):
        store.refresh(root)
