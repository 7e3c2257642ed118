"""What is shown while many runs are trained: time left, failures, a line a minute in a file."""

import io
import time

import pytest
from rich.console import Console

from keras_cl.compare.jobs import Job, Outcome
from keras_cl.compare.progress import Overview

ONE, TWO = Job("ewc seed 0", "m:f", {"a": []}), Job("er seed 0", "m:f")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def shown(terminal=False, **options):
    screen = Console(file=io.StringIO(), force_terminal=terminal, width=200, soft_wrap=True)
    return Overview(4, screen, **options), screen.file


def test_the_time_left_is_that_of_the_runs_so_far():
    clock = Clock()
    overview, _ = shown(clock=clock)
    assert overview.seconds_left is None
    overview.started(ONE)
    clock.now = 100.0
    overview.progress(ONE, 0.5, "task 1/2")
    assert overview.seconds_left == pytest.approx(700)  # 3.5 runs, half a run in 100 seconds
    overview.ended(Outcome(ONE, "done", {}))
    overview.started(TWO)
    overview.progress(TWO, 1.0, "evaluation")
    clock.now = 200.0
    assert overview.seconds_left == pytest.approx(200)
    assert overview.line() == "1 of 4 runs; about 3 min left; now er seed 0 (evaluation)"


def test_a_failure_is_said_at_once_and_kept():
    overview, file = shown()
    overview.started(ONE)
    overview.ended(Outcome(ONE, "failed", error="The loss became nan."))
    assert file.getvalue() == "ewc seed 0 failed: The loss became nan.\n"
    assert [outcome.job for outcome in overview.failed] == [ONE]
    assert overview.line().startswith("1 of 4 runs, 1 failed")


def test_a_run_that_another_process_trains_is_not_done():
    overview, _ = shown()
    for _ in range(2):
        overview.started(ONE)
        overview.ended(Outcome(ONE, "done", {"run": "x", "in_use": True}))
    assert overview.line() == "0 of 4 runs"


def test_a_run_that_begins_again_has_one_bar():
    overview, _ = shown(terminal=True)
    with overview:
        overview.started(ONE)
        overview.progress(ONE, 0.7, "task 2/2")
        overview.started(ONE)
        assert overview.line() == "0 of 4 runs; now ewc seed 0 (begins)"


def test_a_file_gets_a_line_now_and_then_and_a_terminal_bars():
    overview, file = shown(every=0.02)
    with overview:
        overview.started(ONE)
        began = time.monotonic()
        while "now ewc seed 0 (begins)\n" not in file.getvalue():
            assert time.monotonic() - began < 10
            time.sleep(0.01)
    assert "\x1b" not in file.getvalue()
    overview, file = shown(terminal=True)
    with overview:
        overview.started(ONE)
        overview.progress(ONE, 0.5, "task 1/2")
        time.sleep(0.3)
    assert "task 1/2" in file.getvalue() and "\x1b" in file.getvalue()
