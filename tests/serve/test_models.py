"""Versions come and go: what is loaded, what is refused, and that no request loses its version."""

import os
import shutil
import threading
import time

import pytest
import tensorflow as tf
from served import damage, images, push

from keras_cl.serve import version as version_file
from keras_cl.serve.errors import ServingError
from keras_cl.serve.model_config import ModelConfig, Policy
from keras_cl.serve.models import Models, Options


@pytest.fixture
def served(tmp_path):
    return tmp_path / "served"


def started(folder, kind="latest", versions=(1,), labels=None):
    """`Models` of a folder, which look at it when they are told to."""
    config = ModelConfig("tiny", folder, Policy(kind, versions), labels or {})
    models = Models([config], Options(poll_seconds=0))
    models.start()
    return models


def look(models):
    """Two looks: the first finds a version, the second finds it unchanged."""
    models.poll()
    models.poll()


def states(models):
    return {status.version: status.state for status in models.statuses("tiny")}


def asked(models, **which):
    """The version that answers a request."""
    with models.leased("tiny", **which) as servable:
        servable.call("", {"images": images(1)})
        return servable.version


def refusal(models, name="tiny", **which):
    with pytest.raises(ServingError) as refused, models.leased(name, **which):
        pass
    return refused.value.code, refused.value.message


# ---- come and go -----------------------------------------------------------------------------------------


def test_the_latest_version_takes_over_and_the_old_one_is_drained(exported, served):
    push(exported / "1", served)
    models = started(served)
    with models.leased("tiny") as old:
        push(exported / "2", served)
        look(models)
        assert states(models) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert asked(models) == 2
        assert refusal(models, version=1) == (
            "NOT_FOUND",
            "Servable not found for request: Specific(tiny, 1)",
        )
        assert old.call("", {"images": images(1)})["class"].shape == (1,)  # it goes on for who has it
    assert states(models) == {2: "AVAILABLE", 1: "END"}


@pytest.mark.parametrize(
    ("kind", "versions", "chosen"),
    [("all", (), {1, 2, 3}), ("latest", (2,), {2, 3}), ("specific", (1, 3, 9), {1, 3})],
)
def test_policies(exported, kind, versions, chosen):
    models = started(exported, kind, versions)
    assert states(models) == dict.fromkeys(chosen, "AVAILABLE")
    assert [status.version for status in models.statuses("tiny")] == sorted(chosen, reverse=True)


def test_a_version_that_is_removed_ends_and_may_come_back(exported, served):
    for number in (1, 2):
        push(exported / str(number), served)
    models = started(served, "all")
    shutil.rmtree(served / "2")
    models.poll()
    assert states(models) == {2: "END", 1: "AVAILABLE"}
    push(exported / "2", served)
    look(models)
    assert states(models) == {2: "AVAILABLE", 1: "AVAILABLE"}


def test_a_folder_that_is_away_takes_nothing_away(exported, served):
    push(exported / "1", served)
    models = started(served)
    served.rename(served.with_name("away"))
    models.poll()
    assert asked(models) == 1


def test_other_folders_are_no_versions(exported, served):
    push(exported / "1", served)
    for name in ("generator", "1.0", "-2", "٣", "9" * 30):
        shutil.copytree(exported / "2", served / name)
    assert states(started(served, "all")) == {1: "AVAILABLE"}


def test_a_version_that_is_being_copied_is_left_alone(exported, served):
    push(exported / "1", served)
    models = started(served)
    (served / "2" / "variables").mkdir(parents=True)
    look(models)
    assert states(models) == {1: "AVAILABLE"}
    shutil.copy(exported / "2" / "saved_model.pb", served / "2")
    models.poll()  # the program is there, the variables are not
    for path in (exported / "2" / "variables").iterdir():
        shutil.copy(path, served / "2" / "variables")
        models.poll()
    assert states(models) == {1: "AVAILABLE"}
    models.poll()
    assert states(models) == {2: "AVAILABLE", 1: "END"}


# ---- refused versions ------------------------------------------------------------------------------------


def test_a_damaged_version_is_refused_once_and_the_old_one_goes_on(exported, served, monkeypatch):
    tried = []
    servable = version_file.Servable
    monkeypatch.setattr(version_file, "Servable", lambda *given: tried.append(given[1]) or servable(*given))
    push(exported / "1", served)
    models = started(served)
    push(exported / "2", served)
    whole = (served / "2" / "saved_model.pb").read_bytes()
    damage(served / "2")
    for _ in range(5):
        models.poll()
    assert tried == [1, 2]
    assert asked(models) == 1
    [refused] = models.statuses("tiny", version=2)
    assert (refused.state, refused.error_code) == ("END", "UNKNOWN")
    assert "DecodeError" in refused.error_message
    (served / "2" / "saved_model.pb").write_bytes(whole)
    look(models)
    assert tried == [1, 2, 2]
    assert states(models) == {2: "AVAILABLE", 1: "END"}
    assert models.statuses("tiny", version=2)[0].error_message == ""


def test_a_server_starts_with_the_latest_version_that_is_whole(exported, served):
    for number in (1, 2):
        push(exported / str(number), served)
    damage(served / "2")
    models = started(served)
    assert states(models) == {2: "END", 1: "AVAILABLE"}


def test_a_version_without_its_variables_is_refused(exported, served):
    push(exported / "1", served)
    shutil.rmtree(served / "1" / "variables")
    [refused] = started(served).statuses("tiny")
    assert refused.state == "END"
    assert "variables" in refused.error_message


def test_a_version_whose_warm_up_fails_is_refused(exported, served, tmp_path):
    @tf.function
    def never(x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(x > 0), ["it is dark"])]):
            return {"y": tf.identity(x)}

    signature = never.get_concrete_function(tf.TensorSpec([None, 2], tf.float32, name="x"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "2"), signatures={"serving_default": signature})
    push(exported / "1", served)
    models = started(served)
    push(tmp_path / "2", served)
    look(models)
    [refused] = models.statuses("tiny", version=2)
    assert (refused.state, refused.error_code) == ("END", "INVALID_ARGUMENT")
    assert "it is dark" in refused.error_message
    assert asked(models) == 1


# ---- requests --------------------------------------------------------------------------------------------


def test_what_is_unknown_is_not_found(exported):
    models = started(exported)
    assert refusal(models, "other") == ("NOT_FOUND", "Servable not found for request: Latest(other)")
    assert refusal(models, version=7) == ("NOT_FOUND", "Servable not found for request: Specific(tiny, 7)")
    assert refusal(models, "") == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")
    for name, version, message in [
        ("other", None, "Could not find any versions of model other"),
        ("tiny", 7, "Could not find version 7 of model tiny"),
    ]:
        with pytest.raises(ServingError, match=message):
            models.statuses(name, version)


def test_labels(exported):
    models = started(exported, "all", labels={"stable": 1, "canary": 3})
    assert (asked(models, label="stable"), asked(models, label="canary"), asked(models)) == (1, 3, 3)
    assert [status.version for status in models.statuses("tiny", label="stable")] == [1]
    assert refusal(models, label="old") == ("INVALID_ARGUMENT", "Unrecognized servable version label: old")
    with pytest.raises(
        ServingError, match="assign label to version 1 of model tiny, which is not currently avail"
    ):
        started(exported, labels={"stable": 1})


def test_reload(exported, tmp_path):
    models = started(exported)
    models.reload([ModelConfig("tiny", exported, Policy("all"), {"first": 1}), ModelConfig("more", exported)])
    assert models.names() == ["more", "tiny"]
    assert asked(models, label="first") == 1
    models.reload([ModelConfig("more", exported)])
    assert models.names() == ["more"]
    assert refusal(models)[0] == "NOT_FOUND"
    with pytest.raises(ServingError, match=r"1 model\(s\) did not become available: \{\{name: none\}\}"):
        models.reload([ModelConfig("more", exported), ModelConfig("none", tmp_path)])
    with models.leased("more") as servable:
        assert servable.version == 3


def test_a_request_that_comes_while_versions_change_is_answered(exported, served, monkeypatch):
    push(exported / "1", served)
    models = started(served)
    push(exported / "2", served)
    models.poll()
    load, acquire = version_file.Version.load, version_file.Version.acquire
    loading, asked = threading.Event(), threading.Event()
    poll = threading.Thread(target=models.poll)

    def slow_load(version, *given):
        loading.set()
        assert asked.wait(60)
        load(version, *given)

    def slow_acquire(version):
        servable = acquire(version)
        if version.number == 2 and servable is None:  # version 1 goes before the request comes to it
            asked.set()
            poll.join()
        return servable

    monkeypatch.setattr(version_file.Version, "load", slow_load)
    monkeypatch.setattr(version_file.Version, "acquire", slow_acquire)
    poll.start()
    assert loading.wait(60)
    with models.leased("tiny") as servable:
        assert servable.version == 2


def test_stop_waits_for_requests(exported):
    models = started(exported)
    with models.leased("tiny"):
        assert not models.stop(0.05)
        assert refusal(models)[0] == "NOT_FOUND"
    assert models.stop(1)


def test_folders_are_watched(exported, served):
    push(exported / "1", served)
    said = []
    models = Models([ModelConfig("tiny", served)], Options(poll_seconds=0.02, report=said.append))
    models.start()
    push(exported / "2", served)
    deadline = time.monotonic() + 60
    while states(models).get(1) != "END" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert models.stop(5)
    assert said == [
        "tiny: version 1 is available",
        "tiny: version 2 is available",
        "tiny: version 1 is unloaded",
    ]


def test_versions_leave_no_threads_behind(exported, served):
    push(exported / "1", served)
    models = started(served)
    asked(models)
    before = len(os.listdir("/proc/self/task"))
    for number in (2, 3):
        push(exported / str(number), served)
        look(models)
    assert len(os.listdir("/proc/self/task")) <= before + 1
