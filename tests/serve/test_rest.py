"""The REST interface, asked over HTTP, with real models behind it."""

import base64
import gzip
import json
import threading

import httpx
import numpy as np
import orjson
import pytest
from rest_server import export, serving

NAME = "half plus"
MODEL = "/v1/models/half%20plus"
PREDICT = f"{MODEL}:predict"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rest")
    export(folder / "5")
    with serving(folder, labels={"Label": 5}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url="http://{}:{}".format(*server.address), timeout=60) as client:
        yield client


def predicted(client, body, path=PREDICT, **more):
    answer = client.post(path, content=body, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.text)


def in_two(text):
    return '{"signature_name": "two", ' + text + "}"


# ---- answers: http_rest_api_handler_test.cc, and the examples of its documentation (api_rest.md) -----------


@pytest.mark.parametrize("which", ["", "/versions/5", "/versions/005", "/labels/Label", "/labels/Labe%6c"])
def test_predict(client, which):
    path = f"{MODEL}{which}:predict"
    assert predicted(client, '{"instances": [1.0, 2.0]}', path) == {"predictions": [2.5, 3.0]}
    body = '{"signature_name": "serving_default", "inputs": [3.0, 4]}'
    assert predicted(client, body, path) == {"outputs": [3.5, 4.0]}


def test_named_inputs(client):
    rows = predicted(client, in_two('"instances": [{"a": [1, 2], "b": 3}, {"b": 4, "a": [5, 6]}]'))
    assert rows == {"predictions": [{"b": 3, "sum": 3.0}, {"b": 4, "sum": 11.0}]}
    columns = predicted(client, in_two('"inputs": {"a": [[1, 2], [5, 6]], "b": [3, 4]}'))
    assert columns == {"outputs": {"b": [3, 4], "sum": [3.0, 11.0]}}
    assert predicted(client, '{"instances": [{"x": 2}]}') == {"predictions": [3.0]}
    assert predicted(client, '{"inputs": {"x": [2]}}') == {"outputs": [3.0]}


def test_bytes_go_and_come_in_base64(client):
    b64 = base64.b64encode(b"\0\xffhello").decode()
    for row in ({"b64": b64}, {"text": {"b64": b64}}):
        body = json.dumps({"signature_name": "echo", "instances": [row]})
        assert predicted(client, body) == {"predictions": [{"b64": b64}]}


def test_numbers_that_are_not_finite(client):
    found = predicted(client, '{"instances": [NaN, Infinity, -Infinity, 1e300]}')["predictions"]
    np.testing.assert_array_equal(found, [np.nan, np.inf, -np.inf, np.inf])
    assert client.post(PREDICT, content='{"instances": [-Infinity]}').text == '{"predictions":[-Infinity]}'
    assert predicted(client, '{"signature_name": "inverse", "inputs": -0.0}') == {"outputs": -np.inf}


def test_an_image_is_answered_as_the_signature_answers(client, server):
    x = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    body = orjson.dumps({"instances": x}, option=orjson.OPT_SERIALIZE_NUMPY)
    with server.models.leased(NAME) as servable:
        expected = servable.call("", {"x": x})["y"]
    found = np.array(predicted(client, body)["predictions"], np.float32)
    np.testing.assert_array_equal(found, expected)


def test_integers_are_cut_to_their_bits(client):
    body = '{"signature_name": "count", "instances": [255, 256, -1]}'
    assert predicted(client, body) == {"predictions": [255, 0, 255]}


def test_the_type_of_the_content_does_not_matter(client):
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert predicted(client, '{"instances": [0]}', headers={"content-type": content_type})


def test_gzip_is_unpacked(client):
    body, gzipped = gzip.compress(b'{"instances": [0]}'), {"content-encoding": "gzip"}
    assert predicted(client, body, headers=gzipped) == {"predictions": [2.0]}
    for wrong in (b'{"instances": [0]}', body[:-9]):
        answer = client.post(PREDICT, content=wrong, headers=gzipped)
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": "JSON Parse error: The document is empty"},
        )


def test_status(client):
    expected = {
        "model_version_status": [
            {"version": "5", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    for which in ("", "/versions/5", "/labels/Label"):
        answer = client.get(MODEL + which)
        assert (answer.status_code, answer.json()) == (200, expected)
        assert answer.headers["content-type"] == "application/json"
    assert client.get("/V1/Models/half%20plus/VERSIONS/5").json() == expected  # paths are read in any case


def test_metadata(client):
    for which in ("", "/versions/5", "/labels/Label"):
        found = client.get(f"{MODEL}{which}/metadata").json()
        assert found["model_spec"] == {"name": NAME, "signature_name": "", "version": "5"}
        signature = found["metadata"]["signature_def"]["signature_def"]["two"]
        # testdata/saved_model_half_plus_two_2_versions_metadata.json: all fields, int64 as strings
        assert signature["inputs"]["a"] == {
            "name": "two_a:0",
            "dtype": "DT_FLOAT",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
                "unknown_rank": False,
            },
        }
        assert signature["method_name"] == "tensorflow/serving/predict"
        assert signature["defaults"] == {}


def test_preflight(client):
    answer = client.options(PREDICT, headers={"origin": "https://example.org"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_metrics(client):
    predicted(client, '{"instances": [0]}')
    client.post(PREDICT, content="x")
    client.get("/v1/models/stranger")
    answer = client.get("/monitoring/prometheus/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    # the names of servables/tensorflow/util.cc, in the form of util/prometheus_exporter.cc
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    counted = dict(line.rsplit(" ", 1) for line in lines)
    assert float(counted[':tensorflow:serving:request_count{model_name="half plus",status="OK"}']) >= 1
    assert float(counted[':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}']) >= 1
    sums = [line for line in lines if line.startswith(":tensorflow:serving:request_latency_count{")]
    assert any('API="predict",entrypoint="REST",model_name="half plus"' in line for line in sums)
    assert "# TYPE :tensorflow:serving:runtime_latency histogram" in lines
    assert not any("_created" in line or "_total" in line for line in lines)
    assert "stranger" not in answer.text  # or every name that a client invents would stay


# ---- refusals --------------------------------------------------------------------------------------------


def malformed(method, path):
    return 400, f"Malformed request: {method} {path}"


NOT_EMPTY = '{"instances": [1]}'
EXAMPLE = '{"examples": [{"x": 1}], "signature_name": "%s"}'
HANDLER = "model_servers/http_rest_api_handler.cc"
UTIL = "model_servers/http_rest_api_util.cc"
JSON = "util/json_tensor.cc"
# Method, path, body; status, message; the file of tensorflow/serving (in tensorflow_serving/) they come from.
REFUSALS = [
    ("GET", "/v1/foo", "", *malformed("GET", "/v1/foo"), HANDLER),
    ("POST", "/v1/foo", "", *malformed("POST", "/v1/foo"), HANDLER),
    ("GET", "/v1/models", "", 400, "Missing model name in request.", HANDLER),
    ("GET", "/v1/models/", "", *malformed("GET", "/v1/models/"), UTIL),
    ("GET", f"{MODEL}/", "", *malformed("GET", f"{MODEL}/"), UTIL),
    ("POST", f"{PREDICT}/", NOT_EMPTY, *malformed("POST", f"{PREDICT}/"), UTIL),
    ("POST", f"{PREDICT}?a=b", NOT_EMPTY, *malformed("POST", f"{PREDICT}?a=b"), UTIL),
    ("POST", "/v1/models", "", *malformed("POST", "/v1/models"), HANDLER),
    ("GET", PREDICT, "", *malformed("GET", PREDICT), HANDLER),
    ("GET", "/v1/models/a/b", "", *malformed("GET", "/v1/models/a/b"), HANDLER),
    ("GET", f"{MODEL}/version/5", "", *malformed("GET", f"{MODEL}/version/5"), HANDLER),
    ("POST", f"{MODEL}/versions/x:predict", "", *malformed("POST", f"{MODEL}/versions/x:predict"), HANDLER),
    ("POST", f"{MODEL}/metadata", "", *malformed("POST", f"{MODEL}/metadata"), HANDLER),
    ("POST", f"{MODEL}:Predict", NOT_EMPTY, *malformed("POST", f"{MODEL}:Predict"), HANDLER),
    (
        "POST",
        f"{MODEL}/versions/5/labels/Label:predict",
        "",
        *malformed("POST", f"{MODEL}/versions/5/labels/Label:predict"),
        HANDLER,
    ),
    (
        "POST",
        f"{MODEL}/versions/18446744073709551615:predict",
        "",
        400,
        "Failed to convert version: 18446744073709551615 to numeric.",
        UTIL,
    ),
    ("PUT", MODEL, "", *malformed("PUT", MODEL), HANDLER),
    ("DELETE", MODEL, "", *malformed("DELETE", MODEL), HANDLER),
    ("PATCH", PREDICT, NOT_EMPTY, *malformed("PATCH", PREDICT), HANDLER),
    (
        "OPTIONS",
        PREDICT,
        "",
        400,
        "Origin header is missing in CORS preflight",
        "model_servers/http_server.cc",
    ),
    ("POST", "/v2/models/x", "", 404, "Not Found", "util/net_http/server/internal/evhttp_server.cc"),
    # models, versions and labels that are not there
    (
        "GET",
        "/v1/models/foo",
        "",
        404,
        "Could not find any versions of model foo",
        "model_servers/get_model_status_impl.cc",
    ),
    (
        "GET",
        f"{MODEL}/versions/6",
        "",
        404,
        f"Could not find version 6 of model {NAME}",
        "model_servers/get_model_status_impl.cc",
    ),
    ("GET", f"{MODEL}?a=b", "", 404, f"Could not find any versions of model {NAME}?a=b", UTIL),
    (
        "GET",
        "/v1/models/foo/metadata",
        "",
        404,
        "Servable not found for request: Latest(foo)",
        "core/basic_manager.cc",
    ),
    (
        "POST",
        "/v1/models/foo:predict",
        NOT_EMPTY,
        404,
        "Servable not found for request: Latest(foo)",
        "core/basic_manager.cc",
    ),
    (
        "POST",
        f"{MODEL}/versions/6:predict",
        NOT_EMPTY,
        404,
        f"Servable not found for request: Specific({NAME}, 6)",
        "core/basic_manager.cc",
    ),
    (
        "POST",
        f"{MODEL}/labels/other:predict",
        NOT_EMPTY,
        400,
        "Unrecognized servable version label: other",
        "model_servers/server_core.cc",
    ),
    # bodies: what is wrong in them is said first, then that a model is not there
    ("POST", "/v1/models/foo:predict", "", 400, "JSON Parse error: The document is empty", JSON),
    ("POST", PREDICT, "", 400, "JSON Parse error: The document is empty", JSON),
    ("POST", PREDICT, "instances = [1, 2]", 400, "JSON Parse error: Invalid value. at offset: 0", JSON),
    ("POST", PREDICT, "[1]", 400, "JSON Value: [1] Is not object", JSON),
    ("POST", PREDICT, "1", 400, "JSON Value: 1 Is not object", JSON),
    (
        "POST",
        PREDICT,
        '{"instances": [1e999]}',
        400,
        "JSON Parse error: Number too big to be stored in double. at offset: 15",
        JSON,
    ),
    (
        "POST",
        PREDICT,
        '{"instances": ["x"]}',
        400,
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"x\" Type: "
        "String is not of expected type: float",
        JSON,
    ),
    ("POST", PREDICT, "{}", 400, "Missing 'inputs' or 'instances' key", JSON),
    (
        "POST",
        PREDICT,
        '{"signature_name": 1}',
        400,
        "JSON Value: {\n    \"signature_name\": 1\n} not formatted correctly. 'signature_name' key must be a "
        "string value.",
        JSON,
    ),
    (
        "POST",
        PREDICT,
        '{"signature_name": "none", "instances": [1]}',
        400,
        'Serving signature name: "none" not found in signature def',
        HANDLER,
    ),
    (
        "POST",
        PREDICT,
        '{"signature_name": "inverse", "inputs": 2, "instances": [2]}',
        400,
        'JSON Value: {\n    "signature_name": "inverse",\n    "inputs": 2,\n    "instances": [2]\n} Not '
        "formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        JSON,
    ),
    # Classify and Regress of signatures of another kind
    (
        "POST",
        f"{MODEL}:classify",
        EXAMPLE % "two",
        400,
        "Expected one input Tensor.",
        "servables/tensorflow/classifier.cc",
    ),
    (
        "POST",
        f"{MODEL}:regress",
        EXAMPLE % "two",
        400,
        "Expected one input Tensor.",
        "servables/tensorflow/regressor.cc",
    ),
    (
        "POST",
        f"{MODEL}:classify",
        EXAMPLE % "none",
        400,
        "No signature was found with the name: none",
        "servables/tensorflow/classifier.cc",
    ),
    (
        "POST",
        f"{MODEL}:classify",
        '{"examples": [1]}',
        400,
        "Example must be JSON object but got JSON Number",
        JSON,
    ),
    (
        "POST",
        f"{MODEL}:regress",
        '{"examples": [{"x": [1, 2.5]}]}',
        400,
        "Unexpected element type in feature: x expecting type: int64",
        JSON,
    ),
    (
        "POST",
        f"{MODEL}:regress",
        '{"examples": [{"x": [null]}]}',
        400,
        "Feature: x has element with unexpected JSON type: Null",
        JSON,
    ),
    (
        "POST",
        f"{MODEL}:classify",
        "{}",
        400,
        "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        JSON,
    ),
    (
        "POST",
        f"{MODEL}:classify",
        '{"examples": []}',
        400,
        "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
        JSON,
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=[f"{case[0]} {case[1]} {case[2]}" for case in REFUSALS])
def test_refusals_are_those_of_tensorflow_serving(client, case):
    method, path, body, status, message, _ = case
    answer = client.request(method, path, content=body)
    assert (answer.status_code, json.loads(answer.text)) == (status, {"error": message})
    assert answer.headers["content-type"] == "application/json"
    assert predicted(client, '{"instances": [2]}') == {"predictions": [3.0]}  # the server goes on


def test_signatures_of_another_kind(client):
    answer = client.post(f"{MODEL}:classify", content=EXAMPLE % "serving_default")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("No classification inputs found in SignatureDef: inputs {")
    answer = client.post(f"{MODEL}:regress", content=EXAMPLE % "scored")
    assert answer.json()["error"].startswith("No regression outputs found in SignatureDef: inputs {")


def test_a_head_request_has_no_body(client):
    answer = client.head(MODEL)
    assert (answer.status_code, answer.content) == (400, b"")


def test_shapes_that_the_signature_does_not_take_are_refused(client):
    for body in ('{"instances": [[1]]}', '{"inputs": 1}', in_two('"instances": [{"a": [1], "b": 1}]')):
        answer = client.post(PREDICT, content=body)
        assert answer.status_code == 400
        assert "shape" in answer.json()["error"]


def test_an_error_of_the_server_is_answered(client, server, monkeypatch):
    monkeypatch.setattr(server.models, "leased", lambda *_: 1 / 0)
    answer = client.post(PREDICT, content=NOT_EMPTY)
    assert (answer.status_code, answer.json()) == (500, {"error": "ZeroDivisionError: division by zero"})


def test_questions_are_answered_while_a_prediction_takes_long(client, server, monkeypatch):
    begun, ended = threading.Event(), threading.Event()
    leased = server.models.leased

    def slow(*which):
        begun.set()
        assert ended.wait(60)
        return leased(*which)

    with monkeypatch.context() as patch:
        patch.setattr(server.models, "leased", slow)
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(str(client.base_url.join(PREDICT)), content=NOT_EMPTY))
        )
        thread.start()
        assert begun.wait(60)
        assert client.get(MODEL).status_code == 200
        ended.set()
        thread.join()
    assert answers[0].json() == {"predictions": [2.5]}
