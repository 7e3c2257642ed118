"""What ExampleValidator checks; every check yields the anomalies that it finds in a task's statistics."""

import math

from pipelines.validation.findings import Found, common_of, feature_of_data, labels_of, values_of_data
from pipelines.validation.schemas import feature_of, values_of
from pipelines.validation.thresholds import severity_of

REQUIRED = ("image", "shape", "label")
LEARNED = {"valid": "train", "test": "train or valid"}  # what a split must have no image of
SHARES = {  # of a split's images: type of the anomaly, and what is found
    "not_finite": ("FLOAT_TYPE_HAS_NAN", "have NaN or infinite values"),
    "constant": ("CUSTOM_VALIDATION", "have one value only"),
    "duplicates": ("CUSTOM_VALIDATION", "are in an earlier row"),
    "leaked": ("CUSTOM_VALIDATION", "are in {} too"),
    "in_earlier_tasks": ("CUSTOM_VALIDATION", "are in an earlier task"),
    "conflicting_labels": ("CUSTOM_VALIDATION", "have another label elsewhere in the task"),
}


def _empty(arrival):
    for split in ("train", "test"):
        if not arrival.splits[split].num_examples:
            yield Found("", "DATASET_LOW_NUM_EXAMPLES", "Empty split", f"{split} has no rows")


def _types(arrival):
    """Features of a type, or with a number of values in a row, that the schema does not say."""
    for split, data in arrival.full.items():
        for recorded in data.features:
            expected, common = feature_of(arrival.schema, recorded.name), common_of(recorded)
            if not expected or not common.num_non_missing:
                continue  # a new feature comes with another type of images; a missing one is found elsewhere
            given, wanted = _types_of(recorded, expected)
            if given != wanted:
                yield Found(
                    recorded.name,
                    "UNEXPECTED_DATA_TYPE",
                    "Unexpected data type",
                    f"{split} has values of type {given}, and the schema says {wanted}",
                )
            elif common.max_num_values > 1 and not expected.shape.dim:
                yield Found(
                    recorded.name,
                    "FEATURE_TYPE_HIGH_NUMBER_VALUES",
                    "Several values in a row",
                    f"{split} has rows with {common.max_num_values} values, and the schema says 1",
                )


def _types_of(recorded, expected):
    """The names of the recorded type and of the expected one, as schemas name types."""
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    types = statistics_pb2.FeatureNameStatistics
    given = "BYTES" if recorded.type == types.STRING else types.Type.Name(recorded.type)
    return given, schema_pb2.FeatureType.Name(expected.type)


def _missing(arrival):
    limit = arrival.thresholds["missing"]
    for split, data in arrival.full.items():
        for name in REQUIRED:
            common = common_of(feature_of_data(data, name))
            share = common.num_missing / data.num_examples
            if share > limit:
                some = common.num_non_missing > 0
                yield Found(
                    name,
                    "FEATURE_TYPE_LOW_FRACTION_PRESENT" if some else "SCHEMA_MISSING_COLUMN",
                    "Feature is missing in some rows" if some else "Feature is missing",
                    f"{common.num_missing} of {data.num_examples} rows of {split} ({share:.3g}) have no "
                    f"{name}, above the threshold missing of {limit:g}",
                )


def _shapes(arrival):
    expected = [dim.size for dim in values_of(arrival.schema).shape.dim]
    shape, size = "x".join(map(str, expected)), math.prod(expected)
    for split, data in arrival.full.items():
        (histogram,) = [
            custom.rank_histogram
            for custom in feature_of_data(data, "shape").custom_stats
            if custom.name == "shapes"
        ]
        others = {b.label: int(b.sample_count) for b in histogram.buckets if b.label != shape}
        if others:
            yield Found(
                "shape",
                "INVALID_FEATURE_SHAPE",
                "Unexpected shape",
                f"{sum(others.values())} of {data.num_examples} images of {split} have the shape "
                f"{_listed(others)}, and the schema says {shape}",
            )
        common = common_of(values_of_data(data))
        if common.num_non_missing and (common.min_num_values, common.max_num_values) != (size, size):
            yield Found(
                "image",
                "INVALID_FEATURE_SHAPE",
                "Unexpected number of values",
                f"images of {split} have {common.min_num_values} to {common.max_num_values} values, and the "
                f"schema says {size}",
            )


def _ranges(arrival):
    expected = values_of(arrival.schema)
    kind = "int" if expected.HasField("int_domain") else "float"
    domain = getattr(expected, f"{kind}_domain")
    for split, data in arrival.full.items():
        recorded = values_of_data(data)
        if recorded.name != expected.name or not common_of(recorded).num_non_missing:
            continue
        low, high = recorded.num_stats.min, recorded.num_stats.max
        for size, value, beyond in (("SMALL", low, low < domain.min), ("BIG", high, high > domain.max)):
            if beyond and math.isfinite(value):
                yield Found(
                    expected.name,
                    f"{kind.upper()}_TYPE_{size}_{kind.upper()}",
                    "Out-of-range values",
                    f"values of {split} reach {value:g}, and the schema says {domain.min:g} to "
                    f"{domain.max:g}",
                )


def _shares(arrival):
    """Shares of images with something that there may be little of; little of it is a warning."""
    for split, data in arrival.full.items():
        numbers = {custom.name: int(custom.num) for custom in feature_of_data(data, "image").custom_stats}
        for name, (kind, words) in SHARES.items():
            share, limit = numbers[name] / data.num_examples, arrival.thresholds[name]
            if not share or math.isinf(limit):
                continue
            if name == "not_finite" and not values_of_data(data).num_stats.histograms[0].num_nan:
                kind = "FLOAT_TYPE_HAS_INF"
            above = share > limit
            yield Found(
                "image",
                kind,
                f"Threshold {name}" if above else f"Within threshold {name}",
                f"{numbers[name]} of {data.num_examples} images of {split} ({share:.3g}) "
                f"{words.format(LEARNED.get(split))}, "
                f"{'above' if above else 'within'} the threshold {name} of {limit:g}",
                severity_of(name) if above else "WARNING",
            )


def _labels(arrival):
    """Classes that the plan does not give to the task, and planned ones that have no rows."""
    tasks = arrival.plan["task_classes"]
    for split, data in arrival.full.items():
        counts, shown = labels_of(data), arrival.shown(split)
        strange = {label: count for label, count in counts.items() if label not in shown}
        if strange:
            homes = [number for number, classes in enumerate(tasks, 1) if {*strange} & {*classes}]
            yield Found(
                "label",
                "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
                "Unexpected classes",
                f"{sum(strange.values())} of {data.num_examples} rows of {split} have the label "
                f"{_listed(strange)}, which the plan gives to {_tasks(homes)}; the classes of this task are "
                f"{_listed(shown)}",
            )
        absent = [label for label in arrival.classes if not counts.get(label)]
        if absent and split != "valid":  # which has few rows of a class, or none
            yield Found(
                "label",
                "FEATURE_TYPE_LOW_UNIQUE",
                "Missing classes",
                f"{split} has no rows of the class {_listed(absent)}",
                "ERROR" if split == "train" else "WARNING",
            )


def _imbalance(arrival):
    counts = [
        count for label, count in labels_of(arrival.splits["train"]).items() if label in arrival.classes
    ]
    ratio, limit = max(counts, default=1) / min(counts, default=1), arrival.thresholds["imbalance"]
    if ratio > limit:
        yield Found(
            "label",
            "CUSTOM_VALIDATION",
            "Threshold imbalance",
            f"the largest class of train has {max(counts)} rows and the smallest {min(counts)}, a ratio of "
            f"{ratio:.3g}, above the threshold imbalance of {limit:g}",
            severity_of("imbalance"),
        )


def _tasks(numbers):
    return f"task {_listed(numbers)}" if numbers else "no task"


def _listed(values):
    shown = ", ".join(map(str, list(values)[:5]))
    return f"{shown}, ..." if len(values) > 5 else shown


CHECKS = (_empty, _types, _missing, _shapes, _ranges, _shares, _labels, _imbalance)
