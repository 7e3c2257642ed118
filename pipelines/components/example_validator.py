"""ExampleValidator: compares a task's statistics with the schema, its own splits and the task before.

It writes `<anomalies>/anomalies.pbtxt`, as TensorFlow Data Validation names what it finds. An anomaly of
severity ERROR stops the task. The thresholds are in `pipelines/validation/thresholds.py`.
"""

import pathlib

from keras_cl.errors import InputError
from keras_cl.runs.files import read_json, replace
from pipelines.artifacts import produced
from pipelines.components.schema_gen import read_schema
from pipelines.components.statistics_gen import read_statistics
from pipelines.examples.plan import PLAN
from pipelines.validation import checks, comparisons
from pipelines.validation.findings import Arrival
from pipelines.validation.schemas import labels_return, set_comparators
from pipelines.validation.thresholds import read_thresholds

FILE = "anomalies.pbtxt"


def example_validator(statistics: str, schema: str, thresholds: str, anomalies: str, code: str):
    """Writes the anomalies of the last task that has arrived.

    Args:
      statistics: Statistics artifact.
      schema: Schema artifact.
      thresholds: JSON of thresholds that are not the defaults, see `read_thresholds`.
      anomalies: folder to write.
      code: digest of the code.

    Raises:
      InputError: names the first anomaly of severity ERROR, and the file; also if an input is unfinished or
        was edited, or a threshold is unusable.
    """
    limits = read_thresholds(thresholds)
    inputs = {"statistics": statistics, "schema": schema}
    given = {name: None if limit == float("inf") else limit for name, limit in limits.items()}
    with produced("ExampleValidator", {"anomalies": anomalies}, inputs, code=code, thresholds=given):
        from google.protobuf import text_format

        arrival = _arrival(statistics, schema, limits)
        found, measured = _found(arrival)
        file = pathlib.Path(anomalies) / FILE
        replace(file, text_format.MessageToString(_anomalies(arrival, found, measured)))
        _stop(arrival.plan["arrived"], found, file)


def read_anomalies(folder):
    """The `anomalies_pb2.Anomalies` in an Anomalies artifact."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return text_format.Parse((pathlib.Path(folder) / FILE).read_text(), anomalies_pb2.Anomalies())


def _arrival(statistics, schema, limits):
    plan = read_json(pathlib.Path(statistics) / PLAN)
    number, found = plan["arrived"], read_schema(schema)
    set_comparators(found, limits, labels_return(plan))
    before = read_statistics(statistics, number - 1) if number > 1 else {}
    return Arrival(read_statistics(statistics, number), before, found, plan, limits)


def _found(arrival):
    """All anomalies, and the distances that were measured."""
    measured = comparisons.distances(arrival)
    found = [anomaly for check in (*checks.CHECKS, comparisons.stretched) for anomaly in check(arrival)]
    return found + comparisons.too_far(measured), measured


def _anomalies(arrival, found, measured):
    """The `anomalies_pb2.Anomalies` of what was found."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    result = anomalies_pb2.Anomalies(
        baseline=arrival.schema,
        anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH,
        data_missing=not arrival.full,
    )
    for feature in dict.fromkeys(anomaly.feature for anomaly in found):
        own = [anomaly for anomaly in found if anomaly.feature == feature]
        info = result.anomaly_info[feature] if feature else result.dataset_anomaly_info
        if feature:
            info.path.step.append(feature)
        _fill(info, own)
    infos = {}
    for distance in measured:
        if distance.feature not in infos:
            infos[distance.feature] = result.drift_skew_info.add()
            infos[distance.feature].path.step.append(distance.feature)
        measurements = getattr(infos[distance.feature], f"{distance.kind}_measurements")
        kind = anomalies_pb2.DriftSkewInfo.Measurement.Type.Value(distance.type)
        measurements.add(type=kind, value=distance.value, threshold=distance.threshold)
    return result


def _fill(info, anomalies):
    """Sets an `AnomalyInfo` to some anomalies of one feature."""
    info.severity = max(info.Severity.Value(anomaly.severity) for anomaly in anomalies)
    info.short_description = anomalies[0].short if len(anomalies) == 1 else "Multiple errors"
    info.description = " ".join(f"{_sentence(anomaly.description)}." for anomaly in anomalies)
    for anomaly in anomalies:
        info.reason.add(
            type=info.Type.Value(anomaly.type),
            short_description=anomaly.short,
            description=f"{_sentence(anomaly.description)}.",
        )


def _stop(number, found, file):
    """Raises `InputError` if there is an anomaly of severity ERROR."""
    errors = [anomaly for anomaly in found if anomaly.severity == "ERROR"]
    if errors:
        first, others = errors[0], len(errors) - 1
        feature = f", feature {first.feature}" if first.feature else ""
        more = f"{others} more {'anomaly is' if others == 1 else 'anomalies are'} in" if others else "see"
        raise InputError(f"Task {number}{feature}: {first.description}; {more} {file}.")


def _sentence(text):
    return text[0].upper() + text[1:]
