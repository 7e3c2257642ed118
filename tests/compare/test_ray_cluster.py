"""Runs on a local Ray of two workers: one is killed in a run, runs come back, failures say why."""

import contextlib
import os
import pathlib
import signal
import types

import pytest
from processes import arguments

from keras_cl.compare import ray_cluster, remote
from keras_cl.compare.jobs import Job, Outcome, Watch
from keras_cl.compare.settings import Settings
from keras_cl.errors import InputError
from keras_cl.runs import saved_run

ray = pytest.importorskip("ray")


class Killing(Watch):
    """Kills the process that trains a run when its second task is learned."""

    def __init__(self, name, folder):
        self.name, self.lock, self.lines, self.killed, self.events = name, folder / "run/.lock", [], 0, []

    def started(self, job):
        self.events.append(("started", job.name))

    def progress(self, job, fraction, text):
        self.lines.append((job.name, fraction, text))
        if job.name == self.name and "task 2/" in text and not self.killed:
            self.killed = holder(self.lock)
            os.kill(self.killed, signal.SIGKILL)

    def ended(self, outcome):
        self.events.append(("ended", outcome.job.name))


def holder(file):
    """The process that has a file open."""
    for link in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(file) and int(link.parts[2]) != os.getpid():
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError(f"no process has {file} open")


def job_of(name, folder, *more):
    flags = arguments(folder, "--tasks=4", "--epochs=60", *more)
    return Job(name, "keras_cl.compare.cells:train", {"flags": flags})


@pytest.mark.release
def test_a_grid_is_trained_though_a_worker_is_killed_and_a_run_fails(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    jobs = [
        job_of("killed", killed),
        job_of("alone", alone),
        job_of("failing", tmp_path, "--batch_size=9999"),
    ]
    watch = Killing("killed", killed)
    options = Settings(on="ray", runs_dir=str(tmp_path))
    outcomes = {outcome.job.name: outcome for outcome in ray_cluster.run(jobs, options, watch)}
    assert watch.killed
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "killed": "done",
        "alone": "done",
        "failing": "failed",
    }
    assert outcomes["failing"].error.startswith("--batch_size is 9999 and task 1 has only")
    assert outcomes["killed"].value == {"run": str(killed / "run")}
    assert "Resuming after task" in (killed / "run/log.txt").read_text()
    (one,), (other,) = saved_run.read([killed / "run"]), saved_run.read([alone / "run"])
    assert one.done and other.done
    assert (killed / "run/matrix.csv").read_text() == (alone / "run/matrix.csv").read_text()
    assert sorted(watch.events) == sorted((what, job.name) for job in jobs for what in ("started", "ended"))
    assert not list(tmp_path.glob(".shared-*"))


@pytest.mark.release
def test_runs_of_workers_without_our_folder_come_back(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    elsewhere = contextlib.nullcontext(remote.Token("/nowhere/.shared-test", "/nowhere"))
    monkeypatch.setattr(ray_cluster, "_token", lambda folder: elsewhere)
    job = Job("far", "keras_cl.compare.cells:train", {"flags": arguments(tmp_path)})
    (outcome,) = ray_cluster.run([job], Settings(on="ray", runs_dir=str(tmp_path)))
    assert (outcome.state, outcome.value) == ("done", {"run": str(tmp_path / "run")}), outcome.error
    (saved,) = saved_run.read([tmp_path / "run"])
    assert saved.done and saved.tasks == 2
    assert {entry.name for entry in (tmp_path / "models/run").iterdir()} == {"1", "2"}


def test_a_cluster_that_is_not_there_is_said(tmp_path):
    options = Settings(on="ray", runs_dir=str(tmp_path), ray_address="127.0.0.1:9")
    with pytest.raises(InputError, match="^Ray at 127.0.0.1:9 does not answer: "):
        list(ray_cluster.run([Job("a", "math:sqrt", {})], options))


class FakeRay:
    """Ends the task that was submitted first, and has what was submitted and cancelled."""

    def __init__(self, results=None):
        self.exceptions, self.results = ray.exceptions, results or {}
        self.most, self.cancelled = 0, []

    def wait(self, references, timeout):
        self.most = max(self.most, len(references))
        return references[:1], references[1:]

    def get(self, reference):
        if isinstance(reference, list):
            return reference
        if isinstance(error := self.results.get(reference), Exception):
            raise error
        return Outcome(Job(reference, ""), "done"), {}

    def cancel(self, reference, force):
        self.cancelled.append(reference)


class Lines:
    """A board with lines of a job that has not begun, and of one that nobody knows."""

    def __init__(self):
        self.taken = self

    def remote(self):
        return [("b", 0.5, "learns"), ("unknown", 0.5, "learns")]


def test_at_most_so_many_tasks_are_submitted_and_the_rest_is_cancelled():
    fake, watch = FakeRay(), Killing("", pathlib.Path())
    tasks = ray_cluster._Tasks(fake, lambda job: job.name, Lines(), watch)
    outcomes = tasks.outcomes([Job(name, "") for name in "abcd"], 2)
    assert [next(outcomes).job.name for _ in range(2)] == ["a", "b"]
    assert fake.most == 2 and watch.lines == 2 * [("b", 0.5, "learns")]
    assert watch.events == [("started", "b"), ("started", "a"), ("ended", "a"), ("ended", "b")]
    tasks.cancel()
    assert fake.cancelled == ["c"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ray.exceptions.WorkerCrashedError(), "Its worker died 3 times: The worker died unexpectedly"),
        (
            ray.exceptions.OutOfMemoryError("killed"),
            "The memory of its machine is exhausted",
        ),
        (ray.exceptions.RuntimeEnvSetupError("no\nspace"), "Ray could not run it: "),
    ],
)
def test_a_task_that_ray_gives_up_says_why(error, said):
    watch = Killing("", pathlib.Path())
    tasks = ray_cluster._Tasks(FakeRay({"a": error}), lambda job: job.name, Lines(), watch)
    (outcome,) = tasks.outcomes([Job("a", "")], 1)
    assert outcome.state == "failed" and outcome.error.startswith(said)
    assert "\n" not in outcome.error and outcome.error.endswith(".")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ray_address": "head:6379"}, "--ray_address is for --on=ray, and the runs are trained --on=local."),
        ({"gpus": 1.0}, "--gpus is for --on=ray or slurm, and the runs are trained --on=local."),
        ({"on": "ray", "cores": 2}, "--cores is for --on=local, and the runs are trained --on=ray."),
        ({"on": "slurm", "cpus": 0.0}, "--cpus is 0; it must be above 0."),
    ],
)
def test_settings_of_another_place_are_refused(given, said):
    with pytest.raises(InputError) as error:
        Settings(**given)
    assert str(error.value) == said


def test_a_run_that_no_machine_has_room_for_is_refused():
    fake = types.SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    ray_cluster._require_resources(fake, Settings(on="ray", cpus=2.0))
    with pytest.raises(InputError) as error:
        ray_cluster._require_resources(fake, Settings(on="ray", gpus=0.5))
    said = "No machine has the --cpus=1 and --gpus=0.5 of a run; there are 2 CPUs and 0 GPUs."
    assert str(error.value) == said
