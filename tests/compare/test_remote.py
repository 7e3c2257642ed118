"""What a worker does with a run, and how it comes back where no folder is shared."""

import pathlib

import pytest

from keras_cl.compare import remote
from keras_cl.compare.jobs import Job

WORK = """
import os, pathlib
def train(flags, report):
    places = dict(flag[2:].split("=") for flag in flags)
    run = pathlib.Path(places["run_dir"])
    models = pathlib.Path(places["export_dir"], run.name)
    report(0.5, "learns")
    for folder in (run / "checkpoints", models):
        folder.mkdir(parents=True, exist_ok=True)
    tries = len(list(run.glob("try*")))
    (run / f"try{tries}").write_text(os.getcwd())
    (run / ".lock").touch()
    (models / "saved_model.pb").write_text("model")
    if places.get("fails") and tries < 1:
        raise KeyboardInterrupt
    if places.get("wrong"):
        raise ValueError("wrong")
    return {"run": str(run)}
"""


class Written:
    """Stands for the actor of a `Board`."""

    def __init__(self):
        self.lines, self.write = [], self

    def remote(self, *line):
        self.lines.append(line)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Makes the job of a run that goes to the folder "mine"."""
    (tmp_path / "work_of_a_worker.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(remote.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)

    def made(*more):
        flags = ["--run_dir=mine/runs/a", "--export_dir=mine/models", *more]
        return Job("a", "work_of_a_worker:train", {"flags": flags})

    return made


FAR = remote.Token("/nowhere/.shared-1", "/nowhere")


def test_a_run_goes_to_the_folder_that_is_shared(job, tmp_path, monkeypatch):
    (tmp_path / ".shared-2").touch()
    monkeypatch.chdir("/")
    board = Written()
    outcome, parts = remote.perform(job(), remote.Token(f"{tmp_path}/.shared-2", str(tmp_path)), board)
    assert (outcome.state, outcome.value, parts) == ("done", {"run": "mine/runs/a"}, {})
    assert (tmp_path / "mine/runs/a/try0").read_text() == str(tmp_path)
    assert board.lines == [("a", 0.0, "begins")], "lines less than half a second apart are not sent"


def test_a_run_comes_back_and_leaves_nothing(job, tmp_path):
    outcome, parts = remote.perform(job(), FAR, Written())
    assert not pathlib.Path("mine").exists() and outcome.job == job()
    assert not [file for file in (tmp_path / "temporary").rglob("*") if file.is_file()]
    remote.brought_back(outcome, parts)
    assert outcome.value == {"run": "mine/runs/a"}
    assert sorted(entry.name for entry in pathlib.Path("mine/runs/a").iterdir()) == ["checkpoints", "try0"]
    assert pathlib.Path("mine/models/a/saved_model.pb").read_text() == "model"


def test_it_goes_on_where_its_worker_died(job):
    with pytest.raises(KeyboardInterrupt):
        remote.perform(job("--fails=1"), FAR, Written())
    outcome, parts = remote.perform(job("--fails=1"), FAR, Written())
    remote.brought_back(outcome, parts)
    assert {"try0", "try1"} <= {entry.name for entry in pathlib.Path("mine/runs/a").iterdir()}


def test_what_a_failed_run_has_finished_comes_back(job):
    outcome, parts = remote.perform(job("--wrong=1"), FAR, Written())
    assert outcome.state == "failed" and outcome.error.startswith("ValueError: wrong")
    remote.brought_back(outcome, parts)
    assert pathlib.Path("mine/runs/a/try0").exists()


def test_other_jobs_have_no_folders(tmp_path):
    outcome, parts = remote.perform(Job("root", "math:factorial", {}), FAR, Written())
    assert outcome.state == "failed" and parts == {}


def test_a_board_has_the_newest_line_once():
    board = remote.Board()
    board.write("a", 0.1, "begins")
    board.write("a", 0.2, "learns")
    assert board.taken() == [("a", 0.2, "learns")] and board.taken() == []
