"""The accuracy matrix of served models, whose versions are the tasks of a stream."""

import json
import time

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.learning.progress import QUIET
from keras_cl.runs import saved_model
from keras_cl.serve.client import EndpointError

ROWS = 2000  # images per request, as in the evaluation during training
BYTES = 3 << 20  # of the images of a request: servers of gRPC take 4 MB unless told otherwise
WAITS = (0.1, 0.4, 1.6, 6.4)  # seconds before a request that a busy server refused is sent again
ADVICE = "give --saved_model=folder of the same run too, whose task.json says it"


def accuracy_matrix(endpoint, data_dir="", cache_dir="", stream=None, run=None, progress=QUIET):
    """Accuracies of the versions 1 to T of a served model on the test images of their stream.

    Args:
      endpoint: `keras_cl.serve.client.Endpoint`.
      data_dir, cache_dir: folders of the data, as in training.
      stream: the `Stream`, if it is known; models that this library exported describe theirs.
      run: hash of the settings that the models must have, if it is known.
      progress: the `Progress` that shows it.

    Returns:
      float array `[t + 1, T]` like the matrix of training, up to the latest version t; row 0 is NaN: the
      untrained model is not served.

    Raises:
      InputError: if no server answers, versions are missing, or models are of another stream or run.
    """
    states = endpoint.statuses()
    versions = endpoint.versions()
    require(versions, f"{endpoint.url} has no version that can be asked: {_listed(states)}.")
    stream = stream or described_stream(endpoint, max(versions), data_dir, cache_dir)
    learned = min(max(versions), len(stream))  # later tasks may not have arrived
    missing = [str(number) for number in range(1, learned + 1) if number not in versions]
    require(
        not missing,
        f"{endpoint.url} lacks the versions of the tasks {', '.join(missing)} of {len(stream)} ("
        f"{_listed(states)}); TensorFlow Serving serves the latest alone without model_version_policy {{ all "
        f"{{}} }} in its --model_config_file, and a line pushes no model that is not blessed.",
    )
    _require_one_run(endpoint, learned, run)
    R = np.full((learned + 1, len(stream)), np.nan)
    ask = _Asking(endpoint, stream, learned)
    with progress.phase("evaluation", learned * len(stream)) as advance:
        for task in stream:
            x, unit = task.test.open()
            labels = stream.labels[task.index][unit]
            for after in range(1, learned + 1):
                if stream.answering(task.index, after) is not None:
                    R[after, task.index] = np.mean(ask.classes(x, task.index, after) == labels)
                advance()
    return R


def described_stream(endpoint, version, data_dir="", cache_dir=""):
    """The stream that a served model says it was trained on.

    Raises:
      InputError: if it does not say so, or if the stream cannot be made here.
    """
    from keras_cl.settings import catalog
    from keras_cl.settings.build import stream_of

    where = f"{endpoint.url}, version {version},"
    about = description_of(endpoint, version)
    require(about is not None, f"{where} does not say what it has learned; {ADVICE}.")
    settings = about.get("settings")
    require(isinstance(settings, dict), f"The description of {where} is of another program; {ADVICE}.")
    saved_model.require_known_stream(
        settings, where, "keras_cl.serve.evaluation.accuracy_matrix(endpoint, stream=stream)"
    )
    code = [axis for axis in ("stream", "dataset") if catalog.is_external(axis, str(settings.get(axis)))]
    require(
        not code,
        f"{where} was trained on a {' and a '.join(code)} of code outside the library, which is not run on "
        f"the word of a server; {ADVICE}.",
    )
    try:
        return stream_of(settings, data_dir, cache_dir)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"The description of {where} is of another program; {ADVICE}.") from None


def description_of(endpoint, version):
    """The dict in the task.json of a served model; None if it was exported without its description."""
    if "description" not in endpoint.metadata(version):
        return None
    row = {"row": np.zeros(1, np.int32)}
    (text,) = endpoint.predict(row, version, "description")["description"]
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    require(
        isinstance(about, dict), f"The description of {endpoint.url}, version {version}, is no JSON object."
    )
    return about


def _require_one_run(endpoint, tasks, run):
    """Raises `InputError` unless every version is of its task, and all are of one run, that given if any."""
    first = run
    for version in range(1, tasks + 1):
        about = description_of(endpoint, version)
        if about is None:
            continue
        where = f"{endpoint.url}, version {version},"
        task, own = about.get("task"), about.get("settings_hash")
        require(task == version, f"{where} is the model after task {task}: the versions were exchanged.")
        first = first or own
        require(own == first, f"{where} is of another run (settings {own}, not {first}).")


def _listed(states):
    return ", ".join(f"version {v} is {state}" for v, state in states.items()) or "it knows no version"


class _Asking:
    """Requests for the classes of images, of a size that the server takes."""

    def __init__(self, endpoint, stream, versions):
        self._endpoint, self._stream = endpoint, stream
        self._with_task = saved_model.needs_task(stream)
        self._signature = "with_task" if self._with_task else "serving_default"
        self._rows = max(1, min(ROWS, BYTES // (4 * int(np.prod(stream.input_shape)))))
        for version in range(1, versions + 1):
            self._require_signature(version)

    def classes(self, x, index, version):
        """Labels `[n]` that a version gives to images `[n, ...]` of the task with an index."""
        said, start = [], 0
        while start < len(x):
            images = x[start : start + self._rows].astype(np.float32)
            try:
                said.append(self._asked(images, index, version))
            except EndpointError as error:
                if not error.too_large or len(images) == 1:
                    raise
                self._rows = len(images) // 2
                continue
            start += len(images)
        return np.concatenate(said)

    def _asked(self, images, index, version):
        inputs = {"images": images}
        if self._with_task:
            inputs["task"] = np.full(len(images), index, np.int32)
        asked = inputs, version, self._signature, ["class"]
        for wait in WAITS:
            try:
                return self._endpoint.predict(*asked)["class"]
            except EndpointError as error:
                if not error.busy:
                    raise
            time.sleep(wait)
        return self._endpoint.predict(*asked)["class"]

    def _require_signature(self, version):
        """Raises `InputError` unless a version has the signature, for the images and units of the stream."""
        known = self._endpoint.metadata(version).get(self._signature)
        where = f"{self._endpoint.url}, version {version},"
        inputs = {"images", "task"} if self._with_task else {"images"}
        require(
            known is not None and {*known.inputs} == inputs and {"class", "logits"} <= {*known.outputs},
            f"{where} is no model of this program for {self._stream.name}: it has no signature "
            f"{self._signature} from {' and '.join(sorted(inputs))} to class.",
        )
        found = [
            [d.size for d in one.tensor_shape.dim][1:]
            for one in (known.inputs["images"], known.outputs["logits"])
        ]
        wanted = [list(self._stream.input_shape), [self._stream.num_classes]]
        require(
            found == wanted,
            f"{where} is a model of another stream: it takes images {found[0]} and has outputs {found[1]}, "
            f"and {self._stream.name} has {wanted[0]} and {wanted[1]}.",
        )
