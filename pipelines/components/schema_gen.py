"""SchemaGen: what every task's examples must be, `<schema>/schema.pbtxt`.

The first task makes the schema: types, shape and range of the images. Later tasks add the classes that the
plan of the stream gives them, and nothing else; other changes are anomalies of ExampleValidator.
"""

import math
import pathlib

from keras_cl.runs.files import read_json
from pipelines.artifacts import produced
from pipelines.components.statistics_gen import read_statistics
from pipelines.examples.plan import PLAN
from pipelines.validation.feature_statistics import DERIVER
from pipelines.validation.schemas import feature_of, labels_return, set_comparators
from pipelines.validation.thresholds import read_thresholds

CLASSES = "classes"  # the string domain of all labels that have come so far
FILE = "schema.pbtxt"


def schema_gen(statistics: str, previous: str, schema: str, code: str):
    """Makes the schema, or adds the planned classes of the tasks that have arrived.

    Args:
      statistics: Statistics artifact.
      previous: Schema artifact of the task before; "" for none.
      schema: folder to write.
      code: digest of the code.

    Raises:
      InputError: if an input is unfinished or was edited.
    """
    with produced(
        "SchemaGen", {"schema": schema}, {"statistics": statistics, "previous": previous}, code=code
    ):
        plan = read_json(pathlib.Path(statistics) / PLAN)
        found = read_schema(previous) if previous else _made(plan, read_statistics(statistics, 1))
        _add_classes(found, (plan.get("train_classes") or plan["task_classes"])[: plan["arrived"]])
        (pathlib.Path(schema) / FILE).write_text(schema_text(found))


def read_schema(folder):
    """The `schema_pb2.Schema` in a Schema artifact."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    return text_format.Parse((pathlib.Path(folder) / FILE).read_text(), schema_pb2.Schema())


def schema_text(schema):
    """A schema as `write_schema_text` of TensorFlow Data Validation writes it."""
    from google.protobuf import text_format

    return text_format.MessageToString(schema)


def _made(plan, statistics):
    """The schema of the first task, without classes."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema, shape = schema_pb2.Schema(), plan["input_shape"]
    schema.dataset_constraints.min_examples_count = 1
    as_bytes = any(feature.name == "image_value" for feature in statistics["train"].features)
    image = _required(schema, "image", schema_pb2.BYTES if as_bytes else schema_pb2.FLOAT)
    values = image
    if as_bytes:
        image.shape.SetInParent()  # one string a row
        values = schema.feature.add(name="image_value", lifecycle_stage=schema_pb2.VALIDATION_DERIVED)
        values.validation_derived_source.deriver_name = DERIVER
        values.validation_derived_source.source_path.add(step=["image"])
    values.shape.dim.extend(schema_pb2.FixedShape.Dim(size=size) for size in shape)
    _set_range(values, plan, statistics)
    axes = _required(schema, "shape", schema_pb2.INT)
    axes.shape.dim.add(size=len(shape))
    axes.int_domain.min, axes.int_domain.max = min(shape), max(shape)
    _required(schema, "label", schema_pb2.INT).shape.SetInParent()
    set_comparators(schema, read_thresholds(""), labels_return(plan))
    return schema


def _required(schema, name, kind):
    """A new feature that every row must have."""
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
    return feature


def _set_range(feature, plan, statistics):
    """Sets the type and range of values: those of bytes, [0, 1], or what there is and some more."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    if plan["dtype"] == "uint8":
        feature.type = schema_pb2.INT
        feature.int_domain.min, feature.int_domain.max = 0, round(1 / plan["scale"])
        return
    feature.type = schema_pb2.FLOAT
    domain = feature.float_domain
    domain.disallow_nan = domain.disallow_inf = True
    edges = [
        edge
        for data in statistics.values()
        for found in data.features
        if found.name == feature.name
        for histogram in found.num_stats.histograms
        for bucket in histogram.buckets
        for edge in (bucket.low_value, bucket.high_value)
        if math.isfinite(edge)
    ]
    low, high = min(edges, default=0), max(edges, default=1)
    slack = 0 if 0 <= low <= high <= 1 else (high - low) / 2
    domain.min, domain.max = (low - slack, high + slack) if slack else (0, 1)


def _add_classes(schema, task_classes):
    """Adds the classes of tasks to the schema."""
    labels = sorted({label for classes in task_classes for label in classes})
    domain = schema.string_domain[0] if schema.string_domain else schema.string_domain.add(name=CLASSES)
    known = sorted({*map(int, domain.value), *labels})
    domain.value[:] = map(str, known)
    label = feature_of(schema, "label").int_domain
    label.min, label.max, label.is_categorical = known[0], known[-1], True
