"""The gRPC interface: TensorFlow Serving's PredictionService and ModelService."""

import contextlib
import time
from concurrent import futures

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_cl.errors import InputError
from keras_cl.serve.errors import ServingError
from keras_cl.serve.model_config import configs_of
from keras_cl.serve.monitoring import Monitoring
from keras_cl.serve.protos import array_of, proto_of
from keras_cl.serve.refusals import refuse_classification, refuse_regression
from keras_cl.serve.servable import DEFAULT


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; Classify, Regress and MultiInference refuse what is no such signature.

    Args:
      models: `Models`.
      limits: `Limits`.
      watched: `Monitoring`.
    """

    def __init__(self, models, limits, watched):
        self._models, self._limits, self._watched = models, limits, watched

    def Predict(self, request, context):  # noqa: N802 the generated names
        spec, answer = request.model_spec, predict_pb2.PredictResponse()
        with _answered(context, self._watched, spec.name, "Predict"):
            _require_spec(request)
            with _leased(self._models, spec) as servable:
                inputs = {
                    alias: array_of(alias, proto, self._limits.max_request_bytes)
                    for alias, proto in request.inputs.items()
                }
                with self._watched.call(spec.name, "Predict"):
                    outputs = servable.call(spec.signature_name, inputs, request.output_filter)
                answer.model_spec.name = spec.name
                answer.model_spec.signature_name = spec.signature_name or DEFAULT
                answer.model_spec.version.value = servable.version
            for alias, array in outputs.items():
                answer.outputs[alias].MergeFrom(proto_of(array))
        return answer

    def GetModelMetadata(self, request, context):  # noqa: N802
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        with _answered(context):
            _require_spec(request)
            _require_field(request)
            with _leased(self._models, request.model_spec) as servable:
                answer.model_spec.name = servable.name
                answer.model_spec.version.value = servable.version
                found = get_model_metadata_pb2.SignatureDefMap()
                for key, signature in servable.signature_defs.items():
                    found.signature_def[key].CopyFrom(signature)
                answer.metadata["signature_def"].Pack(found)
        return answer

    def Classify(self, request, context):  # noqa: N802
        self._refuse(request, context, "Classify", refuse_classification)

    def Regress(self, request, context):  # noqa: N802
        self._refuse(request, context, "Regress", refuse_regression)

    def MultiInference(self, request, context):  # noqa: N802
        with _answered(context):
            spec = request.tasks[0].model_spec if request.tasks else None
            with _leased(self._models, spec) as servable:
                _refuse_tasks(request.tasks, servable.signature_defs)

    def _refuse(self, request, context, api, refusal):
        spec = request.model_spec
        with _answered(context, self._watched, spec.name, api):
            _require_spec(request)
            with _leased(self._models, spec) as servable:
                key = spec.signature_name or DEFAULT
                if key not in servable.signature_defs:
                    message = f"No signature was found with the name: {key}"
                    raise ServingError("INVALID_ARGUMENT", message)
                refusal(servable.signature_defs[key])


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """States of models, and another configuration of what is served.

    Args:
      models: `Models`.
    """

    def __init__(self, models):
        self._models = models

    def GetModelStatus(self, request, context):  # noqa: N802
        answer = get_model_status_pb2.GetModelStatusResponse()
        with _answered(context):
            _require_spec(request)
            for status in self._models.statuses(request.model_spec.name, **_asked(request.model_spec)):
                answer.model_version_status.add(
                    version=status.version,
                    state=status.state,
                    status={"error_code": status.error_code, "error_message": status.error_message},
                )
        return answer

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        with _answered(context):
            if request.config.WhichOneof("config") != "model_config_list":
                raise ServingError(
                    "INVALID_ARGUMENT",
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList "
                    "is currently supported",
                )
            self._models.reload(configs_of(request.config))
        return model_management_pb2.ReloadConfigResponse(status={"error_code": "OK"})


@contextlib.contextmanager
def _answered(context, watched=None, model="", api=""):
    """Ends the call with the status of a `ServingError`; `watched` takes down how it ended."""
    began, code = time.perf_counter(), "OK"
    try:
        yield
    except ServingError as error:
        code = error.code
        context.abort(grpc.StatusCode[code], error.message)
    except Exception as error:
        code = "INTERNAL"
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
    finally:
        if watched:
            watched.request(model, api, "GRPC", code, time.perf_counter() - began)


def _require_spec(request):
    if not request.HasField("model_spec"):
        raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")


def _require_field(request):
    if not request.metadata_field:
        message = "GetModelMetadataRequest must specify at least one metadata_field"
        raise ServingError("INVALID_ARGUMENT", message)
    for field in request.metadata_field:
        if field != "signature_def":
            raise ServingError("INVALID_ARGUMENT", f"Metadata field {field} is not supported")


def _leased(models, spec):
    return models.leased(spec.name, **_asked(spec)) if spec else models.leased("")


def _asked(spec):
    """What a `ModelSpec` chooses of a model, as `Models` takes it."""
    choice = spec.WhichOneof("version_choice")
    if choice == "version":
        return {"version": spec.version.value}
    return {"label": spec.version_label} if choice else {}


def _refuse_tasks(tasks, signature_defs):
    """Raises what TensorFlow Serving says to a MultiInference request for these signatures."""
    refusals = {
        "tensorflow/serving/classify": refuse_classification,
        "tensorflow/serving/regress": refuse_regression,
    }
    for task in tasks:
        key = task.model_spec.signature_name or DEFAULT
        if key not in signature_defs:
            message = f"Requested signature not found in model graph: {key}"
            raise ServingError("INVALID_ARGUMENT", message)
        if task.method_name not in refusals:
            message = f"Unsupported signature method_name: {task.method_name}"
            raise ServingError("UNIMPLEMENTED", message)
        refusals[task.method_name](signature_defs[key])


def serve(models, limits, address, watched=None):
    """Starts a gRPC server; returns it and its port.

    Args:
      models: `Models`.
      limits: `Limits`.
      address: `host:port`; the port 0 stands for any that is free.
      watched: `Monitoring` of the server; by default one of its own.

    Raises:
      InputError: if the port is in use.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(limits.max_concurrent, thread_name_prefix="grpc"),
        maximum_concurrent_rpcs=limits.max_concurrent + limits.max_queued,
        options=[
            ("grpc.so_reuseport", 0),  # or two servers would share a port, and each get half of the requests
            ("grpc.max_receive_message_length", limits.max_request_bytes),
            ("grpc.max_send_message_length", -1),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models, limits, watched or Monitoring(models)), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise InputError(f"The port of --grpc_port is in use, or not allowed: {address}.") from error
    server.start()
    return server, port
