"""Several devices: every method comes to the weights and metrics that it has on one."""

import json
import socket
import threading
import time
import types

import numpy as np
import pytest
from helpers import blobs, saved_variables, silent
from processes import ROOT, arguments, free_ports, refusal, small, start

from keras_cl import train
from keras_cl.devices import cluster, device
from keras_cl.errors import InputError
from keras_cl.settings import catalog

METHODS = catalog.names("method")
TWO = types.SimpleNamespace(num_replicas_in_sync=2)  # all that is asked of a strategy before there is a model


def verdicts(how, *methods):
    """What `strategies.py` found on two devices, `{method: reason or ""}`, by default of all methods."""
    done = start(ROOT / "tests/strategies.py", how, *methods)
    output, errors = done.communicate(timeout=900)
    assert done.returncode == 0, errors
    found = {}
    for line in output.splitlines():
        found |= json.loads(line)
    return found


# ---- two devices -----------------------------------------------------------------------------------------


def test_two_devices_come_to_the_weights_and_metrics_of_one():
    few = ("er", "ewc", "finetune", "gem")  # a draw, a penalty, the plain step, a projection
    assert verdicts("quick", *few) == dict.fromkeys(few, "")


@pytest.mark.slow
def test_two_devices_come_to_the_weights_and_metrics_of_one_in_a_traced_graph():
    assert verdicts("traced") == dict.fromkeys(METHODS, "")


def test_one_device_needs_no_strategy():
    assert device.strategy("none") is None
    assert device.strategy("mirrored") is None  # a CPU is one device


# ---- what is refused before data is read -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"batch_size": 33},
            "--batch_size is 33, and each of 2 devices takes as many rows of a step: .* of 2",
        ),
        (
            {"batch_size": 32, "memory": "ring", "replay_batch_size": 5},
            "--replay_batch_size is 5, and each of 2",
        ),
        ({"jit": "on"}, "--jit=on compiles steps of one device, and there are several: give auto"),
    ],
)
def test_what_cannot_be_shared_is_refused(settings, said, tmp_path):
    config = small(tmp_path, dataset="mnist", data_dir=str(tmp_path / "nothing"), **settings)
    with pytest.raises(InputError, match=said):
        train.run(config, display=silent(), strategy=TWO)


def test_workers_have_to_be_told_of_each_other(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert refusal("--strategy=multiworker").endswith("; it is not set.")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_list_of_workers_is_shown_beside_a_right_one(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    said = refusal("--strategy=multiworker")
    assert f"TF_CONFIG='{cluster.EXAMPLE}'" in said and said.endswith(f"; it is {text}.")


def test_workers_that_do_not_answer_are_named_after_a_while():
    own, *others = [f"localhost:{port}" for port in free_ports(3)]
    listening = socket.create_server(("localhost", int(others[0].partition(":")[2])))
    with listening, pytest.raises(InputError) as error:
        cluster.meet(own, others, patience=0.3)
    assert str(error.value) == (
        f"No worker answered at {others[1]} within 0 seconds; start the same command there, or correct "
        f"TF_CONFIG."
    )


def test_workers_meet_whoever_comes_first():
    addresses, met, end = [f"localhost:{port}" for port in free_ports(3)], [], threading.Event()

    def worker(own):
        cluster.meet(own, [address for address in addresses if address != own], patience=20)
        met.append(own)
        with socket.create_server(("", int(own.partition(":")[2]))):  # as TensorFlow listens then
            end.wait(20)

    workers = [threading.Thread(target=worker, args=(address,)) for address in addresses]
    for each in workers:
        each.start()
        time.sleep(0.3)
    waited = time.monotonic()
    while len(met) < 3 and time.monotonic() - waited < 20:
        time.sleep(0.05)
    end.set()
    for each in workers:
        each.join(20)
    assert sorted(met) == sorted(addresses)


def test_a_port_that_is_taken_is_one_sentence():
    own, other = [f"localhost:{port}" for port in free_ports(2)]
    said = f"could not be started at {own}: Address already in use"
    with socket.create_server(("", int(own.partition(":")[2]))), pytest.raises(InputError, match=said):
        cluster.meet(own, [other], patience=5)


# ---- two workers -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_workers_come_to_the_weights_of_one_and_the_first_one_writes(tmp_path, monkeypatch):
    np.savez(tmp_path / "blobs.npz", **blobs((7, 8, 15, 16)))
    settings = {"method": "ewc", "memory": "reservoir", "batch_size": 8, "device": "cpu", "stream": "split"}
    settings |= {"scenario": "class", "dataset": str(tmp_path / "blobs.npz")}
    more = [f"--{name}={value}" for name, value in settings.items()]
    flags = arguments(tmp_path, *more, "--network.dropout=0.25", "--strategy=multiworker")
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
        workers.append(start("-m", "keras_cl.main", *flags))
    monkeypatch.setattr(train.figures, "draw", lambda *_: None)  # of the run in this process
    train.run(small(tmp_path / "one", {"network.dropout": 0.25}, **settings), display=silent())
    said = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert "on 2 devices (cpu)" in said[0][0] and said[1][0] == ""
    wanted, found = (
        saved_variables(f / "run/checkpoints/task_002/variables") for f in (tmp_path / "one", tmp_path)
    )
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-5, err_msg=key)
    assert (tmp_path / "models/run/2/saved_model.pb").exists()
    assert (tmp_path / "run/matrix.csv").read_text() == (tmp_path / "one/run/matrix.csv").read_text()
