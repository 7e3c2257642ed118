"""Worker processes: their cores, what they answer, and what happens when they die."""

import contextlib
import os
import signal
import time

import pytest
from processes import PATIENCE, start

from keras_cl.compare import cores, jobs, local
from keras_cl.compare.jobs import Job, Watch
from keras_cl.errors import InputError

needs_cores = pytest.mark.skipif(len(cores.available()) < 2, reason="needs two cores")


class Noted(Watch):
    """Keeps what it is told, as (what, name of the job, ...)."""

    def __init__(self):
        self.told = []

    def started(self, job):
        self.told.append(("started", job.name))

    def progress(self, job, fraction, text):
        self.told.append(("progress", job.name, fraction, text))

    def ended(self, outcome):
        self.told.append(("ended", outcome.job.name))


def many(function, count, **arguments):
    return [Job(f"{function} {number}", f"grid_jobs:{function}", arguments) for number in range(count)]


def values(outcomes):
    return {outcome.job.name: outcome.value for outcome in outcomes}


def alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def wait_until(happened):
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)


# ---- in this process -------------------------------------------------------------------------------------


def test_jobs_in_this_process_have_the_same_contract():
    given = [
        Job("a", "grid_jobs:doubled", {"number": 2}),
        Job("b", "grid_jobs:refused"),
        Job("c", "grid_jobs:broken"),
        Job("d", "grid_jobs:none"),
        Job("e", "no_such_module:f"),
        Job("f", "grid_jobs:doubled", {"nummer": 2}),
    ]
    watch = Noted()
    outcomes = list(jobs.run(given, watch))
    assert [outcome.state for outcome in outcomes] == ["done", *5 * ["failed"]]
    assert outcomes[0].value == 4 and watch.told[:3] == [
        ("started", "a"),
        ("progress", "a", 0.5, "number 2"),
        ("ended", "a"),
    ]
    errors = [outcome.error for outcome in outcomes[1:]]
    assert errors[0] == "This cannot be."
    assert errors[1].startswith("KeyError: 'missing' (grid_jobs.py, line ")
    assert "has no attribute 'none'" in errors[2] and "No module named 'no_such_module'" in errors[3]
    assert "nummer" in errors[4]


def test_more_cores_than_there_are_are_refused():
    there = len(cores.available())
    with pytest.raises(InputError, match=f"need {there + 1} cores, and there are {there}"):
        local.Pool(there + 1, 1)
    local.Pool(there + 1, 0)


def test_cores_that_are_claimed_come_last(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cores, "available", lambda: [3, 5, 8])
    with cores.claimed(1) as first:
        with cores.claimed(2) as second, cores.claimed(1) as third:
            assert (first, second, third) == ([3], [5, 8], [3])
        with cores.claimed(3) as again:
            assert again == [5, 8, 3]
    with cores.claimed(2) as free:
        assert free == [3, 5]


# ---- in processes ----------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_cores
def test_each_worker_has_a_core_of_its_own_and_does_many_jobs():
    answers = values(local.run(many("where", 8), 2, 1))
    assert len(answers) == 8 and not any(answer["tensorflow"] for answer in answers.values())
    places = {answer["pid"]: answer["cores"] for answer in answers.values()}
    assert len(places) <= 2 and all(len(own) == 1 for own in places.values())
    assert len({tuple(own) for own in places.values()}) == len(places)


@pytest.mark.slow
def test_without_cores_of_their_own_workers_may_use_all():
    (answer,) = values(local.run(many("where", 1), 1, 0)).values()
    assert answer["cores"] == cores.available()


@pytest.mark.slow
def test_a_worker_answers_as_this_process_does_and_others_go_on():
    given = [
        Job("a", "grid_jobs:doubled", {"number": 2}),
        Job("b", "grid_jobs:refused"),
        Job("c", "grid_jobs:broken"),
        Job("d", "grid_jobs:doubled", {"number": 3}),
    ]
    watch = Noted()
    workers, here = list(local.run(given, 1, 1, watch)), list(jobs.run(given))
    assert [(o.job, o.state, o.value, o.error) for o in workers] == [
        (o.job, o.state, o.value, o.error) for o in here
    ]
    assert ("progress", "a", 0.5, "number 2") in watch.told and watch.told[-1] == ("ended", "d")


@pytest.mark.slow
def test_a_worker_is_replaced_after_some_jobs(monkeypatch):
    monkeypatch.setattr(local, "RUNS", 2)
    answers = values(local.run(many("where", 5), 1, 1))
    pids = [answer["pid"] for answer in answers.values()]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


@pytest.mark.slow
def test_a_job_whose_worker_dies_is_tried_once_more(tmp_path):
    given = [
        Job("unlucky", "grid_jobs:killed_once", {"mark": str(tmp_path / "mark")}),
        Job("deadly", "grid_jobs:killed"),
        Job("ended", "grid_jobs:ended"),
        Job("fine", "grid_jobs:doubled", {"number": 1}),
    ]
    watch = Noted()
    outcomes = {outcome.job.name: outcome for outcome in local.run(given, 1, 1, watch)}
    assert outcomes["unlucky"].value == "second time" and outcomes["fine"].value == 2
    assert "was killed (SIGKILL)" in outcomes["deadly"].error and outcomes["deadly"].state == "failed"
    assert outcomes["ended"].error == "Its process ended with the exit code 3: no such library."
    assert watch.told.count(("started", "deadly")) == 2 == watch.told.count(("started", "unlucky"))
    assert watch.told.count(("ended", "deadly")) == 1


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_is_replaced(tmp_path):
    mark = tmp_path / "mark"

    class Murderer(Noted):
        def started(self, job):
            super().started(job)
            wait_until(lambda: mark.exists() and mark.read_text())
            os.kill(int(mark.read_text()), signal.SIGKILL)
            mark.unlink()

    watch = Murderer()
    (outcome,) = local.run([Job("a", "grid_jobs:waits", {"mark": str(mark)})], 1, 1, watch)
    assert outcome.state == "failed" and watch.told == [("started", "a")] * 2 + [("ended", "a")]


@pytest.mark.slow
def test_workers_end_when_nobody_asks_for_the_outcomes_any_more(tmp_path):
    marks = [tmp_path / name for name in "ab"]
    given = [Job("first", "grid_jobs:where")]
    given += [Job(str(mark), "grid_jobs:waits", {"mark": str(mark)}) for mark in marks]
    with local.Pool(1, 1) as pool:
        outcomes = pool.run(given)
        next(outcomes)
        outcomes.close()
        assert values(pool.run([Job("again", "grid_jobs:doubled", {"number": 4})])) == {"again": 8}


PARENT = """
from keras_cl.compare import local
from keras_cl.compare.jobs import Job
list(local.run([Job("a", "grid_jobs:waits", {"mark": %r})], 1, 1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, number):
    mark = tmp_path / "mark"
    with start("-c", f"import sys; sys.path.append('tests')\n{PARENT % str(mark)}") as process:
        wait_until(lambda: mark.exists() and mark.read_text())
        worker = int(mark.read_text())
        assert alive(worker)
        process.send_signal(number)
    wait_until(lambda: not alive(worker))
