"""ExampleValidator: nothing on clean data, and every fault by its name, its numbers and its threshold."""

import json
import pathlib
import re

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tiny_examples import CLASSES, analysed, tasks_of

from keras_cl import sources, streams
from keras_cl.errors import InputError
from pipelines.artifacts import verified
from pipelines.components.example_validator import example_validator, read_anomalies
from pipelines.validation import thresholds as example_thresholds
from pipelines.validation.thresholds import THRESHOLDS, read_thresholds, severity_of

ERROR, WARNING = anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING
TYPES = anomalies_pb2.AnomalyInfo.Type


def validated(folder, tasks, thresholds="", **plan):
    """`(anomalies, sentence)` of the last task; the sentence is "" if the task goes on."""
    statistics, schema = analysed(folder, tasks, **plan)
    sentence = ""
    try:
        example_validator(statistics, schema, thresholds, str(folder / "anomalies"), "")
    except InputError as error:
        sentence = str(error)
    return read_anomalies(folder / "anomalies"), sentence


def named(anomalies):
    """`{(feature, type of the anomaly)}` of all anomalies."""
    found = [*anomalies.anomaly_info.items(), ("", anomalies.dataset_anomaly_info)]
    return {(name, TYPES.Name(reason.type)) for name, info in found for reason in info.reason}


# ---- clean data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_clean_tasks_have_no_anomalies(tmp_path, dtype, scenario):
    anomalies, sentence = validated(tmp_path, tasks_of(dtype=dtype), scenario=scenario)
    assert not named(anomalies) and not sentence and not anomalies.data_missing
    assert verified(tmp_path / "anomalies")
    measured = {tuple(info.path.step): info for info in anomalies.drift_skew_info}
    values = measured[("image_value",) if dtype == np.uint8 else ("image",)]
    assert len(values.skew_measurements) == len(values.drift_measurements) == 1
    labels = measured[("label",)]
    assert len(labels.skew_measurements) == 1
    assert len(labels.drift_measurements) == (scenario == "domain")


def of_stream(stream):
    """All tasks of a stream with their original labels."""
    tasks = []
    for task in stream:
        opened = {split: getattr(task, split).open() for split in ("train", "valid", "test")}
        labels = np.array(stream.labels[task.index])
        tasks.append({split: (x, labels[y]) for split, (x, y) in opened.items()})
    return tasks


STREAMS = {
    "split": lambda data: streams.split(data, tasks=5, valid_fraction=0.1),
    "permuted": lambda data: streams.permuted(data, tasks=2, valid_fraction=0.1),
    "rotated": lambda data: streams.rotated(data, tasks=2, valid_fraction=0.1),
}


@pytest.mark.parametrize("build", STREAMS.values(), ids=STREAMS)
def test_digits_have_no_anomalies(tmp_path, build):
    none_in(tmp_path, build(sources.source("digits")))


@pytest.mark.slow
@pytest.mark.parametrize("build", STREAMS.values(), ids=STREAMS)
def test_mnist_has_no_anomalies(tmp_path, build, tfds_dir):
    none_in(tmp_path, build(sources.source("mnist", data_dir=tfds_dir)))


def none_in(folder, stream, tasks=3, thresholds=""):
    plan = {"classes": stream.task_classes, "train_classes": stream.train_classes}
    anomalies, sentence = validated(
        folder, of_stream(stream)[:tasks], thresholds, **plan, scenario=stream.scenario
    )
    assert not named(anomalies) and not sentence


BY_DESIGN = {  # options with which it shows more of it
    "blurry": {"exchanged": 50.0},
    "corrupted": {},
    "imbalanced": {"order": "shuffled", "ratio": 100.0},
    "repeating": {"returns": (0.8,)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", example_thresholds.BY_DESIGN)
def test_what_a_stream_shows_by_design_is_no_anomaly(name, tmp_path):
    stream = getattr(streams, name)(sources.source("digits"), **BY_DESIGN[name])
    none_in(tmp_path / "usual", stream, len(stream), json.dumps(example_thresholds.usual_of(name)))
    with pytest.raises(AssertionError):
        none_in(tmp_path / "default", stream, len(stream))


# ---- faults ----------------------------------------------------------------------------------------------


FAULTS = []
CUSTOM, MISSING = "CUSTOM_VALIDATION", "FEATURE_TYPE_LOW_FRACTION_PRESENT"
DIVERGENCE = "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"


def fault(said, *expected):
    """A change of a task, the anomalies `(feature, type)` that it must have, and what must be said of it."""

    def added(change):
        FAULTS.append(pytest.param(change, set(expected), said, id=change.__name__))
        return change

    return added


@fault(
    "image: 8 of 40 images of test (0.2) are in train or valid too, above the threshold leaked of 0.05",
    ("image", CUSTOM),
)
def leaked(task):
    task["train"][0][:8] = task["test"][0][:8]
    task["train"][1][:8] = task["test"][1][:8]


@fault(
    "image: 4 of 60 images of train (0.0667) are in an earlier row, above the threshold duplicates of 0.05",
    ("image", CUSTOM),
)
def repeated(task):
    task["train"][0][:8:2] = task["train"][0][8]
    task["train"][1][:8:2] = task["train"][1][8]


@fault(
    "image: 6 of 60 images of train (0.1) have another label elsewhere in the task, above the threshold "
    "conflicting_labels of 0.01",
    ("image", CUSTOM),
)
def conflicting(task):
    task["train"][0][:3] = task["train"][0][5:8][::-1]  # the labels alternate


@fault("1 of 60 rows of train (0.0167) have no label, above the threshold missing of 0", ("label", MISSING))
def unlabelled(task):
    task["train"] = task["train"][0], [None, *task["train"][1][1:]]


@fault(
    "image: 1 of 40 rows of test (0.025) have no image, above the threshold missing of 0",
    ("image", MISSING),
    ("shape", MISSING),
)
def without_an_image(task):
    task["test"] = [None, *task["test"][0][1:]], task["test"][1]


@fault(
    "image: 60 of 60 rows of train (1) have no image",
    ("image", "SCHEMA_MISSING_COLUMN"),
    ("shape", "SCHEMA_MISSING_COLUMN"),
)
def without_images(task):
    task["train"] = [None] * len(task["train"][1]), task["train"][1]


@fault(
    "image: 1 of 60 images of train (0.0167) have one value only, above the threshold constant of 0.01",
    ("image", CUSTOM),
)
def constant(task):
    task["train"][0][5] = 7


@fault(
    "shape: 1 of 60 images of train have the shape 2x8x1, and the schema says 4x4x1",
    ("shape", "INVALID_FEATURE_SHAPE"),
)
def of_another_shape(task):
    x = list(task["train"][0])
    task["train"] = [x[0].reshape(2, 8, 1), *x[1:]], task["train"][1]


@fault(
    "shape: 60 of 60 images of train have the shape 3x4x1, and the schema says 4x4x1",
    ("shape", "INVALID_FEATURE_SHAPE"),
    ("image", "INVALID_FEATURE_SHAPE"),
)
def of_another_size(task):
    for split, (x, y) in task.items():
        task[split] = x[:, :3], y


@fault("image: train has values of type FLOAT, and the schema says BYTES", ("image", "UNEXPECTED_DATA_TYPE"))
def of_another_type(task):
    for split, (x, y) in task.items():
        task[split] = (x / 255).astype(np.float32), y


@fault(
    "image_value: the values of train have a range of 4 and those of the task before one of 255, above the "
    "threshold value_range of a factor of 4",
    ("image_value", CUSTOM),
    ("image_value", DIVERGENCE),
)
def divided(task):
    for split, (x, y) in task.items():
        task[split] = x // 60, y


@fault(
    "image_value: the approximate Jensen-Shannon divergence between train and the task before is ",
    ("image_value", DIVERGENCE),
)
def brighter(task):
    for split, (x, y) in task.items():
        task[split] = (255 - (x / 255) ** 8 * 255).astype(np.uint8), y


@fault(
    "image_value: the approximate Jensen-Shannon divergence between train and test is ",
    ("image_value", DIVERGENCE),
)
def darker_test(task):
    task["test"] = task["test"][0] // 3, task["test"][1]


@fault("Task 2: test has no rows", ("", "DATASET_LOW_NUM_EXAMPLES"))
def without_rows(task):
    task["test"] = task["test"][0][:0], task["test"][1][:0]


@fault(
    "label: train has rows with 2 values, and the schema says 1", ("label", "FEATURE_TYPE_HIGH_NUMBER_VALUES")
)
def of_two_labels(task):
    task["train"] = task["train"][0], [[2, 3], *task["train"][1][1:]]


@fault(
    "label: train has values of type BYTES, and the schema says INT",
    ("label", "UNEXPECTED_DATA_TYPE"),
    ("label", "FEATURE_TYPE_LOW_UNIQUE"),
)
def of_written_labels(task):
    task["train"] = task["train"][0], ["two"] * len(task["train"][1])


@fault(
    "label: train has no rows of the class 3",
    ("label", "FEATURE_TYPE_LOW_UNIQUE"),
    ("label", "COMPARATOR_L_INFTY_HIGH"),
)
def without_a_class(task):
    keep = task["train"][1] != 3
    task["train"] = task["train"][0][keep], task["train"][1][keep]


@fault(
    "label: 3 of 60 rows of train have the label 0, which the plan gives to task 1; the classes of this task "
    "are 2, 3",
    ("label", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
)
def of_an_earlier_class(task):
    task["train"][1][:3] = 0


@fault(
    "label: 3 of 60 rows of train have the label 9, which the plan gives to no task",
    ("label", "ENUM_TYPE_UNEXPECTED_STRING_VALUES"),
)
def of_no_class(task):
    task["train"][1][:3] = 9


@fault(
    "label: the L-infinity distance between train and test is 0.25 (most at label 2), above the threshold "
    "label_skew of 0.15",
    ("label", "COMPARATOR_L_INFTY_HIGH"),
)
def skewed(task):
    task["train"][1][:] = np.repeat([2, 3], [45, 15])


@pytest.mark.parametrize(("change", "expected", "said"), FAULTS)
def test_a_fault_stops_the_task_and_is_named(tmp_path, change, expected, said):
    tasks = tasks_of()
    change(tasks[1])
    anomalies, sentence = validated(tmp_path, tasks)
    assert named(anomalies) == expected
    assert said in sentence
    assert sentence.startswith("Task 2") and sentence.endswith(f"{tmp_path / 'anomalies/anomalies.pbtxt'}.")
    assert any(info.severity == ERROR for info in every(anomalies))
    with pytest.raises(InputError, match="unfinished"):
        verified(tmp_path / "anomalies")


def every(anomalies):
    return [*anomalies.anomaly_info.values(), anomalies.dataset_anomaly_info]


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (
            np.nan,
            "FLOAT_TYPE_HAS_NAN",
            "1 of 60 images of train (0.0167) have NaN or infinite values, above the",
        ),
        (
            np.inf,
            "FLOAT_TYPE_HAS_INF",
            "1 of 60 images of train (0.0167) have NaN or infinite values, above the",
        ),
        (1.5, "FLOAT_TYPE_BIG_FLOAT", "image: values of train reach 1.5, and the schema says 0 to 1"),
        (-0.5, "FLOAT_TYPE_SMALL_FLOAT", "image: values of train reach -0.5, and the schema says 0 to 1"),
    ],
)
def test_values_that_no_image_has_stop_the_task(tmp_path, value, expected, said):
    tasks = tasks_of(dtype=np.float32)
    tasks[1]["train"][0][3, 2, 1] = value
    anomalies, sentence = validated(tmp_path, tasks)
    assert named(anomalies) == {("image", expected)}
    assert said in sentence


def test_bytes_above_those_of_the_data_set_stop_the_first_task(tmp_path):
    tasks = [{split: (x // 16, y) for split, (x, y) in tasks_of()[0].items()}]
    assert not validated(tmp_path / "right", tasks, scale=1 / 15)[1]
    tasks[0]["valid"][0][0, 0, 0] = 200
    anomalies, sentence = validated(tmp_path / "wrong", tasks, scale=1 / 15)
    assert named(anomalies) == {("image_value", "INT_TYPE_BIG_INT")}
    assert (
        "Task 1, feature image_value: values of valid reach 200, and the schema says 0 to 15; see" in sentence
    )


def test_images_of_an_earlier_task_stop_the_task(tmp_path):
    tasks = tasks_of()
    tasks[1]["train"][0][:6] = tasks[0]["test"][0][:6]
    anomalies, sentence = validated(tmp_path, tasks)
    assert named(anomalies) == {("image", CUSTOM)}
    assert (
        "6 of 60 images of train (0.1) are in an earlier task, above the threshold in_earlier_tasks"
        in sentence
    )


def test_a_single_leaked_image_of_many_is_a_warning(tmp_path):
    tasks = tasks_of()
    tasks[1]["train"][0][0] = tasks[1]["test"][0][0]
    tasks[1]["train"][1][0] = tasks[1]["test"][1][0]
    anomalies, sentence = validated(tmp_path, tasks)
    info = anomalies.anomaly_info["image"]
    assert (info.severity, info.short_description, sentence) == (WARNING, "Within threshold leaked", "")
    assert info.description == (
        "1 of 40 images of test (0.025) are in train or valid too, within the threshold leaked of 0.05."
    )
    assert validated(tmp_path / "strict", tasks, '{"leaked": 0.02}')[1].startswith(
        "Task 2, feature image: 1 of 40"
    )
    assert not named(validated(tmp_path / "off", tasks, '{"leaked": null}')[0])


def test_a_class_without_test_rows_is_a_warning(tmp_path):
    tasks = tasks_of()
    x, y = tasks[1]["test"]
    tasks[1]["test"] = x[y == 2], y[y == 2]
    anomalies, sentence = validated(tmp_path, tasks, '{"label_skew": null}')
    assert named(anomalies) == {("label", "FEATURE_TYPE_LOW_UNIQUE")} and not sentence
    assert anomalies.anomaly_info["label"].description == "Test has no rows of the class 3."


def test_imbalance_is_a_warning(tmp_path):
    tasks = tasks_of()
    tasks[1]["train"][1][:] = [2] * 57 + [3] * 3
    tasks[1]["test"][1][:] = [2] * 38 + [3] * 2
    anomalies, sentence = validated(tmp_path, tasks)
    assert named(anomalies) == {("label", CUSTOM)} and not sentence
    info = anomalies.anomaly_info["label"]
    assert info.severity == WARNING
    assert (
        "57 rows and the smallest 3, a ratio of 19, above the threshold imbalance of 10" in info.description
    )


@pytest.mark.parametrize("classes", [((0, 1), (0, 1)), CLASSES], ids=["same labels", "other labels"])
def test_labels_drift_by_their_place_in_the_task(tmp_path, classes):
    tasks = tasks_of(classes)
    for split in tasks[1]:
        y = tasks[1][split][1]
        y[:] = np.repeat(classes[1], [len(y) * 8 // 10, len(y) - len(y) * 8 // 10])
    drifted, sentence = validated(tmp_path / "domain", tasks, classes=classes, scenario="domain")
    assert named(drifted) == {("label", "COMPARATOR_L_INFTY_HIGH")}
    assert "train and the task before is 0.3 (most at output 0), above the threshold label_drift" in sentence
    assert not validated(tmp_path / "class", tasks, classes=classes, scenario="class")[1]


def test_several_anomalies_of_a_feature_are_reasons_of_one(tmp_path):
    tasks = tasks_of()
    leaked(tasks[1])
    constant(tasks[1])
    tasks[1]["train"][1][20:23] = 9
    anomalies, sentence = validated(tmp_path, tasks)
    info = anomalies.anomaly_info["image"]
    assert (info.short_description, len(info.reason)) == ("Multiple errors", 2)
    assert info.description == " ".join(reason.description for reason in info.reason)
    assert re.search(r"; 2 more anomalies are in .*anomalies\.pbtxt\.$", sentence)
    again = text_format.Parse(text_format.MessageToString(anomalies), anomalies_pb2.Anomalies())
    assert again == anomalies and again.baseline.feature


# ---- thresholds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"leakd": 1}', "Did you mean leaked?"),
        ('{"leaked": -1}', "The threshold leaked is -1; it must be a number of at least 0, or null."),
        ('{"leaked": true}', "The threshold leaked is True"),
        ('{"leaked": NaN}', "The threshold leaked is nan"),
        ("[1]", "give a JSON object"),
        ("{", "are no JSON"),
    ],
)
def test_unusable_thresholds_are_one_sentence(text, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read_thresholds(text)


def test_given_thresholds_replace_defaults_and_are_recorded_in_the_baseline(tmp_path):
    found = read_thresholds('{"value_drift": 0.4, "label_skew": null}')
    defaults = {threshold.name: threshold.default for threshold in THRESHOLDS}
    assert found == {**defaults, "value_drift": 0.4, "label_skew": float("inf")}
    anomalies, _ = validated(tmp_path, tasks_of(), json.dumps({"value_drift": 0.4, "label_skew": None}))
    features = {feature.name: feature for feature in anomalies.baseline.feature}
    assert features["image_value"].drift_comparator.jensen_shannon_divergence.threshold == 0.4
    assert not features["label"].skew_comparator.infinity_norm.HasField("threshold")


def test_the_documentation_has_the_table_of_thresholds():
    page = (pathlib.Path(__file__).parents[2] / "docs/pipelines.md").read_text()
    rows = [
        f"| `{t.name}` | {t.default:g} | {t.unit} | {t.meaning} | {severity_of(t.name)} |" for t in THRESHOLDS
    ]
    assert "\n".join(rows) in page
    assert {*example_thresholds.WARNINGS} <= {t.name for t in THRESHOLDS}
