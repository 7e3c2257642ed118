"""A process that does one job after the other, on cores of its own.

It ends when the process that started it closes the connection or dies, in the middle of a job too: what a run
has finished by then is on disk.
"""

import contextlib
import dataclasses
import gc
import json
import os
import queue
import sys
import threading
from multiprocessing.connection import Connection


def main(descriptor, cores):
    """Does the jobs that arrive.

    Args:
      descriptor: file descriptor of the connection.
      cores: numbers of the cores to run on; () for all.
    """
    _pin(cores)  # before TensorFlow starts, which makes a thread for every core that it may use
    from keras_cl.compare.jobs import Job, perform, seldom

    connection, jobs, lock = Connection(descriptor), queue.SimpleQueue(), threading.Lock()
    report = lambda fraction, text: _send(connection, lock, {"fraction": fraction, "text": text})  # noqa: E731
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    while True:
        job = Job(**jobs.get())
        outcome = perform(job, seldom(report))
        _forget()
        _send(connection, lock, {**dataclasses.asdict(outcome), "job": job.name})


def _pin(cores):
    if not cores:
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    else:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ[name] = str(len(cores))


def _listen(connection, jobs):
    """Puts the jobs that arrive into a queue; ends the process when nobody is there to send any."""
    try:
        while True:
            jobs.put(json.loads(connection.recv_bytes()))
    except (EOFError, OSError):
        os._exit(0)


def _send(connection, lock, message):
    with lock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send_bytes(json.dumps(message).encode())


def _forget():
    """Leaves nothing of a job to the next one: names of layers, compiled functions, memory."""
    if "tf_keras" in sys.modules:
        sys.modules["tf_keras"].backend.clear_session()
    gc.collect()


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(core) for core in sys.argv[2].split(",") if core])
