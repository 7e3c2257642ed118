"""Trainer: what it leaves equals, bit for bit, what `keras_cl.main` leaves with the same settings."""

import json
import pathlib

import numpy as np
import pytest
from helpers import saved_variables
from in_line import Line, library, tiny
from processes import start

from keras_cl import evaluate
from keras_cl.devices import device
from keras_cl.errors import Diverged, InputError
from keras_cl.settings import flags
from pipelines.artifacts import produced
from pipelines.components.trainer import trainer


@pytest.fixture(autouse=True)
def quickly(request):
    """Quick tests trace nothing; the others run as the pipeline does."""
    if "slow" not in request.keywords:
        request.getfixturevalue("eagerly")


def assert_equal(line, run, tasks):
    """Every checkpoint of the pipeline's models is that of the library's run."""
    for number in range(1, tasks + 1):
        place = f"checkpoints/task_{number:03d}/variables"
        own = saved_variables(pathlib.Path(line.path("model", number), place))
        expected = saved_variables(run / place)
        assert own.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(own[name], value, name)


def through(folder, config, tasks):
    """The `Line` of some tasks that were trained."""
    line = Line(folder, config)
    for number in range(1, tasks + 1):
        line.generate(number)
        line.train(number)
    return line


def assert_the_librarys(folder, config):
    """All models of the pipeline, and the matrix of the last evaluation, are those of the library's run."""
    line, run = through(folder, config, config.tasks), library(config)
    assert_equal(line, run, config.tasks)
    for number in range(1, config.tasks + 1):
        line.evaluate(number)
    own = pathlib.Path(line.path("evaluation", config.tasks), "matrix.csv").read_text().splitlines()
    expected = (run / "matrix.csv").read_text().splitlines()
    assert own[1] == f"0{',' * config.tasks}", "the untrained model is not exported"
    assert [own[0], *own[2:]] == [expected[0], *expected[2:]]


EASY = {
    "ewc": {"options": {"method.strength": 100.0}},
    "er": {"scenario": "class", "options": {"memory.capacity": 12}},
}
HARD = {
    "lwf": {"scenario": "task"},
    "icarl": {"scenario": "class"},
    "dgr": {"scenario": "class", "options": {"memory.hidden": (8,), "memory.latent": 2}},
    "hat": {"scenario": "task"},
    "cumulative": {"scenario": "domain"},
    "stable": {"method": "finetune", "regime": "stable", "scenario": "domain"},
    "kept": {"method": "si", "scenario": "task", "reset_optimizer": False},
    "stops": {
        "method": "agem",
        "scenario": "task",
        "epochs": 6,
        "early_stopping": 1,
        "learning_rate": 0.05,
        "options": {"stream.valid_fraction": 0.25},
    },
    "gdumb": {"scenario": "class", "options": {"memory.capacity": 24}},
    "joint": {"scenario": "domain", "options": {"method.offline": True}},
    "permuted": {"method": "mas", "stream": "permuted", "scenario": "domain"},
}


@pytest.mark.parametrize("name", EASY)
def test_the_model_is_the_librarys(tmp_path, name):
    assert_the_librarys(tmp_path, tiny(tmp_path, **{"method": name, "tasks": 2, **EASY[name]}))


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD)
def test_every_kind_of_model_is_the_librarys(tmp_path, name):
    assert_the_librarys(tmp_path, tiny(tmp_path, **{"method": name, **HARD[name]}))


@pytest.mark.slow
def test_tasks_in_processes_of_their_own_equal_one_process(tmp_path):
    """As a pipeline runs them: every component starts anew, compiles, and knows only what is on disk."""
    given = ["--method=er", "--stream=split", "--scenario=class", "--dataset=digits", "--tasks=2"]
    given += ["--epochs=2", "--network.hidden=16", "--seeds=3", "--memory.capacity=50"]
    places = [f"--run_dir={tmp_path / 'run'}", f"--export_dir={tmp_path / 'models'}"]
    finished("-m", "keras_cl.main", *given, *places)
    line = Line(tmp_path, flags.parse(["", *given]))
    for number in (1, 2):
        line.generate(number)
        trained_alone(line, number, line.path("model", number))
    assert_equal(line, tmp_path / "run", 2)
    trained_alone(line, 2, str(tmp_path / "again"))
    models = [
        pathlib.Path(folder, "saved_models/2") for folder in (line.path("model", 2), tmp_path / "again")
    ]
    assert content_of(models[0]) == content_of(models[1]), "the same task trained again gives the same files"


def trained_alone(line, number, model):
    """Takes a task through the Trainer in a process of its own."""
    places = line.path("examples", number), line.path("model", number - 1), "", model
    call = repr((line.settings, number, *places))
    finished("-c", f"from pipelines.components.trainer import trainer; trainer(*{call})")


def content_of(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def finished(*command):
    process = start(*command)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two tasks that were trained, of a stream whose third task has arrived."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("trained")
    tf.config.run_functions_eagerly(True)
    try:
        line = through(folder, tiny(folder, epochs=1), tasks=2)
        line.generate(3)
    finally:
        tf.config.run_functions_eagerly(False)
    return line


def test_the_artifact(trained):
    folder = pathlib.Path(trained.path("model", 2))
    assert {entry.name for entry in (folder / "saved_models").iterdir()} == {"1", "2"}
    assert {entry.name for entry in (folder / "checkpoints").iterdir()} == {"task_002"}
    earlier = pathlib.Path(trained.path("model", 1), "saved_models/1/saved_model.pb")
    assert (folder / "saved_models/1/saved_model.pb").samefile(earlier)
    records = trained.read("model", 2, "results.json")["records"]
    assert [record["rows"] for record in records] == [0, 48, 48]
    assert records[2]["accuracies"] == [None] * 3, "the Trainer evaluates nothing"
    facts = trained.read("model", 2, "config.json")
    assert facts["task"] == 2 and facts["settings"]["method"] == "ewc" and facts["versions"]["keras_cl"]
    assert facts["run"] == trained.read("model", 1, "config.json")["run"]
    assert trained.read("model", 2, "artifact.json")["component"] == "Trainer"


def hyperparameters(folder, **values):
    with produced("Tuner", {"hyperparameters": folder}):
        text = json.dumps({name.replace("__", "."): value for name, value in values.items()})
        (folder / "best.json").write_text(text)
    return str(folder)


def test_hyperparameters_replace_settings(tmp_path):
    values = {"learning_rate": 0.05, "method__strength": 7.0, "network__hidden": [4, 3]}
    line = Line(tmp_path, tiny(tmp_path, epochs=1, tasks=2))
    line.generate(1)
    line.train(1, hyperparameters(tmp_path / "best", **values))
    options = {"method.strength": 7.0, "network.hidden": (4, 3)}
    config = tiny(tmp_path, epochs=1, learning_rate=0.05, tasks=2, options=options)
    line.generate(2)
    line.train(2)
    assert_equal(line, library(config), tasks=2)  # they hold for later tasks


def test_a_later_task_can_have_other_hyperparameters(trained, tmp_path):
    line = Line(tmp_path, tiny(trained.folder, epochs=1), base=trained)
    line.train(3, hyperparameters(tmp_path / "best", learning_rate=0.25, method__strength=3.0))
    settings = line.read("model", 3, "config.json")["settings"]
    assert settings["learning_rate"] == 0.25 and settings["method.strength"] == 3.0
    variables = saved_variables(tmp_path / "model_3/checkpoints/task_003/variables")
    (rate,) = (value for name, value in variables.items() if "optimizer/_learning_rate/" in name)
    assert rate == np.float32(0.25)
    evaluate.require_one_run([tmp_path / f"model_3/saved_models/{number}" for number in (1, 2, 3)])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 3}, r"trained with other settings: --epochs was 1, now 3\. Give these"),
        ({"options": {"method.strength": 5.0}}, "--method.strength was 1000.0, now 5.0"),
    ],
)
def test_other_settings_are_refused(trained, tmp_path, wrong, said):
    line = Line(tmp_path, tiny(trained.folder, **{"epochs": 1, **wrong}), base=trained)
    with pytest.raises(InputError, match=said):
        line.train(3)


def test_other_networks_of_later_tasks_are_refused(trained, tmp_path):
    line = Line(tmp_path, tiny(trained.folder, epochs=1), base=trained)
    with pytest.raises(InputError, match="is of another model"):
        line.train(3, hyperparameters(tmp_path / "best", network__hidden=[5]))


def test_another_device_is_not_taken_without_a_word(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "kind", lambda: "gpu")
    line = Line(tmp_path, tiny(trained.folder, epochs=1), base=trained)
    with pytest.raises(InputError, match="a run on a CPU, and this is a GPU, which rounds otherwise"):
        line.train(3)


def test_the_model_before_is_needed(trained, tmp_path):
    places = [trained.path("examples", 3), trained.path("model", 1), "", str(tmp_path / "model")]
    with pytest.raises(InputError, match="needs the model after task 2, and .* is that after task 1"):
        trainer(trained.settings, 3, *places)
    places[1] = ""
    with pytest.raises(InputError, match="Task 3 needs the model after task 2, and none was given"):
        trainer(trained.settings, 3, *places)
    places[:2] = [trained.path("examples", 2), trained.path("model", 2)]
    with pytest.raises(InputError, match="task 3 have not arrived"):
        trainer(trained.settings, 3, *places)
    assert not (tmp_path / "model" / "DONE").exists()


def test_diverged(tmp_path):
    line = Line(tmp_path, tiny(tmp_path, learning_rate=1e30, optimizer="sgd", method="finetune"))
    line.generate(1)
    with pytest.raises(Diverged, match=r"A smaller --learning_rate may help\.") as caught:
        line.train(1)
    assert "are kept in" not in str(caught.value)


def test_early_stopping_needs_validation_rows(tmp_path):
    line = Line(tmp_path, tiny(tmp_path, early_stopping=1))
    line.generate(1)
    with pytest.raises(InputError, match=r"task 1 has no validation rows; give --stream\.valid_fraction"):
        line.train(1)


def test_examples_of_another_scenario_are_refused(trained, tmp_path):
    line = Line(tmp_path, tiny(trained.folder, epochs=1, scenario="class"))
    with pytest.raises(InputError, match="3 tasks in the task-incremental .* 3 in the class-incremental one"):
        trainer(line.settings, 1, trained.path("examples", 1), "", "", str(tmp_path / "model"))
