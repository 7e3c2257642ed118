"""A search with several processes: Keras Tuner's chief chooses configurations, workers try them.

The environment sets the role of a process: KERASTUNER_TUNER_ID is "chief" or the worker's own name,
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT are the chief's address. All processes share the search's
directory.

Keras Tuner's own chief waits forever for the trial of a worker that died. Here a worker holds a lock that the
operating system releases when the process ends; the chief gives the trial of a dead worker to another.
"""

import contextlib
import os
import time
from concurrent import futures

from keras_cl.errors import InputError, require
from keras_cl.runs.files import try_lock

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
TICK = 0.2  # seconds between checks of which workers are alive
CHIEF = "chief"


def role():
    """Name of this process, "chief" or a worker's; "" if it searches alone.

    Raises:
      InputError: if some of the variables are set and others are not.
    """
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    require(
        not missing or len(missing) == len(VARIABLES) or missing == list(VARIABLES[1:]),
        f"A search by several processes needs the environment variable {' and '.join(missing)} too.",
    )
    name = "" if missing else os.environ[VARIABLES[0]]
    return CHIEF if CHIEF in name else name


def address():
    """Address of the chief, "ip:port"."""
    return ":".join(os.environ[name] for name in VARIABLES[1:])


@contextlib.contextmanager
def alive(folder, worker):
    """Holds the lock of a worker inside the `with` block, which shows that the worker is alive."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{worker}.lock", "a") as file:
        require(_locked(file, tries=10), f"There is a worker {worker} already; give each a name of its own.")
        yield


def dead(folder, worker):
    """Whether no process with a worker's name is alive."""
    with open(folder / f"{worker}.lock", "a") as file:
        return _locked(file)


def wait_for_chief(patience):
    """Waits until the chief answers.

    Raises:
      InputError: if it does not answer within `patience` seconds.
    """
    import grpc

    with grpc.insecure_channel(address()) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=patience)
        except grpc.FutureTimeoutError:
            raise InputError(f"No chief answered at {address()} within {patience:g} seconds.") from None


def work(tuner):
    """Runs trials until the chief has no more."""
    import grpc

    try:
        tuner.search()
    except grpc.RpcError:
        raise InputError(f"The chief at {address()} is gone; start it again, and then this worker.") from None


def serve(oracle, folder, patience):
    """Serves trials to workers until none is left and no worker is alive.

    Args:
      oracle: Keras Tuner's oracle.
      folder: folder of the workers' locks.
      patience: seconds to wait while no worker is alive and trials are left.
    """
    server, servicer = _server(oracle)
    waiting = 0.0
    while waiting < patience:
        time.sleep(TICK)
        living = _living(folder)
        for worker in set(oracle.ongoing_trials) - living:
            _release(oracle, worker)
        if servicer.stop_triggered and not living and not oracle.ongoing_trials and not oracle._retry_queue:
            break
        waiting = 0.0 if living else waiting + TICK
    server.stop(grace=1).wait()


def _server(oracle):
    """Keras Tuner's service around an oracle, started."""
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    server, servicer = grpc.server(futures.ThreadPoolExecutor(max_workers=1)), OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address())
    except RuntimeError:
        raise InputError(f"The chief cannot have the address {address()}; it may be taken.") from None
    server.start()
    return server, servicer


def _living(folder):
    return {file.stem for file in folder.glob("*.lock") if not dead(folder, file.stem)}


def _release(oracle, worker):
    """Takes back the trial of a dead worker and queues it again."""
    from keras_tuner import synchronized

    @synchronized
    def release(oracle):
        trial = oracle.ongoing_trials.pop(worker, None)
        if trial is not None:
            oracle._retry_queue.append(trial.trial_id)
        oracle.tuner_ids.discard(worker)

    release(oracle)


def _locked(file, tries=1):
    """Whether the lock of a file was acquired; retries, as a check by another process holds it briefly."""
    for attempt in range(tries):
        time.sleep(TICK / 4 if attempt else 0)
        if try_lock(file):
            return True
    return False
