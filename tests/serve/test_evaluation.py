"""The accuracy matrix of served models: equal to that of the files, and refused in one sentence."""

import functools
import json
import pathlib
import shutil
import time

import exported
import numpy as np
import pytest

from keras_cl import evaluate
from keras_cl.errors import InputError
from keras_cl.runs import saved_model
from keras_cl.serve import evaluation
from keras_cl.serve.client import Endpoint, EndpointError
from keras_cl.serve.servable import Servable

KINDS = {
    "class": {},
    "task": {"scenario": "task"},
    "permuted": {"stream": "permuted", "scenario": "task", "options": {"network.hidden": (8,)}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Function of a key of KINDS that gives the folder of its exported models, trained once."""

    @functools.cache
    def models(kind):
        config = exported.trained(tmp_path_factory.mktemp(kind), **KINDS[kind])
        return pathlib.Path(config.export_dir, config.name)

    return models


class InProcess:
    """Answers of SavedModels in a folder, in place of those of a server.

    Attributes:
      states: `{version: state}`.
      hidden: names of signatures that it does not have.
      rows: the number of rows of every request for classes.
      refusals: errors that are raised before anything is answered.
      largest: rows that one request may have.
    """

    def __init__(self, folder):
        self._models = {
            int(version.name): Servable("m", int(version.name), version)
            for version in saved_model.versions(folder)
        }
        self.states = dict.fromkeys(self._models, "AVAILABLE")
        self.hidden, self.rows, self.refusals, self.largest = (), [], [], 10**9

    def statuses(self):
        return self.states

    def metadata(self, version):
        found = self._models[version].signature_defs
        return {name: found[name] for name in found if name not in self.hidden}

    def predict(self, inputs, version, signature, known, outputs):
        if "images" in inputs:
            self.rows.append(len(inputs["images"]))
            if self.refusals:
                raise self.refusals.pop()
            if self.rows[-1] > self.largest:
                text = f"Task size {self.rows[-1]} was larger than maximum input batch size {self.largest}"
                raise EndpointError(f"The server refuses: {text}.", "INVALID_ARGUMENT", text)
        return self._models[version].call(signature, inputs, outputs)


def endpoint_of(folder):
    """An `Endpoint` of the SavedModels in a folder, and its `InProcess`."""
    endpoint = Endpoint("http://127.0.0.1:1/v1/models/m")
    endpoint._transport = InProcess(folder)
    return endpoint, endpoint._transport


def edited(models, folder, number, **changes):
    """A copy of exported models in which one says something else of itself."""
    shutil.copytree(models, folder)
    program = folder / str(number) / "saved_model.pb"
    about = saved_model.read_description(models / str(number))
    old, new = (json.dumps(text).encode() for text in (about, {**about, **changes}))
    content = program.read_bytes()
    assert content.count(old) == 1
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString(content)
    nodes = [node for f in proto.meta_graphs[0].graph_def.library.function for node in f.node_def]
    for node in nodes:
        if "value" in node.attr and node.attr["value"].tensor.string_val[:] == [old]:
            node.attr["value"].tensor.string_val[:] = [new]
    program.write_bytes(proto.SerializeToString())
    return folder


def refusal(call):
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- equal to the files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_of_served_models_is_that_of_the_files(kind, run):
    endpoint, _ = endpoint_of(run(kind))
    expected = evaluate.accuracy_matrix(run(kind))
    np.testing.assert_array_equal(evaluation.accuracy_matrix(endpoint), expected)
    assert len(np.unique(expected[1:])) > 2


def test_requests_become_smaller_until_the_server_takes_them_and_stay_so(run):
    endpoint, server = endpoint_of(run("class"))
    server.largest = 6
    R = evaluation.accuracy_matrix(endpoint)
    np.testing.assert_array_equal(R, evaluate.accuracy_matrix(run("class")))
    refused = [rows for rows in server.rows if rows > server.largest]
    assert refused == server.rows[:2] == [20, 10]
    server.largest = 0
    assert refusal(lambda: evaluation.accuracy_matrix(endpoint)).startswith(
        "The server refuses: Task size 1 "
    )


def test_requests_are_of_few_bytes_where_images_are_large(run, monkeypatch):
    endpoint, server = endpoint_of(run("class"))
    monkeypatch.setattr(evaluation, "BYTES", 5 * 4 * 16)  # of images of 4 x 4
    np.testing.assert_array_equal(
        evaluation.accuracy_matrix(endpoint), evaluate.accuracy_matrix(run("class"))
    )
    assert max(server.rows) == 5


def test_a_busy_server_is_asked_again_and_at_last_no_more(run, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    endpoint, server = endpoint_of(run("class"))
    busy = EndpointError("The server is busy.", "RESOURCE_EXHAUSTED", "The queue is full.")
    server.refusals = [busy] * 3
    np.testing.assert_array_equal(
        evaluation.accuracy_matrix(endpoint), evaluate.accuracy_matrix(run("class"))
    )
    assert waits == list(evaluation.WAITS[:3])
    server.refusals = [busy] * 5
    assert refusal(lambda: evaluation.accuracy_matrix(endpoint)) == "The server is busy."


def test_the_command_needs_a_folder_or_an_address_of_a_usable_form():
    assert "or --endpoint, where they are served." in refusal(lambda: evaluate.parse(["evaluate"]))
    said = refusal(lambda: evaluate.parse(["evaluate", "--endpoint=localhost:8501"]))
    assert said.startswith(
        "The endpoint 'localhost:8501' is unusable; possible: http://host:port/v1/models/NAME"
    )


# ---- models that are not those of a stream ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({}, "has no version that can be asked: it knows no version."),
        ({1: "END"}, "has no version that can be asked: version 1 is END."),
        (
            {1: "END", 3: "AVAILABLE"},
            "lacks the versions of the tasks 1, 2 of 3 (version 1 is END, version 3 is AVAILABLE); "
            "TensorFlow Serving serves the latest alone without model_version_policy",
        ),
    ],
)
def test_versions_that_are_missing_are_named(states, said, run):
    endpoint, server = endpoint_of(run("class"))
    server.states = states
    assert said in refusal(lambda: evaluation.accuracy_matrix(endpoint))


def test_versions_so_far_give_the_rows_so_far(run):
    endpoint, server = endpoint_of(run("class"))
    expected = evaluation.accuracy_matrix(endpoint)
    server.states = {1: "AVAILABLE", 2: "AVAILABLE"}
    np.testing.assert_array_equal(evaluation.accuracy_matrix(endpoint), expected[:3])


def test_models_that_do_not_describe_themselves_need_a_stream(run):
    endpoint, server = endpoint_of(run("class"))
    server.hidden = ("description",)
    said = refusal(lambda: evaluation.accuracy_matrix(endpoint))
    assert "version 3, does not say what it has learned; give --saved_model=folder of the same run" in said
    stream = evaluation.described_stream(endpoint_of(run("class"))[0], 1)
    R = evaluation.accuracy_matrix(endpoint, stream=stream)
    np.testing.assert_array_equal(R, evaluate.accuracy_matrix(run("class")))


@pytest.mark.parametrize("kind", ["task", "permuted"])
def test_models_of_another_scenario_are_refused(kind, run):
    stream = evaluation.described_stream(endpoint_of(run(kind))[0], 1)
    endpoint, _ = endpoint_of(run("class"))
    said = refusal(lambda: evaluation.accuracy_matrix(endpoint, stream=stream))
    assert said.endswith(f"for {stream.name}: it has no signature with_task from images and task to class.")


def test_models_of_another_shape_are_refused(run):
    stream = evaluation.described_stream(endpoint_of(run("permuted"))[0], 1)
    endpoint, _ = endpoint_of(run("task"))
    said = refusal(lambda: evaluation.accuracy_matrix(endpoint, stream=stream))
    assert "it takes images [4, 4, 1] and has outputs [6], and permuted " in said
    assert said.endswith(" has [4, 4, 1] and [18].")


@pytest.mark.parametrize(
    ("number", "changes", "said"),
    [
        (2, {"task": 3}, "version 2, is the model after task 3: the versions were exchanged."),
        (3, {"settings_hash": "abcdef"}, "version 3, is of another run (settings abcdef, not "),
        (
            3,
            {"settings": {"program": "keras_cl.learn"}},
            "its stream is known in Python alone: call keras_cl.",
        ),
        (
            3,
            {"settings": {"program": "pipelines.run"}},
            "version 3, learned examples that arrived as files: its matrix is matrix.csv in the Evaluation",
        ),
        (3, {"settings": 1}, "is of another program; give --saved_model"),
        (3, {"settings": {"stream": ["x"]}}, "is of another program; give --saved_model"),
        (3, {"settings": {"stream": "missing"}}, "stream 'missing' is not known; possible: "),
        (
            3,
            {"settings": {"stream": "os.path:join"}},
            "a stream of code outside the library",
        ),
        (3, {"settings": {"dataset": "a/b.py:f"}}, "a dataset of code outside the library, which is not run"),
    ],
)
def test_what_models_say_of_themselves_has_to_fit(number, changes, said, run, tmp_path):
    endpoint, _ = endpoint_of(edited(run("class"), tmp_path / "edited", number, **changes))
    assert said in refusal(lambda: evaluation.accuracy_matrix(endpoint))
