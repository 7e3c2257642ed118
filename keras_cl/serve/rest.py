"""TensorFlow Serving's REST interface as a Starlette application (http_rest_api_handler.cc and _util.cc)."""

import asyncio
import concurrent.futures
import dataclasses
import json
import logging
import re
import time
import urllib.parse

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2

from keras_cl.serve import monitoring, page
from keras_cl.serve.admission import Admission
from keras_cl.serve.answers import answer
from keras_cl.serve.bodies import body_of, unpacked, unpacked_size
from keras_cl.serve.errors import ServingError
from keras_cl.serve.examples import check_examples
from keras_cl.serve.json_parser import parse
from keras_cl.serve.json_values import invalid
from keras_cl.serve.json_writer import error_body
from keras_cl.serve.refusals import refuse_classification, refuse_regression
from keras_cl.serve.servable import DEFAULT
from keras_cl.serve.tensors import arrays, signature_name
from keras_cl.serve.version import LARGEST

SERVED = re.compile(rb"/v1/.*", re.IGNORECASE | re.DOTALL)
WHICH = rb"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
PREDICTION = re.compile(
    rb"/v1/models/(?P<name>[^/:]+)" + WHICH + rb":(?P<api>classify|regress|predict)", re.I
)
INQUIRY = re.compile(rb"/v1/models(?:/(?P<name>[^/:]+))?" + WHICH + rb"(?:/(?P<api>metadata))?", re.I)


def application(models, limits, watched=None):
    """The REST interface, the metrics and the page.

    Args:
      models: `Models`.
      limits: `Limits`.
      watched: `Monitoring` of the server; by default one of its own.
    """
    watched = watched or monitoring.Monitoring(models)

    def metrics(request):
        return Response(watched.page(), media_type=monitoring.CONTENT_TYPE)

    app = Starlette(routes=[*page.routes(models), Route(monitoring.PATH, metrics)])
    app.router.redirect_slashes = False
    app.router.default = Api(models, limits, watched)
    return app


@dataclasses.dataclass(frozen=True)
class Target:
    """What a request is for.

    Attributes:
      api: "predict", "classify", "regress", "metadata" or "", for the states of versions.
      name, version, label: of the model; None where not given.
    """

    api: str = ""
    name: str | None = None
    version: int | None = None
    label: str | None = None

    @property
    def which(self):
        """Arguments of `Models.leased` and `Models.statuses`."""
        return self.name, self.version, self.label


class Api:
    """Answers what no route takes, as an ASGI application: all that is below /v1.

    Args:
      models: `Models`.
      limits: `Limits`.
      watched: `Monitoring`.
    """

    def __init__(self, models, limits, watched):
        self._models, self._limits, self._watched = models, limits, watched
        self.admission = Admission(limits)
        # Predictions keep their threads busy; questions about models are answered meanwhile.
        self._predicting = concurrent.futures.ThreadPoolExecutor(limits.max_concurrent, "rest-predict")
        self._inquiring = concurrent.futures.ThreadPoolExecutor(2, "rest-inquire")

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope.get("raw_path") or scope["path"].encode()
        if SERVED.fullmatch(path):
            response = await self._answered(request, path)
        else:
            response = _refused("Not Found", 404)
        await response(scope, receive, send)

    async def _answered(self, request, path):
        began, code, target = time.perf_counter(), "OK", Target()
        try:
            if request.method == "OPTIONS":
                return _preflight(request.headers)
            target = _target(request.method, path, request.scope["query_string"])
            if target.api in ACTIONS:
                body = await self._predicted(request, target)
            else:
                answered = _metadata if target.api == "metadata" else _status
                body = await self._run(self._inquiring, answered, self._models, target)
            response = Response(body, media_type="application/json")
        except ServingError as error:
            code, response = error.code, _refused(error.message, error.http_status)
        except ClientDisconnect:
            code, response = "CANCELLED", _refused("The request was cut off", 499)
        except Exception as error:  # whatever becomes of one request, the others are answered
            logging.getLogger(__name__).exception("A request failed")
            code, response = "INTERNAL", _refused(f"{type(error).__name__}: {error}", 500)
        self._watched.request(target.name, target.api, "REST", code, time.perf_counter() - began)
        return response

    async def _predicted(self, request, target):
        with self.admission.buffer() as hold:
            body = await body_of(request, self._limits, hold)
            size = unpacked_size(body, request.headers, self._limits.max_request_bytes)
            async with self.admission.place(size):
                return await self._run(self._predicting, self._act, request.headers, body, size, target)

    async def _run(self, threads, function, *arguments):
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    def _act(self, headers, body, size, target):
        document = parse(unpacked(body, headers, size, self._limits.max_request_bytes))
        return ACTIONS[target.api](self._models, self._watched, document, target)


def _target(method, path, query):
    """What a request is for, by its method and path, as TensorFlow Serving reads them."""
    path += b"?" + query if query else b""
    pattern = {"GET": INQUIRY, "POST": PREDICTION}.get(method)
    found = pattern and pattern.fullmatch(path)
    api = found and (found["api"] or b"").decode()
    # Paths are read in any case, methods are not.
    if not found or (method == "POST" and api not in ACTIONS):
        raise invalid(f"Malformed request: {method} {path.decode(errors='replace')}")
    version = found["version"] and int(found["version"][:20])
    if version and version > LARGEST:
        raise invalid(f"Failed to convert version: {found['version'].decode()} to numeric.")
    if not found["name"]:
        raise invalid("Missing model name in request.")
    return Target(api, _decoded(found["name"]), version, _decoded(found["label"]))


def _decoded(text):
    return text and urllib.parse.unquote_to_bytes(text).decode(errors="replace")


def _preflight(headers):
    if not re.search(r"https?://", headers.get("origin", "")):
        raise ServingError("FAILED_PRECONDITION", "Origin header is missing in CORS preflight")
    return Response(media_type="application/json")


def _refused(message, status):
    return Response(error_body(message), status, media_type="application/json")


# ---- what is answered ------------------------------------------------------------------------------------


def _predict(models, watched, document, target):
    asked = signature_name(document)
    name = asked or DEFAULT
    with models.leased(*target.which) as servable:
        if name not in servable.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        known = servable.signatures[name].inputs
        if not known:
            raise invalid(f"Failed to get input map for signature: {asked or 'DEFAULT'}")
        inputs, rows = arrays(document, known)
        with watched.call(target.name, "Predict"):
            outputs = servable.call(name, inputs)
    return answer(outputs, rows)


def _refusing(refuse):
    def act(models, watched, document, target):
        name = signature_name(document) or DEFAULT
        check_examples(document)
        with models.leased(*target.which) as servable:
            if name not in servable.signature_defs:
                raise invalid(f"No signature was found with the name: {name}")
            refuse(servable.signature_defs[name])

    return act


ACTIONS = {
    "predict": _predict,
    "classify": _refusing(refuse_classification),
    "regress": _refusing(refuse_regression),
}


def _status(models, target):
    states = [
        {
            "version": str(status.version),
            "state": status.state,
            "status": {"error_code": status.error_code, "error_message": status.error_message},
        }
        for status in models.statuses(*target.which)
    ]
    return json.dumps({"model_version_status": states}, indent=1, ensure_ascii=False) + "\n"


def _metadata(models, target):
    found = get_model_metadata_pb2.SignatureDefMap()
    with models.leased(*target.which) as servable:
        version = servable.version
        for key, signature in servable.signature_defs.items():
            found.signature_def[key].CopyFrom(signature)
    signatures = json_format.MessageToDict(
        found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    model = {"name": target.name, "signature_name": "", "version": str(version)}
    return json.dumps({"model_spec": model, "metadata": {"signature_def": signatures}}, indent=1) + "\n"
