"""ModelValidator: what is blessed, what is not, and the sentences that say why."""

import json
import pathlib

import pytest

from keras_cl.errors import InputError
from keras_cl.runs.files import as_json
from pipelines.artifacts import produced
from pipelines.components import model_validator as validator

OFF = dict.fromkeys(validator.THRESHOLDS)


def models_of(*rows, chance=0.5):
    """The models of slices.json with the accuracies of a matrix without its first row; None for no number."""
    return {
        str(after): {
            "tasks": {
                str(number): {"accuracy": accuracy, "rows": 100, "chance": chance}
                for number, accuracy in enumerate(row, 1)
                if accuracy is not None
            }
        }
        for after, row in enumerate(rows, 1)
    }


def validated(folder, models, previous="", **thresholds):
    """The content of the blessing of the newest of some models, and its folder."""
    number = len(models)
    evaluation, blessing = folder / f"evaluation_{number}", folder / f"blessing_{number}"
    with produced("Evaluator", {"evaluation": evaluation}):
        (evaluation / "slices.json").write_text(as_json({"run": "r", "task": number, "models": models}))
    text = json.dumps(thresholds) if thresholds else ""
    validator.model_validator(str(evaluation), str(previous), text, str(blessing), "")
    return json.loads((blessing / "blessing.json").read_text()), blessing


def judged(models, last=0, **limits):
    return validator.judged(models, len(models), last, {**OFF, **limits})


def test_a_model_is_blessed_with_the_numbers_that_it_passed(tmp_path):
    content, _ = validated(tmp_path, models_of([0.9]))
    assert content["blessed"] and (content["task"], content["last_blessed"]) == (1, 1)
    assert content["reasons"] == [
        "The accuracy on task 1, the new one, is 0.9000 and chance 0.5000; with min_above_chance 0.2 at "
        "least 0.6000 is needed."
    ]
    assert content["thresholds"] == validator.THRESHOLDS


def test_the_new_task_must_be_learned():
    assert judged(models_of([0.6]), min_above_chance=0.2)[0] == [], "0.5 + 0.2 * 0.5, in spite of rounding"
    (said,) = judged(models_of([0.59]), min_above_chance=0.2)[0]
    assert said == (
        "The accuracy on task 1, the new one, is 0.5900 and chance 0.5000; with min_above_chance 0.2 at "
        "least 0.6000 is needed."
    )
    (said,) = judged(models_of([0.59]), min_accuracy=0.6)[0]
    assert said == "The accuracy on task 1, the new one, is 0.5900; min_accuracy is 0.6."
    assert judged(models_of([1.0], chance=1.0), min_above_chance=0.2)[0] == [], "one class alone"


def test_forgetting_is_since_the_best_earlier_model():
    models = models_of([0.8, 0.5, 0.5], [0.9, 0.8, 0.5], [0.75, 0.8, 0.9])
    assert judged(models, max_forgetting=0.15)[0] == []
    failed, passed = judged(models, max_forgetting=0.14)
    assert failed == [
        "The accuracy on task 1 is 0.7500, after 0.9000 with model 2: the forgetting is 0.1500; "
        "max_forgetting is 0.14."
    ]
    assert len(passed) == 1, "task 2"


def test_what_earlier_models_had_on_a_task_that_they_had_not_learned_is_not_forgotten():
    models = models_of([0.8, 0.95, 0.5], [0.8, 0.6, 0.5], [0.8, 0.6, 0.9])
    assert judged(models, max_forgetting=0.1)[0] == []


def test_regression_is_since_the_last_blessed_model_on_all_tasks():
    models = models_of([0.8, 0.9, 0.5], [0.9, 0.8, 0.5], [0.7, 0.8, 0.9])
    assert judged(models, last=0, max_regression=0.0)[0] == []
    assert judged(models, last=1, max_regression=0.1)[0] == []
    failed, _ = judged(models, last=1, max_regression=0.09)
    assert failed == [
        "The accuracy on task 1 is 0.7000, and that of model 1, the last blessed one, 0.8000: the regression "
        "is 0.1000; max_regression is 0.09.",
        "The accuracy on task 2 is 0.8000, and that of model 1, the last blessed one, 0.9000: the regression "
        "is 0.1000; max_regression is 0.09.",
    ]


def test_tasks_that_the_last_blessed_model_cannot_answer_are_not_compared():
    models = models_of([0.9], [0.9, 0.9])
    failed, passed = judged(models, last=1, max_regression=0.05)
    assert not failed and len(passed) == 1


@pytest.mark.parametrize("number", [None, float("nan"), float("inf"), -0.1, 1.1, "0.9"])
def test_a_missing_number_is_never_a_blessing(tmp_path, number):
    models = models_of([0.9, 0.5], [0.9, 0.9])
    models["2"]["tasks"]["1"]["accuracy"] = number
    content, _ = validated(tmp_path, models)
    assert not content["blessed"]
    assert content["reasons"] == ["The accuracy of model 2 on task 1 is missing."]
    assert validator.judged(models, 2, 0, OFF)[0], "whatever the thresholds"


def test_a_missing_number_of_an_earlier_model_counts_where_a_threshold_needs_it():
    models = models_of([None], [0.9, 0.9])
    assert judged(models, max_forgetting=0.1)[0] == ["The accuracy of model 1 on task 1 is missing."]
    assert judged(models, last=1, max_regression=0.1)[0] == ["The accuracy of model 1 on task 1 is missing."]
    assert judged(models) == ([], ["No threshold is set."])


def test_the_chain_of_blessings(tmp_path):
    rows = [0.9, 0.5, 0.5], [0.6, 0.9, 0.5], [0.88, 0.9, 0.9]
    first, place = validated(tmp_path, models_of(rows[0]))
    second, place = validated(tmp_path, models_of(*rows[:2]), place)
    third, _ = validated(tmp_path, models_of(*rows), place)
    assert [one["blessed"] for one in (first, second, third)] == [True, False, True]
    assert [one["last_blessed"] for one in (first, second, third)] == [1, 1, 3]
    assert [one["compared_with"] for one in (first, second, third)] == [0, 1, 1]
    assert len(second["reasons"]) == 2, "only what failed: forgetting and regression on task 1"


def test_the_blessing_before_is_that_of_the_task_before(tmp_path):
    _, place = validated(tmp_path, models_of([0.9]))
    with pytest.raises(InputError, match="is that after task 3, and .* the blessing after task 1"):
        validated(tmp_path, models_of([0.9], [0.9, 0.9], [0.9, 0.9, 0.9]), place)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", r"The thresholds of ModelValidator are '\[\]'; give a JSON object"),
        ("{", "give a JSON object"),
        ('{"max_forgeting": 1}', "'max_forgeting' is not known.*Did you mean max_forgetting?"),
        ('{"max_forgetting": "0.1"}', "max_forgetting is '0.1'; give a number from 0 to 1, or null"),
        ('{"max_forgetting": true}', "max_forgetting is True"),
        ('{"max_forgetting": NaN}', "max_forgetting is nan"),
        ('{"max_forgetting": 2}', "max_forgetting is 2"),
    ],
)
def test_thresholds_that_cannot_be_used(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        validator.model_validator("", "", text, str(tmp_path / "blessing"), "")
    assert not (tmp_path / "blessing").exists()


def test_null_is_off(tmp_path):
    content, _ = validated(tmp_path, models_of([0.5]), min_above_chance=None)
    assert content["blessed"] and content["thresholds"]["min_above_chance"] is None


def test_the_documentation_has_the_thresholds():
    page = (pathlib.Path(__file__).parents[2] / "docs/pipelines.md").read_text()
    for name, value in validator.THRESHOLDS.items():
        shown = "off" if value is None else f"{value:g}"
        assert f"| `{name}` | {shown} | {validator.MEANINGS[name]} |" in page
