"""Tuner: `tuning.search` on the validation rows of the tasks that have arrived."""

import csv
import json
import pathlib

import numpy as np
import pytest
from in_line import Line, tiny

from keras_cl.errors import InputError
from keras_cl.settings import flags
from pipelines.components.tuner import options_of, tuner
from tuning import trial

pytestmark = pytest.mark.usefixtures("eagerly")
HELD = {"stream.valid_fraction": 0.25}


@pytest.fixture(scope="module")
def arrived(tmp_path_factory):
    """Two of three tasks with validation rows."""
    folder = tmp_path_factory.mktemp("arrived")
    line = Line(folder, tiny(folder, epochs=1, method="l2", options=HELD))
    line.generate(1)
    line.generate(2)
    return line


@pytest.fixture
def tried(monkeypatch):
    """Replaces training by a formula, best at a strength of 7; what was tried."""
    calls = []

    def numbers(config, stream, tasks):
        calls.append((config, stream, tasks))
        return {"average_accuracy": 1 - abs(config.options["method.strength"] - 7) / 1000}

    monkeypatch.setattr("tuning.tuner.numbers", numbers)
    return calls


def tuned(line, folder, number=2, **options):
    """The content of best.json."""
    tuner(line.settings, json.dumps(options), line.path("examples", number), str(folder), "")
    return json.loads((folder / "best.json").read_text())


STRENGTHS = {
    "trials": 3,
    "tuner": "grid",
    "search": {"method.strength": "1,7,9"},
    "given": ["learning_rate", "batch_size"],
}


def test_the_best_values(arrived, tmp_path, tried):
    folder = tmp_path / "hyperparameters"
    assert tuned(arrived, folder, **STRENGTHS) == {"method.strength": 7.0}
    assert sorted(config.options["method.strength"] for config, *_ in tried) == [1.0, 7.0, 9.0]
    assert {tasks for *_, tasks in tried} == {2}, "all tasks that have arrived"
    assert {config.options["stream.valid_fraction"] for config, *_ in tried} == {0.25}
    with open(folder / "trials.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    config = flags.parse(["", f"--flagfile={folder / 'best.flags'}", "--method=l2", "--stream=split"])
    assert config.options["method.strength"] == 7.0
    record = json.loads((folder / "artifact.json").read_text())
    assert record["component"] == "Tuner" and record["settings"]["tune"] == STRENGTHS


@pytest.mark.parametrize(("given", "tasks"), [(1, 1), (3, 2)])
def test_a_trial_learns_as_many_tasks_as_are_said_and_have_arrived(arrived, tmp_path, tried, given, tasks):
    tuned(arrived, tmp_path / "best", **STRENGTHS, tuning_tasks=given)
    assert {number for *_, number in tried} == {tasks}


def test_the_trainer_takes_them(arrived, tmp_path, tried):
    tuned(arrived, tmp_path / "best", number=1, **STRENGTHS)
    line = Line(tmp_path, tiny(arrived.folder, epochs=1, method="l2", options=HELD), base=arrived)
    line.train(1, str(tmp_path / "best"))
    assert line.read("model", 1, "config.json")["settings"]["method.strength"] == 7.0


def test_trials_are_those_of_the_library(arrived, tmp_path):
    """A trial on the recorded stream is measured as one on the library's own stream."""
    from keras_cl.settings.build import make_stream
    from pipelines.examples.recorded import stream_of

    config = tiny(arrived.folder, epochs=1, method="l2", options=HELD)
    own = trial.validation_matrix(config, stream_of(arrived.path("examples", 2)), 0, 2)
    np.testing.assert_array_equal(own, trial.validation_matrix(config, make_stream(config), 0, 2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tuning_tasks": 0}, "--tuning_tasks is 0; it must be at least 1"),
        ({"given": ["learning_rat"]}, "The setting 'learning_rat' is not known.*Did you mean learning_rate"),
        ({"search": {"method.strenth": "1,2"}}, "'method.strenth' is not known.*method.strength"),
        ({"search": {"method.strength": "1"}}, "must have two different values or more"),
        ({"given": ["method.strength", "learning_rate", "batch_size"]}, "Nothing is left to search"),
        ({"trials": 0}, "--trials is 0"),
    ],
)
def test_options_that_cannot_be_used(arrived, tmp_path, tried, options, said):
    with pytest.raises(InputError, match=said):
        tuned(arrived, tmp_path / "best", **options)
    assert not tried and not (tmp_path / "best" / "DONE").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "give JSON of the form"),
        ('{"trails": 3}', "The option of the Tuner 'trails' is not known.*Did you mean trials"),
        ('{"valid_fraction": 0.1}', "'valid_fraction' is not known"),
        ('{"tuning_tasks": "2"}', "The option tuning_tasks of the Tuner is '2'; it must be a whole number"),
        ('{"tuner": 3}', "The option tuner of the Tuner is 3; it must be text"),
        ('{"search": {"batch_size": [16, 32]}}', "The option search of the Tuner is .*; give ranges"),
        ('{"given": "learning_rate"}', "The option given of the Tuner is 'learning_rate'; give names"),
    ],
)
def test_options_that_are_not_known(text, said):
    with pytest.raises(InputError, match=said):
        options_of(text)


def test_validation_rows_are_needed(tmp_path, tried):
    line = Line(tmp_path, tiny(tmp_path, method="l2"))
    line.generate(1)
    with pytest.raises(InputError, match=r"task 1 has none; give --stream\.valid_fraction"):
        tuned(line, tmp_path / "best", number=1)


def test_a_search_in_which_every_trial_failed_is_no_artifact(arrived, tmp_path, monkeypatch):
    def fails(config, stream, tasks):
        raise InputError("It diverged.")

    monkeypatch.setattr("tuning.tuner.numbers", fails)
    with pytest.raises(InputError, match="All 3 trials failed; the last one: It diverged"):
        tuned(arrived, tmp_path / "best", **STRENGTHS)
    assert not pathlib.Path(tmp_path, "best", "best.json").exists()


@pytest.mark.slow
def test_a_search_that_trains(arrived, tmp_path):
    best = tuned(arrived, tmp_path / "best", **{**STRENGTHS, "search": {"method.strength": "0.1,1e9"}})
    assert best["method.strength"] in (0.1, 1e9)
