"""The settings of the line: what has arrived, texts that components take, sentences about what cannot be."""

import dataclasses
import json

import numpy as np
import pytest

from keras_cl.errors import InputError, require_installed
from pipelines import settings
from pipelines.components.tuner import options_of, search_of
from pipelines.validation import thresholds


def line(*given):
    return settings.parse(["run", *given])


def refusal(*given):
    with pytest.raises(InputError) as error:
        made = line(*given)
        made.settings_text, made.thresholds_of("ModelValidator"), made.tune_text  # noqa: B018, all are read
    return str(error.value)


def test_a_text_gives_the_same_config():
    made = line("--method=er", "--memory.capacity=7", "--epochs=3", "--device=cpu").config
    again = settings.config_of(settings.text_of(made))
    assert again == dataclasses.replace(made, options=again.options)
    assert again.settings == made.settings
    assert again.device == "cpu"


def test_the_order_of_flags_does_not_matter():
    assert (
        line("--epochs=3", "--batch_size=8").settings_text
        == line("--batch_size=8", "--epochs=3").settings_text
    )


@pytest.mark.parametrize(
    ("given", "folders"),
    [
        ((), 5 * [""]),
        (("--until=3",), 3 * [""]),
        (("--until=2", "--examples=/a,/b"), ["", "", "/a", "/b"]),
        (("--examples=/a,/b",), ["", "", "", "/a", "/b"]),
        (("--examples=/a", "--classes=0,1/2,3", "--scenario=task"), ["/a"]),
    ],
)
def test_what_has_arrived(given, folders):
    assert line(*given).folders == folders


def test_classes_are_planned_tasks():
    text = json.loads(line("--examples=/a", "--classes=0,1/2,3", "--scenario=class").settings_text)
    assert (text["classes"], text["settings"]["tasks"]) == ("0,1/2,3", 2)
    assert "classes" not in json.loads(line().settings_text)


def test_paths_do_not_depend_on_the_folder_of_a_component(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.zeros((4, 2, 2), np.uint8), np.arange(4) % 2
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = line("--dataset=data.npz", "--data_dir=data", "--examples=next", "--tasks=2")
    text = json.loads(made.settings_text)
    assert text["settings"]["dataset"] == str(tmp_path / "data.npz")
    assert text["places"]["data_dir"] == str(tmp_path / "data")
    assert made.folders[-1] == str(tmp_path / "next")


def test_thresholds_are_those_of_the_component(tmp_path):
    file = tmp_path / "thresholds.json"
    file.write_text('{"ModelValidator": {"min_accuracy": 0.5}}')
    made = line(f"--thresholds={file}")
    assert json.loads(made.thresholds_of("ModelValidator")) == {"min_accuracy": 0.5}
    assert json.loads(made.thresholds_of("ExampleValidator")) == {}
    returning = line("--stream=repeating", f"--thresholds={file}")
    file.write_text('{"ExampleValidator": {"label_skew": 0.5}}')
    found = json.loads(thresholds.text_of(returning))
    assert found == {"in_earlier_tasks": None, "label_skew": 0.5}
    arrived = line("--classes=0,1/1,2", "--scenario=class", "--examples=june")
    assert thresholds.text_of(arrived) == thresholds.text_of(line()) == "{}"
    file.write_text('{"ModelValidater": {}}')
    assert refusal(f"--thresholds={file}").endswith("Did you mean ModelValidator?")
    file.write_text('{"ModelValidator": 1}')
    assert refusal(f"--thresholds={file}") == "--thresholds: ModelValidator is 1; it must be {...}."


def test_the_tuner_has_its_trials(tmp_path):
    file = tmp_path / "tune.json"
    file.write_text('{"tuner": "random"}')
    made = line("--trials=3", f"--tune={file}", "--stream.valid_fraction=0.1")
    options = json.loads(made.tune_text)
    assert (options["trials"], options["tuner"]) == (3, "random")
    assert line().tune_text == ""


def test_settings_that_are_given_are_not_searched(tmp_path):
    file = tmp_path / "tune.json"
    file.write_text('{"given": ["batch_size"]}')
    given = "--trials=3", "--stream.valid_fraction=0.1", "--learning_rate=0.01", "--until=3", "--device=cpu"
    made = line(*given, f"--tune={file}")
    options = json.loads(made.tune_text)
    assert sorted(options["given"]) == ["batch_size", "learning_rate", "stream.valid_fraction"]
    search = search_of(made.config, options_of(made.tune_text), arrived=2)
    assert not {"learning_rate", "batch_size"} & {*search.space}
    everything = line("--method=l2", *given[:2])
    assert {"learning_rate", "batch_size"} <= {
        *search_of(everything.config, options_of(everything.tune_text), arrived=2).space
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ("--until=6",),
            "--until is 6; with 5 tasks, and 0 in --examples, it must be at least 0 and at ",
        ),
        (("--until=0",), "No task has arrived; give --until=1, or a folder by --examples."),
        (("--tasks=1", "--examples=a,b"), "--examples names 2 tasks, and 1 are planned; give more --tasks."),
        (
            ("--until=1", "--classes=0/1", "--examples=a", "--scenario=class"),
            "--until is 1, and with --classes all tasks arrive: ",
        ),
        (
            ("--classes=0/1", "--stream=split"),
            "--classes and --stream are both given; with ",
        ),
        (("--classes=0/1", "--tasks=2"), "--classes and --tasks are both given;"),
        (("--classes=0/1", "--examples=a"), "--classes is given, and no stream says the scenario: give "),
        (("--seeds=0,1",), "--seeds is 0,1; a line has one model, so give one seed."),
        (
            ("--stream=datasets", "--dataset=digits,mnist"),
            "--dataset is digits,mnist; a line has one data set",
        ),
        (("--eval_every=epoch",), "--eval_every is epoch; the Evaluator measures each task once: task."),
        (
            ("--method=er", "--stream=online"),
            "--stream is online, a pass without tasks, and a line learns task",
        ),
        (("--eval_tasks=seen",), "--eval_tasks is seen; the Evaluator measures all tasks: all."),
        (
            ("--stream_per_seed",),
            "--stream_per_seed is for runs of several seeds; a line has one stream: give",
        ),
        (("--run_dir=x",), "--run_dir is for keras_cl.main; the line decides it itself."),
        (("--overwrite",), "--overwrite is for keras_cl.main; the line decides it itself."),
        (("--trials=-1",), "--trials is -1; it must not be negative."),
        (
            ("--trials=2",),
            "--trials is for the Tuner, which needs validation rows; give --stream.valid_fraction",
        ),
        (("--tune=x.json",), "--tune is for the Tuner; give --trials too."),
        (("--model_name=a/b",), "--model_name is 'a/b'; it must be letters, digits, '.', '_' and '-',"),
        (("--serving_dir=",), "--serving_dir is empty; give a folder."),
        (("--thresholds=none.json",), "--thresholds is none.json, and it cannot be read: No such file or "),
        (("--untill=3",), "There is no flag --untill. Did you mean --until?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given, said):
    assert refusal(*given).startswith(said)


def test_help_names_the_flags_of_the_line(capsys):
    with pytest.raises(SystemExit):
        line("--help")
    said = capsys.readouterr().out
    assert said.startswith("python -m pipelines.run: takes the tasks of a stream that have arrived")
    assert all(f"--{name}\n" in said for name in ("until", "examples", "serving_dir", "method.strength"))


def test_packages_that_are_missing_are_named(monkeypatch):
    require_installed("pipeline", "kfp")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
        require_installed("pipeline", *settings.PACKAGES)
    assert str(error.value) == "This needs kfp and tensorflow_metadata: pip install 'keras_cl[pipeline]'."
