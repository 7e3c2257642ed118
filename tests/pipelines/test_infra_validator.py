"""InfraValidator: models that a server loads and answers for, and others; no server is left behind."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import exported
import numpy as np
import processes
import pytest

from keras_cl.errors import InputError
from keras_cl.serve.client import Endpoint, EndpointError
from pipelines.artifacts import produced, read_record
from pipelines.components import infra_validator
from pipelines.components.example_gen import example_gen


def wait_until(happened):
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < processes.PATIENCE, "it did not happen"
        time.sleep(0.05)


# ---- answers ---------------------------------------------------------------------------------------------

RIGHT = {
    "probabilities": np.float32([[0.25, 0.75], [1, 0]]),
    "class": np.array([1_000_000, 1]),
    "logits": np.float32([[1e4, np.nan], [0.5, -np.inf]]),
}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"probabilities": np.float32([[0.2500001, 0.7499999], [1, 0]])}, []),  # rounded otherwise
        ({"logits": np.float32([[10000.01, np.nan], [0.51, -np.inf]])}, []),  # rounding of the largest one
        (
            {"class": np.array([1_000_001, 1])},
            ["answers other class than the model itself in 1 of 2 rows."],
        ),
        (
            {"probabilities": np.float32([[0.26, 0.74], [0.9, 0.1]])},
            ["answers other probabilities than the model itself in 2 of 2 rows."],
        ),
        (
            {"logits": np.float32([[1e4, 0], [0.5, -np.inf]])},
            ["answers other logits than the model itself in 1 of 2 rows."],
        ),
        (
            {"probabilities": np.float32([[np.nan, 0.75], [1, 0]])},
            ["answers probabilities that are not finite."],
        ),
        ({"class": np.array([[1_000_000, 1]])}, ["answers class of shape [1, 2] instead of [2]."]),
        (
            {"more": np.zeros(1)},
            ["answers class, logits, more, probabilities instead of class, logits, probabilities."],
        ),
    ],
)
def test_answers_are_compared_with_those_of_the_model(changes, faults):
    assert infra_validator._faults({**RIGHT, **changes}, RIGHT) == faults


# ---- the process -----------------------------------------------------------------------------------------


def test_a_guarded_program_runs_until_its_pipe_is_closed():
    program = processes.start("-m", "pipelines.guarded", "http.server", "0", stdin=subprocess.PIPE)
    try:
        assert "Serving HTTP" in program.stdout.readline()
        assert program.poll() is None
        program.stdin.close()
        assert program.wait(processes.PATIENCE) == 1
    finally:
        program.kill()


def test_a_guarded_program_that_ends_by_itself_has_its_own_exit_code():
    module = "pipelines.guarded"
    program = processes.start("-m", module, "http.server", "no port", stdin=subprocess.PIPE)
    assert program.wait(processes.PATIENCE) == 2  # its pipe is still open
    _, errors = program.communicate()
    assert "invalid int value: 'no port'" in errors


# ---- models ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Folders of a Model after three tasks, and of their Examples."""
    folder = tmp_path_factory.mktemp("line")
    config = exported.trained(folder, "task")
    settings, previous = json.dumps({"settings": config.settings, "places": {}}), ""
    for number in (1, 2, 3):
        examples = str(folder / f"examples_{number}")
        example_gen(settings, number, "", previous, examples, "code")
        previous = examples
    with produced("Trainer", {"model": folder / "model"}):
        shutil.copytree(pathlib.Path(config.export_dir, config.name), folder / "model" / "saved_models")
    return folder / "model", folder / "examples_3"


def blessing_of(model, examples, folder):
    infra_validator.infra_validator(str(model), str(examples), str(folder), "code")
    record = read_record(folder)
    assert (record["component"], [*record["inputs"]]) == ("InfraValidator", ["model", "examples"])
    return json.loads((folder / "infra_blessing.json").read_text())


@pytest.mark.slow
def test_a_model_that_is_served_as_it_is_is_blessed(artifacts, tmp_path, monkeypatch):
    asked, differences = [], infra_validator._differences

    def counted(endpoint, number, expected):
        asked.append((endpoint.url.partition(":")[0], number, sorted(expected)))
        assert all(len(inputs["images"]) == infra_validator.ROWS for inputs, _ in expected.values())
        return differences(endpoint, number, expected)

    monkeypatch.setattr(infra_validator, "_differences", counted)
    assert blessing_of(*artifacts, tmp_path / "b") == {"blessed": True, "task": 3, "reasons": []}
    names = ["bytes", "serving_default", "with_task"]
    assert asked == [("http", 3, names), ("grpc", 3, names)]


@pytest.mark.slow
def test_a_server_that_answers_otherwise_is_not_blessed(artifacts, tmp_path, monkeypatch):
    expected = infra_validator._expected

    def other(version, images):
        found = expected(version, images)
        found["bytes"][1]["class"] += 1
        return {**found, "missing": found["bytes"]}

    monkeypatch.setattr(infra_validator, "_expected", other)
    blessing = blessing_of(*artifacts, tmp_path / "b")
    assert not blessing["blessed"]
    for transport in ("http", "grpc"):
        wrong, missing = (reason for reason in blessing["reasons"] if f"at {transport} " in reason)
        assert wrong.startswith(f"The signature bytes at {transport} answers other class than the model ")
        assert wrong.endswith("in 16 of 16 rows.")
        assert "does not answer: " in missing
        assert "has no signature missing; possible: " in missing


def damaged(model, folder, name="saved_model.pb"):
    """A Model artifact, sealed, whose newest version was written damaged."""
    with produced("Trainer", {"model": folder}):
        shutil.copytree(model / "saved_models", folder / "saved_models")
        file = folder / "saved_models/3" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return folder


@pytest.mark.slow
def test_a_model_that_the_server_refuses_is_not_blessed(artifacts, tmp_path):
    model = damaged(artifacts[0], tmp_path / "model")
    blessing = blessing_of(model, artifacts[1], tmp_path / "b")
    assert (blessing["blessed"], blessing["task"]) == (False, 3)
    (reason,) = blessing["reasons"]
    assert reason.startswith("The server ended with 1: ")
    assert "No version of model in " in reason


@pytest.mark.slow
def test_a_server_that_does_not_come_up_in_time_is_not_blessed_and_is_ended(artifacts, tmp_path, monkeypatch):
    started, start = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(start(*a, **k)) or started[-1])
    monkeypatch.setattr(infra_validator, "SECONDS", 0.5)
    blessing = blessing_of(*artifacts, tmp_path / "b")
    (reason,) = blessing["reasons"]
    assert reason.startswith("The server did not come up with the model within 0.5 s: ")
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_an_artifact_that_was_edited_is_refused(artifacts, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(artifacts[0], model)
    (model / "saved_models/3/task.json").write_text("{}")
    with pytest.raises(InputError, match="was edited: the digest of saved_models/3/task.json is not the one"):
        infra_validator.infra_validator(str(model), str(artifacts[1]), str(tmp_path / "b"), "code")
    assert not (tmp_path / "b").exists()


COMPONENT = """
import pathlib, sys, time
from pipelines.components.infra_validator import served
with served(pathlib.Path(sys.argv[1])) as urls:
    print(urls[0], flush=True)
    time.sleep(1000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_component_that_is_killed_leaves_no_server(number, artifacts):
    component = processes.start("-c", COMPONENT, str(artifacts[0] / "saved_models/3"))
    try:
        endpoint = Endpoint(component.stdout.readline().strip())
        assert endpoint.versions() == [3]
        os.kill(component.pid, number)
        component.wait(processes.PATIENCE)

        def gone():
            try:
                endpoint.statuses()
            except EndpointError as error:
                return "Connection refused" in str(error)

        wait_until(gone)
    finally:
        component.kill()
        component.communicate()
