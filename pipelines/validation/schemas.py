"""Parts of a schema of TensorFlow Metadata: its features, and thresholds of skew and drift."""


def feature_of(schema, name):
    """The feature of this name; None if there is none."""
    return next((feature for feature in schema.feature if feature.name == name), None)


def values_of(schema):
    """The feature that describes the values of images."""
    return feature_of(schema, "image_value") or feature_of(schema, "image")


def set_comparators(schema, thresholds, label_drift):
    """Sets the thresholds of skew and drift that TensorFlow Data Validation applies.

    Args:
      schema: `schema_pb2.Schema`.
      thresholds: what `read_thresholds` returns; infinite ones are left out.
      label_drift: whether labels of one task can be compared with those of the task before.
    """
    values, label = values_of(schema), feature_of(schema, "label")
    measures = [
        (values.skew_comparator.jensen_shannon_divergence, "value_skew"),
        (values.drift_comparator.jensen_shannon_divergence, "value_drift"),
        (label.skew_comparator.infinity_norm, "label_skew"),
    ]
    if label_drift:
        measures.append((label.drift_comparator.infinity_norm, "label_drift"))
    for measure, name in measures:
        measure.Clear()
        if thresholds[name] != float("inf"):
            measure.threshold = thresholds[name]


def labels_return(plan):
    """Whether all tasks have the same outputs and labels, which can then be compared as they are."""
    return plan["scenario"] == "domain" and all(
        sorted(classes) == sorted(plan["task_classes"][0]) for classes in plan["task_classes"]
    )
