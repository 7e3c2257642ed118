"""`python -m keras_cl.evaluate --endpoint=...` and the client against the server in a process of its own."""

import pathlib
import shutil

import exported
import numpy as np
import processes
import pytest

from keras_cl import evaluate
from keras_cl.errors import InputError
from keras_cl.serve import evaluation
from keras_cl.serve.client import Endpoint, EndpointError

pytestmark = pytest.mark.slow
transports = pytest.mark.parametrize("transport", [0, 1], ids=["rest", "grpc"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of the exported models of a task-incremental run."""
    config = exported.trained(tmp_path_factory.mktemp("run"), "task")
    return pathlib.Path(config.export_dir, config.name)


@pytest.fixture(scope="module")
def urls(models):
    """URLs of a server of these models."""
    with exported.serving(models, "--max_request_bytes=20000") as urls:
        yield urls


@transports
def test_the_matrix_through_a_server_is_that_of_the_files(transport, urls, models, tmp_path):
    for given, name in ((f"--saved_model={models}", "files"), (f"--endpoint={urls[transport]}", "served")):
        command = processes.start("-m", "keras_cl.evaluate", given, f"--output={tmp_path / name}.csv")
        said, errors = command.communicate(timeout=processes.PATIENCE)
        assert command.returncode == 0, errors
        assert given.partition("=")[2] in said.replace("\n", "")
    assert (tmp_path / "served.csv").read_text() == (tmp_path / "files.csv").read_text()
    assert len(set((tmp_path / "files.csv").read_text().split(","))) > 3


@transports
def test_a_request_over_the_limit_of_the_server_is_cut_and_sent_again(transport, urls, models):
    endpoint = Endpoint(urls[transport])
    rows, x = [], np.random.default_rng(0).integers(0, 256, (300, 4, 4, 1)).astype(np.float32)
    stream = evaluation.described_stream(endpoint, 1)
    ask, predict = evaluation._Asking(endpoint, stream, len(stream)), endpoint.predict

    def counted(inputs, *asked):
        rows.append(len(inputs["images"]))
        return predict(inputs, *asked)

    endpoint.predict = counted
    said = ask.classes(x, 0, 1)
    assert rows[0] == 300
    assert rows[-1] < 300
    whole = [
        predict({"images": x[k : k + 50], "task": np.zeros(50, np.int32)}, 1, "with_task")
        for k in range(0, 300, 50)
    ]
    np.testing.assert_array_equal(said, np.concatenate([part["class"] for part in whole]))


@transports
def test_floats_of_every_kind_get_the_answer_of_the_model(transport, urls, models):
    x = np.random.default_rng(0).normal(0, 1e3, (8, 4, 4, 1)).astype(np.float32)
    x[0, 0, 0, 0], x[1, 0, 0, 0], x[2, 0, 0, 0], x[3, 0, 0, 0] = np.nan, np.inf, -np.inf, 1e-45
    answer = Endpoint(urls[transport]).predict({"images": x}, 2)
    import tensorflow as tf

    expected = tf.saved_model.load(str(models / "2")).signatures["serving_default"](images=tf.constant(x))
    assert answer.keys() == expected.keys()
    for name in expected:
        assert answer[name].dtype == expected[name].dtype.as_numpy_dtype
        np.testing.assert_array_equal(answer[name], expected[name])
    assert not np.isfinite(answer["logits"]).all()


@transports
def test_what_the_server_refuses_is_one_sentence(transport, urls):
    endpoint = Endpoint(urls[transport])
    assert endpoint.versions() == [1, 2, 3]
    with pytest.raises(EndpointError) as error:
        endpoint.predict({"images": np.zeros([2, 5, 5, 1], np.float32)}, 1)
    assert error.value.code == "INVALID_ARGUMENT"
    assert not error.value.too_large
    with pytest.raises(EndpointError) as error:
        endpoint.metadata(9)
    assert error.value.code == "NOT_FOUND"
    other = Endpoint(urls[transport].replace("/m", "/other") if transport else urls[0][:-1] + "other")
    with pytest.raises(EndpointError, match="Could not find any versions of model other") as error:
        other.versions()
    assert error.value.code == "NOT_FOUND"


@transports
def test_versions_that_the_server_lacks_are_named(transport, models, tmp_path):
    shutil.copytree(models / "3", tmp_path / "3")
    with exported.serving(tmp_path) as urls:
        with pytest.raises(InputError, match="lacks the versions of the tasks 1, 2 of 3"):
            evaluation.accuracy_matrix(Endpoint(urls[transport]))
        command = processes.start("-m", "keras_cl.evaluate", f"--endpoint={urls[transport]}")
        _, errors = command.communicate(timeout=processes.PATIENCE)
    assert command.returncode == 1
    assert "lacks the versions of the tasks 1, 2 of 3" in processes.sentence(errors)


def test_a_folder_beside_the_endpoint_says_the_stream(urls, models, tmp_path):
    values = evaluate.parse(["evaluate", f"--endpoint={urls[0]}", f"--saved_model={models}"])
    np.testing.assert_array_equal(evaluate.served_matrix(values), evaluate.accuracy_matrix(models))
    config = exported.trained(tmp_path, "task", epochs=1)
    other = pathlib.Path(config.export_dir, config.name)
    values = evaluate.parse(["evaluate", f"--endpoint={urls[0]}", f"--saved_model={other}"])
    with pytest.raises(InputError, match="version 1, is of another run"):
        evaluate.served_matrix(values)
