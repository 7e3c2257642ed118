"""The device of a run: it is recorded, and another one is not taken without a word."""

import dataclasses
import json
import shutil

import pytest
from helpers import silent
from processes import small

from keras_cl import train
from keras_cl.devices import device
from keras_cl.errors import InputError
from keras_cl.report import figures
from keras_cl.runs.directory import RunDirectory
from keras_cl.runs.hardware import moved

BEGUN = ["gpu"]


@pytest.fixture
def begun(tmp_path):
    """The directory of a run that was begun on a GPU; here is none."""
    directory = RunDirectory(tmp_path)
    directory.write_json("config.json", {"settings": {}, "devices": BEGUN})
    return directory


def devices(directory):
    return json.loads((directory.path / "config.json").read_text())["devices"]


def test_a_cpu_does_not_go_on_with_what_a_gpu_began(begun):
    said = "holds a run on a GPU, and this is a CPU, which rounds otherwise; give --device=cpu to go on here."
    with pytest.raises(InputError, match=said):
        moved(begun, "auto")
    assert devices(begun) == BEGUN


@pytest.mark.parametrize("chosen", ["cpu", ""])  # by the command; in a loop from Python
def test_it_does_if_asked_to_and_says_so_once(chosen, begun):
    assert "holds a run on a GPU that goes on on a CPU" in moved(begun, chosen)
    assert devices(begun) == ["gpu", "cpu"]
    assert moved(begun, "auto") == ""


def test_a_run_that_is_finished_is_shown_anywhere_but_not_trained(begun):
    begun.finish()
    assert moved(begun, "auto") == moved(begun) == ""
    with pytest.raises(
        InputError, match="is finished; give another --run_dir, or --overwrite to train it on a CPU"
    ):
        moved(begun, "cpu")
    assert devices(begun) == BEGUN


@pytest.mark.parametrize("content", [None, {"settings": {}}, {"devices": []}, {"devices": "gpu"}])
def test_where_nothing_is_recorded_nothing_is_compared(content, tmp_path):
    directory = RunDirectory(tmp_path)
    if content is not None:
        directory.write_json("config.json", content)
    assert moved(directory, "auto") == ""


def test_a_run_records_its_device_and_asks_before_it_takes_another(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda *_: None)
    config = small(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(device, "kind", lambda: "gpu")
        train.run(config, display=silent())
    directory = RunDirectory(config.directory)
    assert devices(directory) == BEGUN
    (directory.path / "DONE").unlink()
    shutil.rmtree(directory.task_folder(2))
    with pytest.raises(InputError, match="give --device=cpu to go on here"):
        train.run(config, display=silent())
    here = dataclasses.replace(config, device="cpu")
    assert here.hash == config.hash
    train.run(here, display=silent())
    assert directory.done and devices(directory) == ["gpu", "cpu"]
    assert "that goes on on a CPU" in (directory.path / "log.txt").read_text()
