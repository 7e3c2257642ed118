"""Runs jobs in worker processes of this machine, each on cores of its own."""

import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import wait

from keras_cl.compare import cores as machine
from keras_cl.compare.jobs import Outcome, Watch
from keras_cl.errors import require

RUNS = 16  # jobs after which a worker is replaced, so that memory which TensorFlow keeps does not add up
TRIES = 2  # of a job whose worker dies


def run(jobs, workers=1, cores=1, watch=None):
    """Runs jobs, and yields their `Outcome`s in the order in which they end.

    Args:
      jobs: `Job`s.
      workers: number of processes.
      cores: number of cores that each process has for itself; 0 to let all use all cores.
      watch: `Watch` that is told what happens.

    Raises:
      InputError: if there are fewer cores than the processes need.
    """
    with Pool(workers, cores) as pool:
        yield from pool.run(jobs, watch)


class Pool:
    """A fixed number of worker processes, each of which imports TensorFlow once.

    A context manager; the processes are started when there is work for them, and stopped at its end.

    Args:
      workers: number of processes.
      cores: number of cores of each; 0 for all cores, shared.
    """

    def __init__(self, workers, cores):
        there = len(machine.available())
        require(
            workers * cores <= there,
            f"{workers} runs at a time with {cores} cores each need {workers * cores} cores, and there are "
            f"{there}; give a smaller --jobs, or --cores=0, with which all runs share all cores.",
        )
        self._size, self._cores = workers, cores
        self._workers, self._ends = [], contextlib.ExitStack()

    def __enter__(self):
        own = self._ends.enter_context(machine.claimed(self._size * self._cores))
        parts = [own[place * self._cores : (place + 1) * self._cores] for place in range(self._size)]
        self._workers = [_Worker(part) for part in parts]
        self._ends.callback(self.stop)
        return self

    def __exit__(self, *_):
        self._ends.close()

    def stop(self):
        """Stops the processes; they are started again when there is work for them."""
        for worker in self._workers:
            worker.stop()

    def run(self, jobs, watch=None):
        """Yields the `Outcome` of each job; called again, the same processes go on."""
        watch, waiting, tries = watch or Watch(), collections.deque(jobs), collections.Counter()
        try:
            while waiting or any(worker.job for worker in self._workers):
                for worker in self._workers:
                    if waiting and not worker.job:
                        worker.give(waiting.popleft())
                        watch.started(worker.job)
                for worker in _heard(self._workers):
                    outcome = worker.hear(watch)
                    if outcome and outcome.state == "died":
                        tries[outcome.job.name] += 1
                        if tries[outcome.job.name] < TRIES:
                            waiting.appendleft(outcome.job)
                            continue
                        outcome = dataclasses.replace(outcome, state="failed")
                    if outcome:
                        watch.ended(outcome)
                        yield outcome
        finally:
            for worker in self._workers:
                if worker.job:  # nobody waits for it any more
                    worker.stop()


def _heard(workers):
    """Workers that have sent something or died; waits for the first one."""
    connections = {worker.connection: worker for worker in workers if worker.job}
    return [connections[ready] for ready in wait(list(connections), timeout=1.0)]


class _Worker:
    """This side of a worker process on some cores; started when it gets its first job."""

    def __init__(self, cores):
        self.cores, self.job, self.connection = cores, None, None
        self._process, self._said, self._done, self._began = None, None, 0, 0.0

    def give(self, job):
        """Sends a job; replaces the process if it died, or has done many."""
        if self._process and (self._done >= RUNS or self._process.poll() is not None):
            self.stop()
        if not self._process:
            self._start()
        self.job, self._began = job, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is heard that it died
            self.connection.send_bytes(json.dumps(dataclasses.asdict(job)).encode())

    def hear(self, watch):
        """The `Outcome` if the job has ended, with the state "died" if the process has; else None."""
        job, seconds = self.job, time.monotonic() - self._began
        try:
            message = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            error = self._why()
            self.stop()
            return Outcome(job, "died", error=error, seconds=seconds)
        if "fraction" in message:
            watch.progress(job, message["fraction"], message["text"])
            return None
        self.job, self._done = None, self._done + 1
        if message["state"] == "failed":  # what it left behind is not known
            self.stop()
        return Outcome(**{**message, "job": job})

    def stop(self):
        """Ends the process, if there is one."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self.connection.close()
            self._said.close()
        self.job, self.connection, self._process, self._done = None, None, None, 0

    def _start(self):
        self.connection, theirs = multiprocessing.Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, closed in `stop`
        path = os.pathsep.join(str(pathlib.Path(place).resolve()) for place in sys.path if place)
        with theirs:
            command = [sys.executable, "-m", "keras_cl.compare.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, ",".join(map(str, self.cores))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the process that started it
            )

    def _why(self):
        """One sentence about the end of the process."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "Its process was killed (SIGKILL); the system does so where the memory is exhausted."
        if code < 0:
            return f"Its process was ended by {signal.Signals(-code).name}."
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"Its process ended with the exit code {code}{': ' if lines else ''}{''.join(lines[-1:])}."
