"""Skew between train and test, and drift from one task to the next, by distances with thresholds."""

import math

from pipelines.validation.distances import jensen_shannon, l_infinity
from pipelines.validation.findings import Distance, Found, labels_of, values_of_data
from pipelines.validation.thresholds import severity_of


def distances(arrival):
    """The `Distance`s between train and test, and between train and train of the task before."""
    measured = (*_skew(arrival), *_drift(arrival))
    return [distance for distance in measured if math.isfinite(distance.threshold)]


def stretched(arrival):
    """Values in another range than those of the task before, as bytes that were divided by 255."""
    if not arrival.before:
        return
    own, before = (values_of_data(data["train"]) for data in (arrival.splits, arrival.before))
    if own.name != before.name:
        return  # another type of images, which is an anomaly already
    name, limit = own.name, arrival.thresholds["value_range"]
    own, before = _range(own), _range(before)
    if own and before and max(own, before) > limit * min(own, before):
        yield Found(
            name,
            "CUSTOM_VALIDATION",
            "Threshold value_range",
            f"the values of train have a range of {own:g} and those of the task before one of {before:g}, "
            f"above the threshold value_range of a factor of {limit:g}",
            severity_of("value_range"),
        )


def _range(values):
    """The largest finite value minus the smallest; None if all are equal or there are none."""
    edges = [
        edge
        for histogram in values.num_stats.histograms
        for bucket in histogram.buckets
        if histogram.type == histogram.QUANTILES
        for edge in (bucket.low_value, bucket.high_value)
    ]
    return (max(edges) - min(edges) or None) if edges else None


def _skew(arrival):
    train, test = arrival.splits["train"], arrival.splits["test"]
    yield from _label_distance("skew", labels_of(train), labels_of(test), arrival.thresholds)
    yield from _value_distance("skew", train, test, arrival.thresholds)


def _drift(arrival):
    if not arrival.before:
        return
    train, before = arrival.splits["train"], arrival.before["train"]
    if arrival.plan["scenario"] == "domain":
        own, others = (arrival.plan["task_classes"][arrival.plan["arrived"] - k] for k in (1, 2))
        counts, earlier = labels_of(train), labels_of(before)
        yield from _label_distance(
            "drift",
            {place: counts.get(label, 0) for place, label in enumerate(own)},
            {place: earlier.get(label, 0) for place, label in enumerate(others)},
            arrival.thresholds,
        )
    yield from _value_distance("drift", train, before, arrival.thresholds)


def _label_distance(kind, first, second, thresholds):
    if sum(first.values()) and sum(second.values()):
        distance, most = l_infinity(first, second)
        yield Distance("label", kind, "L_INFTY", distance, thresholds[f"label_{kind}"], str(most))


def _value_distance(kind, first, second, thresholds):
    first, second = values_of_data(first), values_of_data(second)
    if first.name == second.name and first.num_stats.histograms and second.num_stats.histograms:
        divergence = jensen_shannon(first.num_stats.histograms[0], second.num_stats.histograms[0])
        limit = thresholds[f"value_{kind}"]
        yield Distance(first.name, kind, "JENSEN_SHANNON_DIVERGENCE", divergence, limit)


def too_far(measured):
    """The anomalies of the `Distance`s above their thresholds."""
    return [_anomaly(distance) for distance in measured if distance.value > distance.threshold]


def _anomaly(distance):
    """The anomaly of a `Distance` above its threshold."""
    other = {"skew": "test", "drift": "the task before"}[distance.kind]
    labels = distance.type == "L_INFTY"
    name = f"{'label' if labels else 'value'}_{distance.kind}"
    measure = "L-infinity distance" if labels else "approximate Jensen-Shannon divergence"
    where = "" if not labels else f" (most at {_place(distance)})"
    return Found(
        distance.feature,
        "COMPARATOR_L_INFTY_HIGH" if labels else "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
        f"High {measure} between train and {other}",
        f"the {measure} between train and {other} is {distance.value:.3g}{where}, above the threshold {name} "
        f"of {distance.threshold:g}",
        severity_of(name),
    )


def _place(distance):
    return f"label {distance.most}" if distance.kind == "skew" else f"output {distance.most}"
