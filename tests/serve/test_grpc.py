"""The gRPC interface, asked with tensorflow-serving-api's own client."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import answers, at_once, images, push, serving
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from keras_cl.serve.errors import ServingError
from keras_cl.serve.limits import Limits
from keras_cl.serve.monitoring import Monitoring
from keras_cl.serve.protos import array_of, proto_of


@pytest.fixture(scope="module")
def stubs(exported):
    with serving(exported, poll_seconds=0, limits=Limits(max_request_bytes=1 << 20)) as (_, predict, model):
        yield predict, model


def request(signature="", version=None, label="", name="tiny", outputs=(), **inputs):
    """A PredictRequest with some arrays."""
    asked = predict_pb2.PredictRequest(output_filter=outputs)
    asked.model_spec.name, asked.model_spec.signature_name = name, signature
    if version is not None:
        asked.model_spec.version.value = version
    if label:
        asked.model_spec.version_label = label
    for alias, array in inputs.items():
        asked.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    return asked


def refusal(call, asked):
    """Status code and text with which a request is refused."""
    with pytest.raises(grpc.RpcError) as refused:
        call(asked)
    return refused.value.code().name, refused.value.details()


# ---- PredictionService -----------------------------------------------------------------------------------


def test_predict_answers_as_the_signature_does(stubs, exported):
    x = images(5)
    for version in (None, 1):
        answer = stubs[0].Predict(request(images=x, version=version))
        assert answer.model_spec.version.value == (version or 3)
        assert (answer.model_spec.name, answer.model_spec.signature_name) == ("tiny", "serving_default")
        for alias, expected in answers(exported / str(version or 3), x).items():
            np.testing.assert_allclose(
                tf.make_ndarray(answer.outputs[alias]), expected, rtol=1e-5, atol=1e-30
            )
    assert len(answer.outputs["probabilities"].float_val) == 5 * 6  # where clients look for them
    assert len(answer.outputs["class"].int64_val) == 5


def test_outputs_can_be_chosen(stubs):
    assert list(stubs[0].Predict(request(images=images(1), outputs=["class"])).outputs) == ["class"]


def test_predict_refuses_in_the_words_of_tensorflow_serving(stubs):
    x = images(1)
    predict = stubs[0].Predict
    assert refusal(predict, predict_pb2.PredictRequest()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert refusal(predict, request(name="", version=1)) == (
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    )
    assert refusal(predict, request(name="other")) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(other)",
    )
    assert refusal(predict, request(version=9)) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(tiny, 9)",
    )
    assert refusal(predict, request(label="old")) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: old",
    )
    assert refusal(predict, request("nothing", images=x)) == (
        "FAILED_PRECONDITION",
        'Serving signature key "nothing" not found.',
    )
    assert refusal(predict, request(images=x.astype(np.int32))) == (
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but int32 is provided",
    )
    assert refusal(predict, request(images=x[0]))[0] == "INVALID_ARGUMENT"


def test_what_is_no_tensor_is_refused(stubs):
    asked = request(images=images(2))
    for change in (
        lambda proto: setattr(proto, "tensor_content", proto.tensor_content[:-3]),
        lambda proto: setattr(proto.tensor_shape.dim[0], "size", -1),
        lambda proto: setattr(proto, "dtype", 77),
        lambda proto: setattr(proto.tensor_shape, "unknown_rank", True),
    ):
        wrong = predict_pb2.PredictRequest()
        wrong.CopyFrom(asked)
        change(wrong.inputs["images"])
        assert refusal(stubs[0].Predict, wrong) == ("INVALID_ARGUMENT", "tensor parsing error: images")


def test_what_is_too_large_is_refused_and_the_server_goes_on(stubs):
    code, _ = refusal(stubs[0].Predict, request(images=images(1 << 13)))
    assert code == "RESOURCE_EXHAUSTED"
    bomb = request(images=images(1))
    proto = bomb.inputs["images"]
    proto.Clear()
    proto.dtype = tf.float32.as_datatype_enum
    proto.float_val.append(1)  # one value stands for all
    for size in (1 << 40, 8, 8, 1):
        proto.tensor_shape.dim.add(size=size)
    code, message = refusal(stubs[0].Predict, bomb)
    assert (code, str(1 << 48) in message) == ("RESOURCE_EXHAUSTED", True)
    assert stubs[0].Predict(request(images=images(1))).outputs["class"].int64_val


def test_more_requests_than_may_wait_are_refused(exported):
    with serving(exported, poll_seconds=0, limits=Limits(max_concurrent=1, max_queued=1)) as (
        models,
        predict,
        _,
    ):
        held, go_on = threading.Event(), threading.Event()
        with models.leased("tiny") as servable:
            call = servable.call

            def slow(*given):
                held.set()
                go_on.wait(60)
                return call(*given)

            servable.call = slow
        first = predict.Predict.future(request(images=images(1)))
        assert held.wait(60)
        second = predict.Predict.future(request(images=images(1)))
        found = at_once([lambda: predict.Predict(request(images=images(1)), timeout=0.5)] * 4)
        codes = {error.code().name for error in found}
        go_on.set()
        assert "RESOURCE_EXHAUSTED" in codes
        assert first.result(60).outputs["class"].int64_val
        assert second.result(60).outputs["class"].int64_val


def test_metadata(stubs, exported):
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "tiny"
    answer = stubs[0].GetModelMetadata(asked)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert {"serving_default", "bytes", "with_task"} <= set(found.signature_def)
    assert found.signature_def["serving_default"].inputs["images"].dtype == tf.float32.as_datatype_enum
    assert answer.model_spec.version.value == 3
    asked.metadata_field[:] = ["weights"]
    assert refusal(stubs[0].GetModelMetadata, asked)[1] == "Metadata field weights is not supported"
    asked.metadata_field[:] = []
    assert "at least one metadata_field" in refusal(stubs[0].GetModelMetadata, asked)[1]


def test_signatures_of_another_kind_are_refused(stubs):
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name = "tiny"
    said = "Expected one or two output Tensors, found 3"
    assert refusal(stubs[0].Classify, asked) == ("INVALID_ARGUMENT", said)
    asked.model_spec.signature_name = "nothing"
    said = "No signature was found with the name: nothing"
    assert refusal(stubs[0].Classify, asked) == ("INVALID_ARGUMENT", said)
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name = "tiny"
    assert refusal(stubs[0].Regress, asked) == ("INVALID_ARGUMENT", "Expected one output Tensor.")
    asked = inference_pb2.MultiInferenceRequest()
    assert refusal(stubs[0].MultiInference, asked)[1] == "ModelSpec has no name specified."
    task = asked.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name = "tiny"
    assert refusal(stubs[0].MultiInference, asked) == ("INVALID_ARGUMENT", "Expected one output Tensor.")
    task.method_name = "tensorflow/serving/predict"
    assert refusal(stubs[0].MultiInference, asked)[0] == "UNIMPLEMENTED"


# ---- ModelService ----------------------------------------------------------------------------------------


def status_request(name, version=None):
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = name
    if version is not None:
        asked.model_spec.version.value = version
    return asked


def test_states(stubs):
    found = stubs[1].GetModelStatus(status_request("tiny")).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(one.version, one.state, one.status.error_code) for one in found] == [
        (3, available, 0),
        (2, available, 0),
        (1, available, 0),
    ]
    assert refusal(stubs[1].GetModelStatus, status_request("other")) == (
        "NOT_FOUND",
        "Could not find any versions of model other",
    )
    assert refusal(stubs[1].GetModelStatus, status_request("tiny", 8)) == (
        "NOT_FOUND",
        "Could not find version 8 of model tiny",
    )


def test_another_configuration(exported, tmp_path):
    push(exported / "1", tmp_path / "other")
    with serving(exported, "latest", poll_seconds=0) as (_, predict, model):
        asked = model_management_pb2.ReloadConfigRequest()
        assert "Only ModelConfigList is currently" in refusal(model.HandleReloadConfigRequest, asked)[1]
        added = asked.config.model_config_list.config.add(name="other", model_platform="tensorflow")
        added.base_path = "relative"
        assert "absolute path" in refusal(model.HandleReloadConfigRequest, asked)[1]
        added.base_path = str(tmp_path / "other")
        assert model.HandleReloadConfigRequest(asked).status.error_code == 0
        assert predict.Predict(request(name="other", images=images(1))).model_spec.version.value == 1
        assert refusal(predict.Predict, request(images=images(1)))[0] == "NOT_FOUND"


# ---- protos and counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        *(np.arange(-3, 3).reshape(2, 3).astype(kind) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8")),
        *(np.arange(6).reshape(3, 2).astype(kind) for kind in ("u1", "u2", "u4", "u8", "?", "c8")),
        np.array([[b"one", b"\\xff"]], object),
        np.array(2.5, np.float32),
        np.zeros([0, 4], np.float32),
        np.array([np.nan, np.inf], np.float32),
        np.arange(60, dtype=np.float32).reshape(3, 20).T,
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_survive_both_ways(array):
    np.testing.assert_array_equal(tf.make_ndarray(proto_of(array)), array)
    for proto in (proto_of(array), tf.make_tensor_proto(array)):
        found = array_of("x", proto, 1 << 20)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_requests_are_counted(exported):
    class Names:
        def names(self):
            return ["tiny"]

    watched = Monitoring(Names())
    with serving(exported, "latest", poll_seconds=0, watched=watched) as (_, predict, _):
        predict.Predict(request(images=images(1)))
        refusal(predict.Predict, request(version=9))
    page = watched.page().decode()
    assert ':tensorflow:serving:request_count{model_name="tiny",status="OK"} 1.0' in page
    assert ':tensorflow:serving:request_count{model_name="tiny",status="NOT_FOUND"} 1.0' in page
    labels = 'API="Predict",model_name="tiny",runtime="TF2"'
    assert f":tensorflow:serving:runtime_latency_count{{{labels}}} 1.0" in page


def test_a_taken_port_is_refused(exported):
    from keras_cl.errors import InputError
    from keras_cl.serve import grpc_api

    server, port = grpc_api.serve(None, Limits(), "127.0.0.1:0")
    with pytest.raises(InputError, match="in use"):
        grpc_api.serve(None, Limits(), f"127.0.0.1:{port}")
    server.stop(None)


def test_errors_have_codes_of_grpc():
    assert all(grpc.StatusCode[code] for code in ("NOT_FOUND", "UNKNOWN", "INTERNAL", "UNAVAILABLE"))
    assert ServingError("NOT_FOUND", "x").http_status == 404
