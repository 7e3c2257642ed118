"""Runs jobs on a Ray cluster, one Ray task a job; `remote.py` is what a worker does.

Workers get the package of this library with each run, so that all have the same version; everything else must
be installed there. Where workers do not share the folder of the runs, a run comes back through Ray's object
store when it is finished.
"""

import collections
import contextlib
import os
import pathlib
import socket
import sys
import time
import uuid

from keras_cl.compare import remote
from keras_cl.compare.jobs import Outcome, Watch
from keras_cl.errors import InputError, require, require_installed

TRIES = 3  # of a run whose worker dies
PATIENCE = 10  # seconds for a connection
POLL = 0.5  # seconds between two looks at the progress
TOKEN = " (a cluster that asks for a token needs RAY_AUTH_MODE=token here)"
SENT = ("TFDS_DATA_DIR", "KERAS_HOME")  # variables of this process that workers get too


def run(jobs, options, watch=None):
    """Runs jobs, and yields their `Outcome`s in the order in which they end.

    Args:
      jobs: `Job`s.
      options: `Settings` of a comparison, of which ray_address, jobs, cpus, gpus and runs_dir count.
      watch: `Watch` that is told what happens.

    Raises:
      InputError: if Ray is missing, cannot be reached, or can never have the resources of a run.
    """
    require_installed("ray", "ray")
    jobs, watch = list(jobs), watch or Watch()
    with _connected(options, jobs) as ray, _token(options.runs_dir) as token:
        board = ray.remote(num_cpus=0)(remote.Board).remote()
        task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=TRIES - 1, max_calls=1)(
            remote.perform
        )
        tasks = _Tasks(ray, lambda job: task.remote(job, token, board), board, watch)
        try:
            yield from tasks.outcomes(jobs, options.jobs or len(jobs))
        finally:
            tasks.cancel()
            ray.kill(board)


class _Tasks:
    """The Ray tasks of jobs.

    Args:
      ray: the module.
      submit: function of a job that returns the reference of its task.
      board: actor of a `remote.Board`.
      watch: `Watch`.
    """

    def __init__(self, ray, submit, board, watch):
        self._ray, self._submit, self._board, self._watch = ray, submit, board, watch
        self._jobs, self._began = {}, {}

    def outcomes(self, jobs, most):
        """Yields the `Outcome`s of jobs, of which at most `most` are submitted at a time."""
        waiting = collections.deque(jobs)
        while waiting or self._jobs:
            while waiting and len(self._jobs) < most:
                job = waiting.popleft()
                self._jobs[self._submit(job)] = job
            ended, _ = self._ray.wait(list(self._jobs), timeout=POLL)
            self._tell()
            for reference in ended:
                job = self._jobs.pop(reference)
                self._begin(job)
                seconds = time.monotonic() - self._began[job.name]
                outcome = _outcome(self._ray, reference, job, seconds)
                self._watch.ended(outcome)
                yield outcome

    def cancel(self):
        """Ends the tasks that have not ended."""
        for reference in self._jobs:
            self._ray.cancel(reference, force=True)

    def _tell(self):
        running = {job.name: job for job in self._jobs.values()}
        for name, fraction, text in self._ray.get(self._board.taken.remote()):
            if name in running:  # a line can come after the end
                self._begin(running[name])
                self._watch.progress(running[name], fraction, text)

    def _begin(self, job):
        if job.name not in self._began:
            self._began[job.name] = time.monotonic()
            self._watch.started(job)


def _outcome(ray, reference, job, seconds):
    try:
        outcome, parts = ray.get(reference)
        return remote.brought_back(outcome, parts)
    except (ray.exceptions.RayError, OSError) as error:
        return Outcome(job, "failed", error=_reason(ray, error), seconds=seconds)


def _reason(ray, error):
    """One sentence about the failure of a task."""
    said = str(InputError(str(error).strip().partition("\n")[0].rstrip(".")))
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "The memory of its machine is exhausted; give more --cpus, so that fewer runs share a machine."
    if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.NodeDiedError):
        return f"Its worker died {TRIES} times: {said}."
    return f"Ray could not run it: {said}."


@contextlib.contextmanager
def _connected(options, jobs):
    """Yields the module ray, connected to the cluster, or to one of this machine that ends with the block."""
    import ray

    own = not ray.is_initialized()
    if own:
        address = options.ray_address or os.environ.get("RAY_ADDRESS") or None
        _require_heard(address)
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        quiet |= {} if address else {"include_dashboard": False}
        try:
            ray.init(address or "local", runtime_env=_environment(options, jobs), **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            told = "" if os.environ.get("RAY_AUTH_MODE") else TOKEN
            raise InputError(f"Ray at {address or 'this machine'} does not answer: {error}{told}") from error
    try:
        if not options.ray_address:
            _require_resources(ray, options)
        yield ray
    finally:
        if own:
            ray.shutdown()


def _require_heard(address):
    """Raises `InputError` if nobody listens at host:port or ray://host:port; Ray would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise InputError(f"Ray at {address} does not answer: {error.strerror or error}.") from None


def _require_resources(ray, options):
    """Raises `InputError` if no machine can have the resources of a run, for which Ray would wait."""
    wanted = {"CPU": options.cpus, "GPU": options.gpus}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    require(
        any(all(machine.get(name, 0) >= wanted[name] for name in wanted) for machine in machines),
        f"No machine has the --cpus={options.cpus:g} and --gpus={options.gpus:g} of a run; there are "
        + ", ".join(f"{m.get('CPU', 0):g} CPUs and {m.get('GPU', 0):g} GPUs" for m in machines)
        + ".",
    )


def _environment(options, jobs):
    """The runtime environment of the workers: packages of the jobs, and variables."""
    names = {"keras_cl", *(job.function.partition(".")[0] for job in jobs)}
    packages = [sys.modules[name].__path__[0] for name in names if hasattr(sys.modules.get(name), "__path__")]
    threads = str(max(1, int(options.cpus)))
    variables = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    if options.gpus % 1:  # several runs share a GPU, of which TensorFlow would take all memory
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    variables |= {name: os.environ[name] for name in SENT if name in os.environ}
    return {"py_modules": packages, "env_vars": variables, "excludes": ["__pycache__"]}


@contextlib.contextmanager
def _token(folder):
    """Yields a `remote.Token`, by whose file a worker knows whether it shares the folder of the runs."""
    folder = pathlib.Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f".shared-{uuid.uuid4().hex}"
    file.touch()
    try:
        yield remote.Token(str(file), os.getcwd())
    finally:
        file.unlink(missing_ok=True)
