"""Requests to TensorFlow Serving over gRPC."""

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_cl.serve.client import EndpointError, is_loopback, shortened

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
NO_PROXY = [("grpc.enable_http_proxy", 0)]


class Grpc:
    """The gRPC interface of one model.

    Args:
      address: `host:port`.
      name: name of the model.
      timeout: seconds to wait for each answer.
    """

    def __init__(self, address, name, timeout):
        self._address, self._name, self._timeout = address, name, timeout
        options = UNLIMITED + (NO_PROXY if is_loopback(address) else [])
        channel = grpc.insecure_channel(address, options)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def statuses(self):
        """`{version: state}`."""
        request = self._of(get_model_status_pb2.GetModelStatusRequest(), None)
        found = self._asked(self._models.GetModelStatus, request).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        return {status.version: names.Name(status.state) for status in found}

    def metadata(self, version):
        """`{name: SignatureDef}`."""
        request = self._of(get_model_metadata_pb2.GetModelMetadataRequest(), version)
        request.metadata_field.append("signature_def")
        answer = self._asked(self._predictions.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)
        return dict(found.signature_def)

    def predict(self, inputs, version, signature, known, outputs):
        """`{name: array}` of some outputs."""
        request = self._of(predict_pb2.PredictRequest(output_filter=outputs), version)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._asked(self._predictions.Predict, request)
        return {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}

    def _of(self, request, version):
        request.model_spec.name = self._name
        if version is not None:
            request.model_spec.version.value = version
        return request

    def _asked(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            said = shortened(text)
            if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"):
                message = f"No answer from grpc://{self._address}: {said or code}."
                raise EndpointError(message, "UNAVAILABLE", text) from None
            message = f"grpc://{self._address}/{self._name} answers {code}: {said or 'nothing more'}."
            raise EndpointError(message, code, text) from None
