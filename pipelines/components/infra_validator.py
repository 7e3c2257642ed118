"""InfraValidator: the exported model is loaded by a server of its own and answers there as it does here."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.runs.files import as_json
from pipelines.artifacts import produced

ROWS = 16  # test images that are asked about
SECONDS = 180  # in which the server has to come up with the model
NAME = "model"
CLOSE = 1e-5  # of the largest value: a server may compute the rows in a batch of another size


def infra_validator(model, examples, infra_blessing, code):
    """Serves the newest model in a process of its own, and asks it about images of its task.

    Args:
      model: folder of a Model.
      examples: folder of the Examples.
      infra_blessing: folder to write `infra_blessing.json` to: blessed, task, reasons.
      code: digest of the code.

    Raises:
      InputError: if an input is unfinished or was edited.
    """
    inputs = {"model": model, "examples": examples}
    with produced("InfraValidator", {"infra_blessing": infra_blessing}, inputs, code=code):
        from keras_cl.runs import saved_model

        versions = saved_model.versions(pathlib.Path(model, "saved_models"))
        require(versions, f"{model} holds no exported model.")
        version = versions[-1]
        reasons = reasons_against(version, _images(examples, int(version.name)))
        content = {"blessed": not reasons, "task": int(version.name), "reasons": reasons}
        pathlib.Path(infra_blessing, "infra_blessing.json").write_text(as_json(content))


def reasons_against(version, images):
    """Sentences about why a SavedModel cannot be served; none if a server answers as the model itself does.

    Args:
      version: folder of the SavedModel, its number.
      images: raw images `[n, ...]` of its task.
    """
    import tensorflow as tf

    from keras_cl.serve.client import Endpoint

    try:
        with served(version) as urls:
            with tf.device("cpu"):  # as the server, which cannot share a GPU with this process
                expected = _expected(version, images)
            endpoints = [Endpoint(url) for url in urls]
            return [reason for one in endpoints for reason in _differences(one, int(version.name), expected)]
    except InputError as error:
        return [str(error)]


@contextlib.contextmanager
def served(version):
    """Yields the URLs, REST and gRPC, of a server of one SavedModel; it ends with the block or this process.

    Raises:
      InputError: if the server ends, or does not come up in time with the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        models, log = pathlib.Path(folder, "models"), pathlib.Path(folder, "log")
        models.mkdir()
        (models / version.name).symlink_to(version.resolve(), target_is_directory=True)
        with open(log, "wb") as written:
            process = _server(models, written)
        try:
            yield _ready(process, log, int(version.name))
        finally:
            process.kill()
            process.communicate()


def _server(models, log):
    root = pathlib.Path(__file__).resolve().parents[2]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "pipelines.guarded", "keras_cl.serve"]
    command += [f"--saved_model={models}"]
    return subprocess.Popen(
        [*command, f"--model_name={NAME}", "--host=127.0.0.1", "--port=0", "--grpc_port=0", "--device=cpu"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def _ready(process, log, number):
    """The URLs of a server, as soon as the version `number` can be asked."""
    from keras_cl.serve.client import Endpoint, EndpointError

    deadline, states = time.monotonic() + SECONDS, {}
    while time.monotonic() < deadline:
        said = log.read_text(errors="replace")
        require(process.poll() is None, f"The server ended with {process.returncode}: {_last(said)}")
        rest = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        grpc = re.search(r"grpc://127\.0\.0\.1:(\d+)", said)
        if rest and grpc:
            urls = f"{rest[0]}/v1/models/{NAME}", f"{grpc[0]}/{NAME}"
            with contextlib.suppress(EndpointError):
                states = Endpoint(urls[0]).statuses()
            if states.get(number) == "AVAILABLE":
                return urls
            require(states.get(number) != "END", f"The server refused the model: {_last(said)}")
        time.sleep(0.05)
    raise InputError(f"The server did not come up with the model within {SECONDS} s: {_last(said)}")


def _last(said):
    lines = said.strip().splitlines() or ["it said nothing."]
    return next((line for line in lines if line.startswith("Error: ")), lines[-1])


def _images(examples, number):
    """Raw images `[n, ...]` from all over the test rows of a task."""
    from pipelines.examples.recorded import stream_of

    x, _ = stream_of(examples)[number - 1].test.open()
    return x[np.linspace(0, len(x) - 1, min(ROWS, len(x)), dtype=int)]


def _expected(version, images):
    """`{signature: (inputs, outputs)}`: the answers of a SavedModel in this process."""
    import tensorflow as tf

    try:
        signatures = tf.saved_model.load(str(version)).signatures
    except Exception as error:  # damaged files raise many kinds of errors
        reason = str(error).partition("\n")[0]
        raise InputError(f"The model {version.name} cannot be loaded: {reason}") from error
    given = {"images": images, "task": np.full(len(images), int(version.name) - 1)}
    found = {}
    for name, signature in signatures.items():
        specs = signature.structured_input_signature[1]
        if "images" in specs:
            inputs = {key: given[key].astype(spec.dtype.as_numpy_dtype) for key, spec in specs.items()}
            answer = signature(**{key: tf.constant(array) for key, array in inputs.items()})
            found[name] = inputs, {key: tensor.numpy() for key, tensor in answer.items()}
    require(found, f"The model {version.name} has no signature of images.")
    return found


def _differences(endpoint, number, expected):
    """Sentences about the answers of a server that are not those expected."""
    reasons = []
    for name, (inputs, outputs) in expected.items():
        where = f"The signature {name} at {endpoint.url.partition(':')[0]}"
        try:
            answer = endpoint.predict(inputs, number, name)
        except InputError as error:
            reasons.append(f"{where} does not answer: {error}")
            continue
        reasons += [f"{where} {fault}" for fault in _faults(answer, outputs)]
    return reasons


def _faults(answer, outputs):
    faults = []
    if answer.keys() != outputs.keys():
        faults.append(f"answers {', '.join(sorted(answer))} instead of {', '.join(sorted(outputs))}.")
    for key in sorted(answer.keys() & outputs.keys()):
        said, right = answer[key], outputs[key]
        if said.shape != right.shape:
            faults.append(f"answers {key} of shape {list(said.shape)} instead of {list(right.shape)}.")
        elif key == "probabilities" and not np.isfinite(said).all():
            faults.append(f"answers {key} that are not finite.")
        elif rows := _differing(said, right):
            faults.append(f"answers other {key} than the model itself in {rows} of {len(right)} rows.")
    return faults


def _differing(said, right):
    """Number of rows that differ; NaN equals NaN."""
    largest = np.abs(right[np.isfinite(right)]).max(initial=1)
    tolerance = CLOSE * largest if right.dtype.kind == "f" else 0
    close = np.isclose(said, right, rtol=0, atol=tolerance, equal_nan=True)
    return int((~close.reshape(len(right), -1).all(axis=1)).sum())
