"""A history as OpenLineage events: a START and a COMPLETE for each run of a component, and its data sets.

Artifacts are data sets, named by their paths as OpenLineage names files, with the digest of their content as
version. The id of a run comes from what it did, so the same run has the same events however often they are
written, and a lineage server takes them any number of times.
"""

import json
import pathlib
import re
import uuid

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_type_dataset,
    dataset_version_dataset,
    execution_parameters_run,
    job_type_job,
    processing_engine_run,
)
from openlineage.client.serde import Serde

import keras_cl
from pipelines.lineage.history import settings_of
from pipelines.lineage.tree import raw_data

PRODUCER = f"pkg:pypi/keras-cl@{keras_cl.__version__}"  # a package URL
NAMESPACE = "keras_cl"  # of the jobs
KINDS = {"model": "MODEL", "served": "MODEL"}  # of artifacts that are no plain files


def as_lines(history):
    """The text of a file of events, one a line, in the order of time."""
    found = sorted(events_of(history), key=lambda event: (event.eventTime, event.eventType.value != "START"))
    return "".join(f"{Serde.to_json(event)}\n" for event in found)


def events_of(history):
    """OpenLineage `RunEvent`s of a `History`: two for each run of a component."""
    runs = {}
    for record in history.records.values():
        runs.setdefault(run_id(record), []).append(record)
    return [event for key, records in runs.items() for event in _run(key, records)]


def run_id(record):
    """The UUID of the run of a component that made an artifact; the same for all artifacts that it made."""
    did = {name: record[name] for name in ("component", "settings", "code")}
    did["inputs"] = {name: one["id"] for name, one in record["inputs"].items()}
    return str(
        uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER.partition('@')[0]}:{json.dumps(did, sort_keys=True)}")
    )


def _run(key, records):
    """The two events of a run of a component, from the records of what it made."""
    first = records[0]
    inputs = [_dataset(InputDataset, one["path"], one["digest"]) for one in first["inputs"].values()]
    inputs += [_raw(first)] if raw_data(first) else []
    outputs = [
        _dataset(OutputDataset, one["path"], one["digest"], KINDS.get(one["artifact"], "FILE"))
        for one in records
    ]
    what = {"run": Run(key, facets=_run_facets(first)), "job": _job(first["component"]), "producer": PRODUCER}
    began, ended = min(one["began"] for one in records), max(one["time"] for one in records)
    return [
        RunEvent(eventType=RunState.START, eventTime=began, inputs=inputs, outputs=[], **what),
        RunEvent(eventType=RunState.COMPLETE, eventTime=ended, inputs=inputs, outputs=outputs, **what),
    ]


def _job(component):
    kind = job_type_job.JobTypeJobFacet("BATCH", "KERAS_CL", "TASK", producer=PRODUCER)
    return Job(NAMESPACE, component, facets={"jobType": kind})


def _run_facets(record):
    """The settings and the code version of a run, and the version of this library."""
    run, others = settings_of(record)
    told = {**run, **others, "code": record["code"]}
    parameters = [
        execution_parameters_run.ExecutionParameter(
            name, name, None, value if isinstance(value, str) else json.dumps(value)
        )
        for name, value in told.items()
    ]
    return {
        "executionParameters": execution_parameters_run.ExecutionParametersRunFacet(
            parameters, producer=PRODUCER
        ),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            keras_cl.__version__, "keras_cl", producer=PRODUCER
        ),
    }


def _raw(record):
    """The data set that ExampleGen read: what arrived in a folder, or that of the run."""
    run, others = settings_of(record)
    if "folder" in others:
        return _dataset(
            InputDataset, str(pathlib.Path(others["folder"]).absolute()), others.get("folder_sha256", "")
        )
    name = str(run.get("dataset", "unknown"))
    if "/" in name or name.endswith((".npz", ".py")):
        return _dataset(InputDataset, str(pathlib.Path(name).absolute()), str(run.get("dataset_sha256", "")))
    return InputDataset(f"{NAMESPACE}.sources", name)


def _dataset(kind, path, digest, is_a="FILE"):
    """A data set as OpenLineage names it: a file, or in a store that Kubeflow mounts at /gcs or /s3."""
    store = re.fullmatch(r"/(gcs|s3|minio)/([^/]+)/(.+)", path)
    scheme = {"gcs": "gs", "s3": "s3", "minio": "s3"}
    namespace, name = (f"{scheme[store[1]]}://{store[2]}", store[3]) if store else ("file", path)
    facets = {"datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(is_a, producer=PRODUCER)}
    if digest:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(digest, producer=PRODUCER)
    return kind(namespace, name, facets=facets)
