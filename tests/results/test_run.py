"""The rows of a table are trained as their flagfiles say, and a row that fails does not end the others."""

import json

import pytest

from keras_cl.compare import jobs
from keras_cl.compare.jobs import Outcome
from keras_cl.errors import InputError
from keras_cl.runs.directory import RunDirectory
from keras_cl.settings.flags import parse
from results import run as running


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of three rows, in an empty working directory."""
    monkeypatch.setattr(running, "HERE", tmp_path / "results")
    (tmp_path / "results" / "table").mkdir(parents=True)
    for row in "abc":
        text = f"--method=finetune\n--tasks=2\n--epochs={ord(row) - 96}\n"
        (tmp_path / "results" / "table" / f"{row}.flags").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave(folder, accuracies):
    """What a run of one seed leaves."""
    import numpy as np

    folder.mkdir(parents=True)
    directory = RunDirectory(folder)
    directory.write_json("config.json", {"settings": {"seeds": [0]}, "versions": {"keras_cl": "0"}})
    costs = {"network_bytes": 8, "method_bytes": [1, 2], "memory_bytes": [3, 4], "fake_to_real": [0.9, 0.7]}
    directory.write_json("summary.json", {"average_accuracy": float(np.mean(accuracies[-1])), **costs})
    directory.write_matrix(np.array(accuracies))


def test_rows_are_named_once_in_the_order_of_the_command_line(table):
    values, rows = running.parse(["run", "table/c", "table"])
    assert rows == ["table/c", "table/a", "table/b"] and (values.jobs, values.cores) == (1, 0)
    for wrong in ("--jobs=0", "--cores=-1", "--job=2"):
        with pytest.raises(InputError):
            running.parse(["run", "table", wrong])


def test_a_row_is_trained_from_the_start_unless_it_was_stopped(table):
    (folder,) = (table / "runs" / "results" / "table-b",)
    assert parse(["", *running.job("table/b").arguments["flags"]]).overwrite
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    config = parse(["", *running.job("table/b").arguments["flags"]])
    assert (config.overwrite, config.epochs, str(config.directory)) == (False, 2, "runs/results/table-b")
    (folder / "DONE").write_text("{}")
    assert parse(["", *running.job("table/b").arguments["flags"]]).overwrite


def test_numbers_are_written_as_rows_end_and_a_failure_does_not_end_the_others(table):
    def train(given, watch):
        for number, job in enumerate(given):
            watch.started(job)
            if job.name == "table/b":
                outcome = Outcome(job, "failed", error="The loss became nan.")
            else:
                folder = parse(["", *job.arguments["flags"]]).directory
                leave(folder, [[0.5, 0.5], [0.9, 0.5], [number / 10, 0.8]])
                outcome = Outcome(job, "done", {"run": str(folder)})
            watch.ended(outcome)
            yield outcome

    (failed,) = running.measure(["table/a", "table/b", "table/c"], train)
    assert failed.job.name == "table/b"
    found = {file.stem: json.loads(file.read_text()) for file in table.glob("results/table/*.json")}
    means = {row: content["average_accuracy"]["mean"] for row, content in found.items()}
    assert means == {"a": 0.4, "c": 0.5} and found["a"]["kept_bytes"] == 8 + 2 + 4
    assert found["a"]["fake_to_real"] == 0.7 and "oracle_on_fake" not in found["a"]


def test_a_row_that_another_process_trains_is_left_to_it(table):
    def train(given, watch):
        yield from (Outcome(job, "done", {"run": "runs/a", "in_use": True}) for job in given)

    (left,) = running.measure(["table/a"], train)
    assert left.error == "Another process is training it in runs/a." and left.job.name == "table/a"
    assert not list(table.glob("results/table/*.json"))


def test_a_row_names_a_function_that_a_worker_can_call(table):
    job = running.job("table/a")
    (outcome,) = jobs.run([jobs.Job(job.name, job.function, {"flags": ["--method=no_such"]})])
    assert outcome.state == "failed" and "method 'no_such' is not known" in outcome.error
