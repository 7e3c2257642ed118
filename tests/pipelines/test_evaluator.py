"""Evaluator: rows of the accuracy matrix, slices and metrics from exported models."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from helpers import blobs
from in_line import Line, tiny

from keras_cl import evaluate, metrics
from keras_cl.errors import InputError
from keras_cl.runs.directory import read_matrix
from keras_cl.settings.build import make_stream
from pipelines.components.evaluator import evaluator, matrix_of
from pipelines.components.model_validator import THRESHOLDS, judged, model_validator
from pipelines.examples.recorded import stream_of

pytestmark = pytest.mark.usefixtures("eagerly")
ROWS = (24, 12, 24, 24, 24, 24)


def line_of(folder, **settings):
    line = Line(folder, tiny(folder, ROWS, epochs=1, method="finetune", **settings))
    for number in (1, 2):
        line.generate(number)
        line.train(number)
        line.evaluate(number)
    return line


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two of three tasks, task incremental."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield line_of(tmp_path_factory.mktemp("evaluated"))
    tf.config.run_functions_eagerly(False)


def matrix(line, number):
    return read_matrix(pathlib.Path(line.path("evaluation", number), "matrix.csv"))


def test_the_matrix_grows_by_a_row_and_a_column(evaluated):
    one, two = matrix(evaluated, 1), matrix(evaluated, 2)
    assert one.shape == two.shape == (4, 3)
    assert np.isfinite(one).tolist() == [[False] * 3, [True, False, False], [False] * 3, [False] * 3]
    assert np.isfinite(two).tolist() == [[False] * 3, [True, True, False], [True, True, False], [False] * 3]
    assert one[1, 0] == two[1, 0]


def test_the_numbers_are_those_of_the_models_on_the_librarys_stream(evaluated):
    stream = make_stream(tiny(evaluated.folder, ROWS, method="finetune"))
    found = matrix_of(evaluated.read("evaluation", 2, "slices.json"), 3)
    for after in (1, 2):
        version = pathlib.Path(evaluated.path("model", 2), "saved_models", str(after))
        signature = evaluate.signature_of(version, stream)
        for task in stream[:2]:
            assert found[after, task.index] == np.mean(evaluate.correct(signature, task))


def test_slices_by_class(evaluated):
    slices = evaluated.read("evaluation", 2, "slices.json")
    stream = make_stream(tiny(evaluated.folder, ROWS, method="finetune"))
    for model in slices["models"].values():
        for number, task in model["tasks"].items():
            classes = stream[int(number) - 1].classes
            assert {*task["classes"]} == {*map(str, classes)}
            assert task["rows"] == sum(one["rows"] for one in task["classes"].values()) == 20
            right = sum(one["accuracy"] * one["rows"] for one in task["classes"].values())
            assert right == pytest.approx(task["accuracy"] * task["rows"])
            assert task["chance"] == 0.5
        assert {*model["classes"]} == {"0", "1", "2", "3"}
        for label, one in model["classes"].items():
            assert one == model["tasks"][str(int(label) // 2 + 1)]["classes"][label]


def test_metrics_are_those_of_the_tasks_so_far(evaluated):
    for number in (1, 2):
        part = matrix_of(evaluated.read("evaluation", number, "slices.json"), 3)[: number + 1, :number]
        assert evaluated.read("evaluation", number, "metrics.json") == metrics.summary(part)
    assert evaluated.read("evaluation", 2, "metrics.json")["forgetting"] is not None


def test_only_what_is_new_is_measured(evaluated, tmp_path, monkeypatch):
    known = evaluate.correct
    seen = []

    def watched(signature, task):
        seen.append(task.number)
        return known(signature, task)

    monkeypatch.setattr(evaluate, "correct", watched)
    line = Line(tmp_path, tiny(evaluated.folder, ROWS, epochs=1, method="finetune"), base=evaluated)
    line.generate(3)
    line.train(3)
    line.evaluate(3)
    assert seen == [3, 3, 1, 2, 3]
    first = evaluated.read("evaluation", 2, "slices.json")["models"]["1"]["tasks"]
    again = line.read("evaluation", 3, "slices.json")["models"]["1"]["tasks"]
    assert {number: again[number] for number in first} == first


def test_an_evaluation_without_the_one_before_measures_everything(evaluated, tmp_path):
    places = evaluated.path("model", 2), evaluated.path("examples", 2), "", str(tmp_path / "evaluation")
    evaluator(evaluated.settings, *places)
    found = json.loads((tmp_path / "evaluation/slices.json").read_text())
    assert found == evaluated.read("evaluation", 2, "slices.json")


def test_classes_that_cannot_be_predicted_yet_are_blank(tmp_path):
    line = line_of(tmp_path, scenario="class")
    found = matrix(line, 2)
    assert np.isfinite(found).tolist() == [
        [False] * 3,
        [True, False, False],
        [True, True, False],
        [False] * 3,
    ]
    tasks = line.read("evaluation", 2, "slices.json")["models"]["2"]["tasks"]
    assert [tasks[number]["chance"] for number in ("1", "2")] == [0.5, 0.5]


def test_the_chance_of_a_task_of_one_class_is_a_guess_among_those_seen(tmp_path):
    line = line_of(tmp_path, scenario="class", options={"stream.class_order": "0,1,2"})
    tasks = line.read("evaluation", 2, "slices.json")["models"]["2"]["tasks"]
    assert [tasks[number]["chance"] for number in ("1", "2")] == [0.5, 0.5]
    assert line.read("evaluation", 2, "slices.json")["models"]["1"]["tasks"]["1"]["chance"] == 1.0


def test_the_model_validator_reads_it(evaluated, tmp_path):
    model_validator(evaluated.path("evaluation", 2), "", "", str(tmp_path / "blessing"), "")
    content = json.loads((tmp_path / "blessing/blessing.json").read_text())
    assert content["task"] == 2 and not any("missing" in said for said in content["reasons"])
    first = evaluated.read("evaluation", 2, "slices.json")["models"]["1"]["tasks"]["1"]["accuracy"]
    validated = judged(evaluated.read("evaluation", 2, "slices.json")["models"], 2, 1, THRESHOLDS)
    assert any(f"{first:.4f}" in said for said in sum(validated, []))


def test_models_of_another_run_are_refused(evaluated, tmp_path):
    line = Line(tmp_path, tiny(evaluated.folder, ROWS, epochs=1, method="finetune", learning_rate=0.01))
    line.generate(1)
    line.train(1)
    shutil.copytree(evaluated.path("evaluation", 1), tmp_path / "evaluation_0")
    line.path = lambda name, number, path=line.path: path(name, number) or str(tmp_path / f"{name}_0")
    with pytest.raises(InputError, match="evaluates models of another run than"):
        line.evaluate(1)


def test_the_library_evaluates_the_models_of_a_finished_line(tmp_path):
    line = Line(tmp_path, tiny(tmp_path, epochs=1, method="finetune", tasks=2))
    for number in (1, 2):
        line.generate(number)
        line.train(number)
        line.evaluate(number)
    again = evaluate.accuracy_matrix(pathlib.Path(line.path("model", 2), "saved_models"))
    np.testing.assert_array_equal(again, matrix_of(line.read("evaluation", 2, "slices.json"), 2))


def test_a_line_of_examples_that_arrived_is_evaluated_with_its_own_stream(tmp_path):
    line = Line(tmp_path, tiny(tmp_path, epochs=1, method="finetune", tasks=2))
    line.generate(1)
    line.train(1)
    np.savez(tmp_path / "june.npz", **blobs((9, 9, 9), labels=(3, 4, 5), seed=1))
    line.generate(2, tmp_path / "june.npz")
    line.train(2)
    models = pathlib.Path(line.path("model", 2), "saved_models")
    with pytest.raises(
        InputError, match="2 learned examples that arrived as files: its matrix is matrix.csv"
    ):
        evaluate.accuracy_matrix(models)
    for number in (1, 2):
        line.evaluate(number)
    again = evaluate.accuracy_matrix(models, stream=stream_of(line.path("examples", 2)))
    np.testing.assert_array_equal(again, matrix_of(line.read("evaluation", 2, "slices.json"), 2))
