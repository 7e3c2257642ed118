"""`python -m keras_cl.serve`: its flags, and a server in a process of its own."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
import pytest
import tensorflow as tf
from processes import PATIENCE, sentence, start
from served import TASKS, answers, damage, images, push, wait_until
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_cl.errors import InputError
from keras_cl.serve import __main__ as program
from keras_cl.serve.limits import Limits
from keras_cl.serve.model_config import ModelConfig, Policy
from keras_cl.serve.models import Models
from keras_cl.serve.web import Site, bound


def parsed(*flags):
    return program.parse(["serve", *flags])


# ---- flags -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "Give --saved_model"),
        (["--saved_model=a", "--model_config_file=b"], "Give --saved_model"),
        (["--model_config_file=b", "--model_name=c"], "--model_name has no effect"),
        (["--saved_model=a", "--port=70000"], "--port=70000; a port is 0 to 65535"),
        (["--saved_model=a", "--port=8500"], "must differ"),
        (["--saved_model=a", "--max_batch_size=0"], "--max_batch_size=0; it must be positive"),
        (["--saved_model=a", "--allowed_batch_sizes=8,4"], "--allowed_batch_sizes=8,4; they increase up to"),
        (["--saved_model=a", "--file_system_poll_wait_seconds=-1"], "must be at least 0"),
        (["--saved_model=a", "b"], "is not a flag"),
        (["--saved_models=a"], "Did you mean --saved_model"),
    ],
)
def test_wrong_flags_are_refused_in_one_sentence(flags, said):
    with pytest.raises(InputError, match=re.escape(said)):
        parsed(*flags)


def test_flags_say_what_is_served(tmp_path):
    folder = tmp_path / "digits"
    assert program.configs_of(parsed(f"--saved_model={folder}")) == [
        ModelConfig("digits", folder, Policy("all", ()))
    ]
    given = parsed(f"--saved_model={folder}", "--model_name=mine", "--model_version_policy=latest:2")
    assert program.configs_of(given) == [ModelConfig("mine", folder, Policy("latest", (2,)))]
    with pytest.raises(InputError, match="a name is part of an address"):
        program.configs_of(parsed(f"--saved_model={folder}", "--model_name=a/b"))


def test_a_folder_that_cannot_be_served_is_refused_in_one_sentence(exported, tmp_path):
    def refusal(folder, *flags):
        given = parsed(f"--saved_model={folder}", "--file_system_poll_wait_seconds=0", *flags)
        with pytest.raises(InputError) as refused:
            program.loaded(program.configs_of(given), given)
        return str(refused.value)

    assert refusal(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    (tmp_path / "1").mkdir()
    assert "holds no version of a model" in refusal(tmp_path)
    assert "it has 1, 2, 3" in refusal(exported, "--model_version_policy=specific:7")
    assert "is a version itself" in refusal(exported / "1")
    (tmp_path / "run" / "seed_4" / "1").mkdir(parents=True)
    assert "serve one, such as seed_4" in refusal(tmp_path / "run")
    push(exported / "1", tmp_path / "damaged")
    damage(tmp_path / "damaged" / "1")
    assert "No version of damaged in" in refusal(tmp_path / "damaged")


def test_a_taken_port_is_refused_in_one_sentence():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            bound("127.0.0.1", port)
    with pytest.raises(InputError, match="cannot listen at nowhere.invalid:0"):
        bound("nowhere.invalid", 0)


def test_what_is_said_may_be_read_by_nobody(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    program._say("version 2 is available")


class Grpc:
    """A gRPC server that never ends."""

    def stop(self, grace):
        return threading.Event()


def test_an_end_takes_no_longer_than_it_may(exported):
    limits, place = Limits(drain_seconds=0.5), bound("127.0.0.1", 0)
    models = Models([ModelConfig("tiny", exported)])
    models.start()

    async def endless(scope, receive, send):
        await asyncio.sleep(60)

    site = Site(endless, place, limits)
    with models.leased("tiny"), socket.create_connection(place.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        program.end(Grpc(), site, models, limits.drain_seconds)
        assert 0.5 <= time.monotonic() - began < 30  # not the 60 of the request


# ---- a process of its own --------------------------------------------------------------------------------


class Server:
    """`python -m keras_cl.serve` in a process of its own."""

    def __init__(self, folder, *flags):
        flags = [f"--saved_model={folder}", "--port=0", "--grpc_port=0", *flags]
        self.process = start("-m", "keras_cl.serve", *flags)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if found := re.match(r"serving (\S+) on (http://\S+) and grpc://(\S+)$", line):
                self.name, self.url, self.address = found.groups()
                break
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def states(self):
        found = self.get(f"/v1/models/{self.name}")["model_version_status"]
        return {int(one["version"]): one["state"] for one in found}

    def rest(self, x):
        body = json.dumps({"inputs": x.tolist()}).encode()
        asked = urllib.request.Request(f"{self.url}/v1/models/{self.name}:predict", body)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return json.load(answer)["outputs"]["class"]

    def end(self, number=signal.SIGTERM):
        """Sends a signal; returns the exit code and what was said on standard error."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it then says where its threads are
            raise AssertionError(f"the server is stuck:\n{self.process.stderr.read()}") from None
        return code, self.process.stderr.read()


@contextlib.contextmanager
def server(folder, *flags):
    """Yields a `Server`, which has ended after the block."""
    found = Server(folder, *flags)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def predict_request(name, x):
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = name
    asked.inputs["images"].CopyFrom(tf.make_tensor_proto(x))
    return asked


def test_a_server_answers_over_both_interfaces_and_ends_at_sigterm(exported):
    x = images(3)
    expected = answers(exported / "3", x)["class"].tolist()
    with server(exported) as running:
        assert running.name == "tiny"
        assert running.states() == dict.fromkeys((1, 2, 3), "AVAILABLE")
        assert running.rest(x) == expected
        with grpc.insecure_channel(running.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            assert list(predict(predict_request("tiny", x)).outputs["class"].int64_val) == expected
        assert running.end() == (0, "")


@pytest.mark.slow
def test_ctrl_c_ends_a_server_that_is_still_loading(tmp_path):
    (tmp_path / "tiny" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "tiny" / "1" / "saved_model.pb")  # whoever reads it waits
    loading = start("-m", "keras_cl.serve", f"--saved_model={tmp_path / 'tiny'}", "--port=0", "--grpc_port=0")
    with (tmp_path / "tiny" / "1" / "saved_model.pb").open("wb"):
        loading.send_signal(signal.SIGINT)
        try:
            _, errors = loading.communicate(timeout=PATIENCE)
        finally:
            loading.kill()
    assert (loading.returncode, errors) == (130, "Interrupted.\n")


@pytest.mark.slow
def test_two_servers_do_not_share_a_port(exported):
    with server(exported) as running:
        taken = running.address.rpartition(":")[2]
        for flag in (f"--grpc_port={taken}", f"--port={running.url.rpartition(':')[2]}"):
            other = start("-m", "keras_cl.serve", f"--saved_model={exported}", "--port=0", flag)
            _, errors = other.communicate(timeout=PATIENCE)
            assert other.returncode == 1
            assert "Address already in use" in sentence(errors)


class Load:
    """Clients of a server that ask without a pause, and keep all that is not a right answer.

    Args:
      running: a `Server`.
      expected: dict of the right classes of `x`, by version.
      x: images.
    """

    def __init__(self, running, expected, x):
        self.answered, self.wrong, self.lost = [], [], []
        self._running, self._expected, self._x = running, expected, x
        self._ended = threading.Event()
        clients = [self._grpc] * 4 + [self._rest] * 4
        self._threads = [threading.Thread(target=client) for client in clients]
        for thread in self._threads:
            thread.start()

    def end(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _grpc(self):
        with grpc.insecure_channel(self._running.address) as channel:
            predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            asked = predict_request(self._running.name, self._x)
            while not self._ended.is_set():
                try:
                    answer = predict(asked, timeout=PATIENCE)
                except grpc.RpcError as error:
                    self.lost.append(f"{error.code()}: {error.details()}")
                    continue
                version = answer.model_spec.version.value
                right = list(answer.outputs["class"].int64_val) == self._expected[version]
                (self.answered if right else self.wrong).append(version)

    def _rest(self):
        while not self._ended.is_set():
            try:
                found = self._running.rest(self._x)
            except OSError as error:
                self.lost.append(str(error))
                continue
            versions = [version for version, right in self._expected.items() if right == found]
            (self.answered if versions else self.wrong).append(versions[:1])


@pytest.mark.slow
def test_no_answer_is_wrong_and_none_is_lost_while_versions_come_go_and_are_damaged(exported, tmp_path):
    x = images(16)
    served = tmp_path / "tiny"
    expected = {
        version: answers(exported / str((version - 1) % TASKS + 1), x)["class"].tolist()
        for version in range(1, 10)
    }
    push(exported / "1", served)
    flags = ["--model_version_policy=latest", "--file_system_poll_wait_seconds=0.05"]
    with server(served, *flags) as running:
        load = Load(running, expected, x)
        for version in range(2, 10):
            source = shutil.copytree(exported / str((version - 1) % TASKS + 1), tmp_path / str(version))
            if version % 3 == 0:  # one that is refused, and is replaced by one that is whole
                damage(source)
                push(source, served)
                wait_until(lambda version=version: running.states().get(version) == "END")
                shutil.rmtree(served / str(version))
                shutil.copytree(exported / "3", served / str(version), copy_function=shutil.copy)
            else:
                push(source, served)
            wait_until(lambda version=version: running.states().get(version) == "AVAILABLE")
            damage(served / str(version))  # what is loaded is not read again
            shutil.rmtree(served / str(version - 1))
            wait_until(lambda version=version: running.states()[version - 1] == "END")
        load.end()
        assert (load.wrong, load.lost) == ([], [])
        assert len(load.answered) > 100
        assert {9} <= {version for version in load.answered if isinstance(version, int)}
        assert running.end() == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_are_answered_when_the_server_ends(exported, number):
    x = images(16)
    expected = {version: answers(exported / str(version), x)["class"].tolist() for version in (1, 2, 3)}
    with server(exported) as running:
        load = Load(running, expected, x)
        wait_until(lambda: len(load.answered) > 100)
        began = time.monotonic()
        code, errors = running.end(number)
        assert time.monotonic() - began < Limits.drain_seconds  # so nothing that was begun was cut off
        load.end()
    assert (code, errors) == (0, "")
    assert load.wrong == []
    # From then on nothing is begun: a connection is refused, or closed before its request has arrived, and
    # what gRPC has received and not begun is cancelled.
    unheard = ("UNAVAILABLE", "CANCELLED", "refused", "reset by peer", "Broken pipe", "without response")
    assert not [said for said in load.lost if not any(word in said for word in unheard)]


@pytest.mark.slow
def test_another_address_is_served_where_it_is_asked_for(exported):
    with server(exported, "--host=::1", "--model_version_policy=specific:1") as running:
        assert running.url.startswith("http://[::1]:")
        assert running.states() == {1: "AVAILABLE"}
        os.kill(running.process.pid, signal.SIGINT)
        assert running.process.wait(PATIENCE) == 0
