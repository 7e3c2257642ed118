"""Thresholds of ExampleValidator: what each limits, its unit and its default."""

import dataclasses
import json
import math

from keras_cl.errors import InputError, pick, require


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What is found above the threshold is an anomaly.

    Attributes:
      name: name in the JSON text of thresholds.
      default: the threshold where none is given.
      unit: what the numbers count.
      meaning: what is measured.
    """

    name: str
    default: float
    unit: str
    meaning: str


SHARE, DIVERGENCE, DISTANCE = (
    "share of the rows of a split",
    "Jensen-Shannon divergence",
    "L-infinity distance",
)
THRESHOLDS = (
    Threshold("missing", 0.0, SHARE, "rows without an image, a shape or a label"),
    Threshold("not_finite", 0.0, SHARE, "images with NaN or infinite values"),
    Threshold("constant", 0.01, SHARE, "images that have one value only"),
    Threshold("duplicates", 0.05, SHARE, "images that are in an earlier row of the split"),
    Threshold(
        "leaked", 0.05, SHARE, "images of valid that are in train, and of test that are in train or valid"
    ),
    Threshold("in_earlier_tasks", 0.05, SHARE, "images that are in an earlier task"),
    Threshold("conflicting_labels", 0.01, SHARE, "images that have another label elsewhere in the task"),
    Threshold("imbalance", 10.0, "ratio", "rows of the largest to those of the smallest class in train"),
    Threshold("label_skew", 0.15, DISTANCE, "labels of train and test"),
    Threshold(
        "label_drift", 0.15, DISTANCE, "outputs in train and in the task before; only if domain-incremental"
    ),
    Threshold("value_skew", 0.05, DIVERGENCE, "values of images in train and test"),
    Threshold("value_drift", 0.2, DIVERGENCE, "values of images in train and in the task before"),
    Threshold("value_range", 4.0, "ratio", "range of the values of images in train and in the task before"),
)
# What streams of the library show by design is not checked for them, unless a threshold is given.
BY_DESIGN = {
    "blurry": ("label_skew",),
    "corrupted": ("value_drift", "value_range"),
    "imbalanced": ("imbalance", "label_skew"),
    "repeating": ("in_earlier_tasks", "label_skew"),
}
WARNINGS = ("imbalance",)  # a task goes on with these; the others stop it
NAMES = tuple(threshold.name for threshold in THRESHOLDS)


def usual_of(stream):
    """`{name: None}` of the thresholds that do not apply to a stream of the library, by its name."""
    return dict.fromkeys(BY_DESIGN.get(stream, ()))


def text_of(line):
    """The thresholds that a `Line` gives and those that do not apply to its stream, for `read_thresholds`."""
    usual = {} if line.classes else usual_of(line.config.stream)
    return json.dumps({**usual, **json.loads(line.thresholds_of("ExampleValidator"))}, sort_keys=True)


def read_thresholds(text):
    """`{name: number}` of all thresholds, from a JSON text of those that are not the defaults.

    Args:
      text: for example {"duplicates": 0.1, "imbalance": null}, where null switches a check off; "" for the
        defaults.

    Raises:
      InputError: for a text that is no JSON object, an unknown name, or a number below 0.
    """
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"The thresholds of ExampleValidator are no JSON: {error}.") from None
    require(isinstance(given, dict), f"The thresholds of ExampleValidator are {given!r}; give a JSON object.")
    for name, number in given.items():
        pick("The threshold of ExampleValidator", name, NAMES)
        plain = isinstance(number, int | float) and not isinstance(number, bool)
        usable = number is None or (plain and math.isfinite(number) and number >= 0)
        require(
            usable,
            f"The threshold {name} is {number!r}; it must be a number of at least 0, or null.",
        )
    return {
        threshold.name: math.inf if number is None else float(number)
        for threshold in THRESHOLDS
        for number in [given.get(threshold.name, threshold.default)]
    }


def severity_of(name):
    """What is found above the threshold `name`: ERROR, which stops the task, or WARNING."""
    return "WARNING" if name in WARNINGS else "ERROR"
