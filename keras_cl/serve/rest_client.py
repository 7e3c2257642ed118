"""Requests to TensorFlow Serving over REST.

Numbers are written as Python writes doubles, with as many digits as it takes to read the same double. A
float32 is a double, so it arrives bit for bit. What is not finite is written as TensorFlow Serving writes it:
NaN, Infinity, -Infinity.
"""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np

from keras_cl.serve.client import EndpointError, is_loopback, shortened
from keras_cl.serve.errors import HTTP

# What a status says; TensorFlow Serving has others that share one.
SAID = ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "UNAVAILABLE", "INTERNAL")
CODES = {HTTP[code]: code for code in SAID}


class Rest:
    """The REST interface of one model.

    Args:
      address: `http://host:port`.
      name: name of the model.
      timeout: seconds to wait for each answer.
    """

    def __init__(self, address, name, timeout):
        self._address, self._timeout = address, timeout
        self._path = f"/v1/models/{urllib.parse.quote(name, safe='')}"
        direct = [urllib.request.ProxyHandler({})] if is_loopback(address) else []
        self._opener = urllib.request.build_opener(*direct)

    def statuses(self):
        """`{version: state}`."""
        found = self._read(self._asked(""), "model_version_status")
        try:
            return {int(status["version"]): str(status["state"]) for status in list(found)}
        except (KeyError, TypeError, ValueError):
            raise self._foreign(f"its model_version_status is {found!r:.60}") from None

    def metadata(self, version):
        """`{name: SignatureDef}`."""
        from google.protobuf import json_format
        from tensorflow.core.protobuf import meta_graph_pb2

        answer = self._asked(f"{_version(version)}/metadata")
        found = self._read(answer, "metadata", "signature_def", "signature_def")
        try:
            return {
                name: json_format.ParseDict(one, meta_graph_pb2.SignatureDef(), ignore_unknown_fields=True)
                for name, one in found.items()
            }
        except (json_format.ParseError, TypeError, AttributeError) as error:
            raise self._foreign(str(error)) from None

    def predict(self, inputs, version, signature, known, outputs):
        """`{name: array}` of all outputs; REST has no way to ask for some of them."""
        arrays = {name: np.asarray(array).tolist() for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": arrays}, default=_base64)
        answer = self._read(self._asked(f"{_version(version)}:predict", body.encode()), "outputs")
        if len(known.outputs) == 1:  # then TensorFlow Serving leaves its name out
            answer = {next(iter(known.outputs)): answer}
        try:
            return {name: _array(answer[name], known.outputs[name].dtype) for name in outputs}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._foreign(f"its outputs are no arrays named {', '.join(outputs)}") from None

    def _asked(self, path, body=None):
        """The JSON that a path answers."""
        url = f"{self._address}{self._path}{path}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise EndpointError(f"No answer from {self._address}: {reason}.", "UNAVAILABLE") from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            raise self._foreign(repr(content[:60])) from None
        if not isinstance(answer, dict):
            raise self._foreign(repr(content[:60]))
        return answer

    def _read(self, answer, *keys):
        for key in keys:
            if not isinstance(answer, dict) or key not in answer:
                raise self._foreign(f"there is no {key} in it")
            answer = answer[key]
        return answer

    def _refused(self, error):
        content = error.read(1 << 16).decode(errors="replace")
        try:
            text = str(json.loads(content)["error"])
        except (ValueError, KeyError, TypeError):
            text = f"{error.reason} {content}"
        code = CODES.get(error.code, f"HTTP {error.code}")
        said = f"{self._address}{self._path} answers {error.code}: {shortened(text)}."
        return EndpointError(said, code, text)

    def _foreign(self, what):
        return EndpointError(f"{self._address} does not answer as TensorFlow Serving does: {what}.")


def _version(version):
    return "" if version is None else f"/versions/{version}"


def _base64(value):
    """Bytes as TensorFlow Serving takes them in JSON."""
    return {"b64": base64.b64encode(value).decode()}


def _array(value, dtype):
    """Array of a type of TensorFlow from what is in JSON; elements of strings are bytes."""
    import tensorflow as tf

    kind = tf.dtypes.as_dtype(dtype)
    return np.array(_bytes(value), object) if kind == tf.string else np.array(value, kind.as_numpy_dtype)


def _bytes(value):
    if isinstance(value, list):
        return [_bytes(part) for part in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()
