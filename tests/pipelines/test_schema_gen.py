"""SchemaGen: what the first task fixes, what later tasks add, and the text that others read."""

import pathlib

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tiny_examples import CLASSES, analysed, tasks_of

from pipelines.artifacts import read_record, verified
from pipelines.components.schema_gen import read_schema, schema_gen
from pipelines.validation.schemas import feature_of, values_of
from pipelines.validation.thresholds import read_thresholds

FIRST = """feature {
  name: "image"
  type: BYTES
  presence { min_fraction: 1.0 min_count: 1 }
  shape { }
}
feature {
  name: "image_value"
  type: INT
  lifecycle_stage: VALIDATION_DERIVED
  validation_derived_source { deriver_name: "image_values" source_path { step: "image" } }
  shape { dim { size: 4 } dim { size: 4 } dim { size: 1 } }
  int_domain { min: 0 max: 255 }
  skew_comparator { jensen_shannon_divergence { threshold: 0.05 } }
  drift_comparator { jensen_shannon_divergence { threshold: 0.2 } }
}
feature {
  name: "shape"
  type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 3 } }
  int_domain { min: 1 max: 4 }
}
feature {
  name: "label"
  type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { }
  int_domain { min: 0 max: 1 is_categorical: true }
  skew_comparator { infinity_norm { threshold: 0.15 } }
}
string_domain { name: "classes" value: "0" value: "1" }
dataset_constraints { min_examples_count: 1 }
"""


def test_the_first_task_makes_the_schema(tmp_path):
    _, folder = analysed(tmp_path, tasks_of()[:1])
    assert read_schema(folder) == text_format.Parse(FIRST, schema_pb2.Schema())
    assert read_record(folder)["component"] == "SchemaGen"


def test_the_file_is_what_data_validation_writes(tmp_path):
    _, folder = analysed(tmp_path, tasks_of()[:1])
    text = (pathlib.Path(folder) / "schema.pbtxt").read_text()
    assert text == text_format.MessageToString(read_schema(folder))


def test_a_later_task_adds_its_planned_classes_and_nothing_else(tmp_path):
    tasks = tasks_of()
    tasks[1]["train"][1][:3] = 9  # in no plan
    tasks[1]["test"] = tuple(rows[:0] for rows in tasks[1]["test"])
    _, folder = analysed(tmp_path, tasks)
    schema, expected = read_schema(folder), text_format.Parse(FIRST, schema_pb2.Schema())
    expected.string_domain[0].value.extend(["2", "3"])
    feature_of(expected, "label").int_domain.max = 3
    assert schema == expected


def test_a_schema_made_late_is_the_one_made_task_by_task(tmp_path):
    tasks = tasks_of(dtype=np.float32)
    tasks[1]["train"][0][:] *= 3
    statistics, folder = analysed(tmp_path, tasks)
    schema_gen(statistics, "", str(tmp_path / "late"), "")
    assert verified(tmp_path / "late") == verified(folder)


def test_images_of_another_shape_do_not_change_the_schema(tmp_path):
    tasks = tasks_of()
    tasks[1] = {split: (x.reshape(-1, 2, 8, 1), y) for split, (x, y) in tasks[1].items()}
    _, folder = analysed(tmp_path, tasks)
    assert [dim.size for dim in values_of(read_schema(folder)).shape.dim] == [4, 4, 1]


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [(lambda x: x * 0.7, 0, 1), (lambda x: x * 40 - 10, -30, 50)],
    ids=["unit interval", "others"],
)
def test_the_range_of_floats_is_that_of_the_first_task(tmp_path, change, low, high):
    tasks = tasks_of(dtype=np.float32)[:1]
    tasks[0] = {split: (change(x).astype(np.float32), y) for split, (x, y) in tasks[0].items()}
    image = feature_of(read_schema(analysed(tmp_path, tasks)[1]), "image")
    assert image.type == schema_pb2.FLOAT and image.float_domain.disallow_nan
    assert image.float_domain.disallow_inf
    np.testing.assert_allclose([image.float_domain.min, image.float_domain.max], [low, high], atol=0.1)
    assert [dim.size for dim in image.shape.dim] == [4, 4, 1]
    assert image.drift_comparator.jensen_shannon_divergence.threshold == read_thresholds("")["value_drift"]


@pytest.mark.parametrize(
    ("scenario", "classes", "compared"),
    [
        ("domain", ((0, 1), (1, 0)), True),
        ("domain", CLASSES, False),  # an output stands for another label in every task
        ("class", ((0, 1), (0, 1)), False),
    ],
)
def test_labels_of_tasks_are_compared_where_they_are_the_same_outputs(tmp_path, scenario, classes, compared):
    _, folder = analysed(tmp_path, tasks_of(classes)[:1], classes=classes, scenario=scenario)
    label = feature_of(read_schema(folder), "label")
    assert label.HasField("drift_comparator") == compared
