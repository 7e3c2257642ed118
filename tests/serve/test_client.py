"""The client: addresses, arrays that arrive bit for bit, and servers that answer badly or not at all."""

import http.server
import json
import socket
import threading

import numpy as np
import pytest

from keras_cl.errors import InputError
from keras_cl.serve.client import Endpoint, EndpointError

TENSOR = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}}
CLASSES = {**TENSOR, "dtype": "DT_INT64"}
SIGNATURE = {"inputs": {"x": TENSOR}, "outputs": {"y": TENSOR, "class": CLASSES}, "method_name": "predict"}
METADATA = {"metadata": {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}}}


class Canned(http.server.BaseHTTPRequestHandler):
    """Answers what `server.answer(path, body)` returns: a status and the bytes of a body."""

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body):
        status, content = self.server.answer(self.path, body)
        if status:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content) + self.server.withheld))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *said):
        pass


@pytest.fixture
def server():
    """A server of canned answers; `address` is that of its model m."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned) as server:
        server.withheld = 0
        server.address = f"http://127.0.0.1:{server.server_port}/v1/models/m"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def metadata_and(predict):
    """Function of a path and a body that answers metadata, and `predict(body)` as JSON."""

    def answer(path, body):
        content = METADATA if path.endswith("/metadata") else predict(json.loads(body))
        return 200, json.dumps(content).encode()

    return answer


def refused(call):
    with pytest.raises(EndpointError) as error:
        call()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    return error.value


# ---- addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8501",
        "http://localhost:8501",
        "http://localhost:8501/v1/models/",
        "http://localhost:8501/v1/models/m/versions/1",
        "http://localhost:8501/v1/models/m:predict",
        "http://localhost:port/v1/models/m",
        "http://localhost:99999/v1/models/m",
        "http://:8501/v1/models/m",
        "ftp://localhost/v1/models/m",
        "grpc://localhost:8500",
        "grpc://localhost:8500/m/versions/1",
        "grpc://:8500/m",
    ],
)
def test_an_address_of_another_form_is_refused_with_those_that_are_possible(url):
    with pytest.raises(
        InputError, match=r"possible: http://host:port/v1/models/NAME \(REST\) or grpc://host"
    ):
        Endpoint(url)


def test_names_and_prefixes_are_part_of_the_address(server):
    paths = []

    def answer(path, body):
        paths.append(path)
        return 200, b'{"model_version_status": []}'

    server.answer = answer
    root = f"http://127.0.0.1:{server.server_port}"
    Endpoint(f"{root}/behind/a/gateway/v1/models/my%20model/").versions()
    assert paths == ["/behind/a/gateway/v1/models/my%20model"]


# ---- arrays ----------------------------------------------------------------------------------------------


def test_floats_arrive_bit_for_bit_and_come_back_so(server):
    bits = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint32)
    given = np.concatenate([bits.view(np.float32), np.float32([0, -0.0, 1e-45, 0.1, 3.4028235e38])])
    given = np.where(np.isnan(given), np.float32(np.nan), given)  # JSON has one NaN
    given[:3] = np.nan, np.inf, -np.inf
    arrived = []

    def predict(body):
        arrived.append(np.array(body["inputs"]["x"], np.float32))
        return {"outputs": {"y": body["inputs"]["x"], "class": [2**53 + 1] * len(given)}}

    server.answer = metadata_and(predict)
    answer = Endpoint(server.address).predict({"x": given}, version=1)
    np.testing.assert_array_equal(arrived[0].view(np.uint32), given.view(np.uint32))
    np.testing.assert_array_equal(answer["y"].view(np.uint32), given.view(np.uint32))
    assert {name: array.dtype for name, array in answer.items()} == {"y": np.float32, "class": np.int64}
    assert (answer["class"] == 2**53 + 1).all()


def test_bytes_are_sent_in_base64_and_text_comes_back_as_bytes(server, monkeypatch):
    text = {**TENSOR, "dtype": "DT_STRING"}
    signature = {"inputs": {"x": text}, "outputs": {"said_bytes": text}}
    monkeypatch.setitem(METADATA["metadata"]["signature_def"], "signature_def", {"text": signature})
    server.answer = metadata_and(lambda body: {"outputs": [*body["inputs"]["x"], "plain é"]})
    (said,) = Endpoint(server.address).predict({"x": np.array([b"\xff\x00a"], object)}, 1, "text").values()
    assert said.tolist() == [b"\xff\x00a", "plain é".encode()]


def test_a_signature_or_output_that_the_model_lacks_is_named(server):
    server.answer = metadata_and(lambda body: {})
    endpoint = Endpoint(server.address)
    with pytest.raises(InputError, match="version 1, has no signature other; possible: serving_default."):
        endpoint.predict({"x": [0.0]}, 1, "other")
    with pytest.raises(InputError, match="has no output z; possible: class, y."):
        endpoint.predict({"x": [0.0]}, 1, outputs=["z"])


# ---- servers that answer badly ---------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_no_server_is_one_sentence(scheme):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{unused.getsockname()[1]}"
        endpoint = Endpoint(f"{address}/v1/models/m" if scheme == "http" else f"{address}/m", timeout=10)
        error = refused(endpoint.versions)
    assert str(error).startswith(f"No answer from {address}: ")
    assert "Connection refused" in str(error)
    assert error.code == "UNAVAILABLE"


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_does_not_answer_in_time_is_one_sentence(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        endpoint = Endpoint(f"{address}/v1/models/m" if scheme == "http" else f"{address}/m", timeout=0.2)
        assert str(refused(endpoint.versions)).startswith(f"No answer from {address}: ")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Welcome to nginx!</html>",
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b'{"model_version_status": {"a": 1}, "metadata": 1, "outputs": 1}',
        b'{"model_version_status": [1], "metadata": {"signature_def": 1}, "outputs": [1, [2]]}',
        b'{"model_version_status": [{"version": "x", "state": 1}], "outputs": {"y": [[1], 2], "class": [1]}}',
        b'{"model_version_status": [{}], "outputs": {"y": ["a"], "class": [1]}}',
        b'{"model_version_status": 1, "metadata": {"signature_def": {"signature_def": {"a": 1}}}}',
    ],
)
def test_what_is_no_answer_of_tensorflow_serving_is_one_sentence(content, server):
    server.answer = lambda path, body: (200, content)
    asked, known = Endpoint(server.address), metadata_and(dict)
    errors = [refused(asked.statuses), refused(lambda: asked.metadata(1))]
    server.answer = lambda path, body: known(path, body) if "metadata" in path else (200, content)
    errors.append(refused(lambda: asked.predict({"x": np.zeros(1)}, 1)))
    assert all("does not answer as TensorFlow Serving does: " in str(error) for error in errors)


@pytest.mark.parametrize(("status", "withheld"), [(0, 0), (200, 10), (404, 10)])
def test_an_answer_that_breaks_off_is_one_sentence(status, withheld, server):
    server.withheld, server.answer = withheld, lambda path, body: (status, b'{"model')
    assert refused(Endpoint(server.address, timeout=5).versions)


@pytest.mark.parametrize(
    ("status", "content", "code", "said"),
    [
        (
            404,
            b'{"error": "Could not find any versions of model m"}',
            "NOT_FOUND",
            "any versions of model m.",
        ),
        (400, b'{"error": "Two\\nlines."}', "INVALID_ARGUMENT", "answers 400: Two lines."),
        (500, b"<html>", "INTERNAL", "answers 500: Internal Server Error <html>."),
        (403, b'{"error": []}', "HTTP 403", "answers 403: []."),
        (413, b"", "HTTP 413", "answers 413: Request Entity Too Large."),
    ],
)
def test_what_a_server_refuses_is_one_sentence_with_its_words(status, content, code, said, server):
    server.answer = lambda path, body: (status, content)
    error = refused(Endpoint(server.address).versions)
    assert str(error).startswith(f"{server.address} answers {status}")
    assert str(error).endswith(said)
    assert error.code == code


@pytest.mark.parametrize(
    ("code", "text", "too_large", "busy"),
    [
        ("INVALID_ARGUMENT", "Task size 200 was larger than maximum input batch size 128", True, False),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (6000000 vs. 4194304)", True, False),
        ("HTTP 413", "Request Entity Too Large", True, False),
        ("RESOURCE_EXHAUSTED", "The queue is full.", False, True),
        ("INVALID_ARGUMENT", "images has shape [1], expected [-1,4,4,1]", False, False),
        ("INTERNAL", "larger than max", False, False),
        ("UNAVAILABLE", "The batch scheduling queue is full", False, True),
    ],
)
def test_what_fewer_rows_or_patience_may_mend(code, text, too_large, busy):
    error = EndpointError("sentence.", code, text)
    assert (error.too_large, error.busy) == (too_large, busy)
