"""The workers that TF_CONFIG names, and their meeting: TensorFlow alone waits for them without end."""

import contextlib
import json
import socket
import time

from keras_cl.errors import InputError, require

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
PATIENCE = 300.0  # seconds that a worker waits for the others to start
AGAIN = 0.2  # seconds between two attempts to reach them


def addresses(text):
    """Addresses `host:port` of this worker and of the others, from the text of TF_CONFIG.

    Raises:
      InputError: unless it names the workers and says which one this is.
    """
    needed = f"--strategy=multiworker needs the environment variable TF_CONFIG, as in TF_CONFIG='{EXAMPLE}'"
    require(text, f"{needed}; it is not set.")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        jobs, kind, index = set(cluster), task["type"], task["index"]
        own = cluster[kind][index]
        everyone = [address for job in cluster.values() for address in job]
        right = jobs <= {"chief", "worker"} and all(map(_port, everyone)) and index >= 0
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        right = False
    require(right, f"{needed}; it is {text}.")
    return own, [address for address in everyone if address != own]


def meet(own, others, patience=None):
    """Waits until a process listens at each of the other addresses; listens at its own meanwhile.

    Args:
      own: address of this worker.
      others: addresses of the others.
      patience: seconds to wait, by default `PATIENCE`.

    Raises:
      InputError: if some do not answer in that time, or this worker cannot use its port.
    """
    patience = PATIENCE if patience is None else patience
    end = time.monotonic() + patience
    with _listening(own) if others else contextlib.nullcontext():
        while missing := [address for address in others if not _answers(address)]:
            require(
                time.monotonic() < end,
                f"No worker answered at {', '.join(missing)} within {patience:.0f} seconds; start the same "
                f"command there, or correct TF_CONFIG.",
            )
            time.sleep(AGAIN)


def _listening(address):
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", _port(address)), family=family, dualstack_ipv6=dual, backlog=128)
    except OSError as error:
        raise InputError(f"This worker could not be started at {address}: {error.strerror}.") from error


def _answers(address):
    try:
        socket.create_connection((address.rpartition(":")[0].strip("[]"), _port(address)), 1.0).close()
    except OSError:
        return False
    return True


def _port(address):
    return int(address.rpartition(":")[2])
