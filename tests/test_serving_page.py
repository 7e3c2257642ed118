"""docs/serving.md: its configuration files are read, its commands and programs are run in their order."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from processes import free_ports, said, start
from served import wait_until
from tensorflow_serving.config import model_server_config_pb2

from keras_cl.serve.client import Endpoint, EndpointError
from results import pages

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs/serving.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.S)
PATH = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
WITH_OUR_PYTHON = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": PATH}

KIND = descriptor_pb2.FieldDescriptorProto
INT, TEXT, MESSAGE, BOOL = KIND.TYPE_INT64, KIND.TYPE_STRING, KIND.TYPE_MESSAGE, KIND.TYPE_BOOL
NUMBER = ".google.protobuf.Int64Value"
# Of TensorFlow Serving's session_bundle_config.proto and monitoring_config.proto, which the package
# tensorflow-serving-api does not contain.
FIELDS = {
    "BatchingParameters": [
        ("max_batch_size", 1, MESSAGE, NUMBER),
        ("batch_timeout_micros", 2, MESSAGE, NUMBER),
        ("max_enqueued_batches", 3, MESSAGE, NUMBER),
        ("num_batch_threads", 4, MESSAGE, NUMBER),
        ("allowed_batch_sizes", 6, INT, ""),
    ],
    "PrometheusConfig": [("enable", 1, BOOL, ""), ("path", 2, TEXT, "")],
    "MonitoringConfig": [("prometheus_config", 1, MESSAGE, ".PrometheusConfig")],
}


def message(name):
    """An empty message of one of FIELDS."""
    file = descriptor_pb2.FileDescriptorProto(name="serving_page.proto", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for kind, fields in FIELDS.items():
        made = file.message_type.add(name=kind)
        for field, number, of, type_name in fields:
            label = 3 if field.startswith("allowed") else 1  # repeated, else optional
            made.field.add(name=field, number=number, type=of, type_name=type_name or None, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()


def block(start):
    """The only block of the page that starts so."""
    (found,) = (text for _, text in BLOCKS if text.startswith(start))
    return found


def test_the_model_config_is_one_of_tensorflow_serving():
    config = text_format.Parse(block("model_config_list"), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("digits", "/models/digits", "tensorflow")
    assert model.model_version_policy.WhichOneof("policy_choice") == "all"
    assert dict(model.version_labels) == {"stable": 4, "canary": 5}


def test_the_batching_parameters_are_those_of_tensorflow_serving():
    parameters = text_format.Parse(block("max_batch_size"), message("BatchingParameters"))
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] == parameters.max_batch_size.value == 128


def test_the_monitoring_config_is_one_of_tensorflow_serving():
    config = text_format.Parse(block("prometheus_config"), message("MonitoringConfig"))
    assert config.prometheus_config.enable
    assert f"GET {config.prometheus_config.path}`" in PAGE


def test_the_manifest_is_an_inference_service():
    (text,) = (text for kind, text in BLOCKS if kind == "yaml")
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = manifest["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "tensorflow"}
    assert re.fullmatch(r"(pvc|gs|s3)://\S+", model["storageUri"])


def test_the_docker_command_mounts_what_the_files_name():
    command = shlex.split(block("docker run").replace("$PWD", "/here"))
    mounted = dict(command[place + 1].split(":") for place, word in enumerate(command) if word == "-v")
    assert mounted == {"/here/saved_models/digits": "/models/digits", "/here/serving": "/config"}
    files = [word.partition("=")[2] for word in command if "_file=" in word]
    assert files == [f"/config/{name}.config" for name in ("models", "batching", "monitoring")]
    assert all(f"`{pathlib.Path(file).name}`" in PAGE for file in files)


@pytest.mark.slow
def test_the_commands_and_programs_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ports = free_ports(2)

    def here(text):
        return text.replace("8501", str(ports[0])).replace("8500", str(ports[1]))

    blocks = [block for block in pages.blocks(ROOT / "docs/serving.md") if not block.reason]
    train, *rest = (block for block in blocks if block.commands or block.language == "python")
    (command,) = pages.commands(train.text)
    assert said(*command[3:], "--epochs=1", "--jit=off", "--network.hidden=16")[0] == 0
    (serve,) = (words for block in rest for words in pages.commands(block.text) if "keras_cl.serve" in words)
    server = start(*serve[1:], f"--port={ports[0]}", f"--grpc_port={ports[1]}", cwd=tmp_path)
    try:
        wait_until(lambda: served(here("http://localhost:8501/v1/models/digits")) == [1, 2, 3, 4, 5])
        ran = [block for block in rest if not (block.commands and "keras_cl.serve" in block.text)]
        for block in ran:
            if block.language == "python":
                exec(here(block.text), {})
                continue
            for line in here(block.text).splitlines():
                bash = ["bash", "-c", line]
                done = subprocess.run(bash, env=WITH_OUR_PYTHON, capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, done.stderr
                assert "predictions" in done.stdout or "curl" not in line, done.stdout
        assert len(ran) == 6
    finally:
        server.terminate()
        server.communicate(timeout=60)


def served(address):
    """The versions that a server answers for; none if it does not answer yet."""
    try:
        return Endpoint(address).versions()
    except EndpointError:
        return []


def test_every_flag_of_the_server_is_in_the_table():
    from keras_cl.serve.__main__ import FLAGS

    table = PAGE.partition("| flag | meaning |")[2].partition("\n\n")[0]
    assert {f"--{flag.name}" for flag in FLAGS} - {"--device", "--verbosity"} == set(
        re.findall(r"--\w+", table)
    )
