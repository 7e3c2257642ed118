"""What ExampleValidator compares, and what it finds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Found:
    """One anomaly.

    Attributes:
      feature: name of the feature; "" for the data set as a whole.
      type: name of a value of `anomalies_pb2.AnomalyInfo.Type`.
      short: title.
      description: what was found, with the threshold.
      severity: ERROR or WARNING.
    """

    feature: str
    type: str
    short: str
    description: str
    severity: str = "ERROR"


@dataclasses.dataclass(frozen=True)
class Distance:
    """A measured distance of two distributions.

    Attributes:
      feature: name of the feature.
      kind: "skew" (train and test) or "drift" (train and the train of the task before).
      type: name of a value of `anomalies_pb2.DriftSkewInfo.Measurement.Type`.
      value: the distance.
      threshold: largest distance that is no anomaly.
      most: the value that differs most; "" if the distance has none.
    """

    feature: str
    kind: str
    type: str
    value: float
    threshold: float
    most: str = ""


@dataclasses.dataclass(frozen=True)
class Arrival:
    """A task that has arrived, and what it is compared with.

    Attributes:
      splits: `{split: DatasetFeatureStatistics}`.
      before: the same of the task before; {} for the first.
      schema: `schema_pb2.Schema`.
      plan: the dict in plan.json.
      thresholds: `{name: number}`.
    """

    splits: dict
    before: dict
    schema: object
    plan: dict
    thresholds: dict

    @property
    def full(self):
        """The splits that have rows."""
        return {name: data for name, data in self.splits.items() if data.num_examples}

    @property
    def classes(self):
        """Planned classes of the task, in their order."""
        return self.plan["task_classes"][self.plan["arrived"] - 1]

    def shown(self, split):
        """Planned classes of the rows of a split: those that are learned from may be of more classes."""
        own = self.plan.get("train_classes") if split != "test" else ()
        return own[self.plan["arrived"] - 1] if own else self.classes


def feature_of_data(data, name):
    """The statistics of a feature in `DatasetFeatureStatistics`."""
    return next(feature for feature in data.features if feature.name == name)


def values_of_data(data):
    """The statistics of the values of images."""
    return next(feature for feature in data.features[::-1] if feature.name in ("image_value", "image"))


def labels_of(data):
    """`{label: number of rows}`."""
    buckets = feature_of_data(data, "label").string_stats.rank_histogram.buckets
    return {int(bucket.label): int(bucket.sample_count) for bucket in buckets}


def common_of(feature):
    return getattr(feature, feature.WhichOneof("stats")).common_stats
