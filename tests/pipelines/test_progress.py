"""What is shown and said of the output of kfp and of components, without running any."""

import io
import logging

import pytest
from rich.console import Console

from pipelines.kubeflow.progress import Progress


def said(*lines):
    """The lines on the screen, and the sentence about the failure, for lines of output."""
    screen, log = io.StringIO(), io.StringIO()
    progress = Progress(Console(file=screen, width=200), log)
    for line in lines:
        progress.write(line[:7])  # in pieces, as kfp writes it
        progress.write(f"{line[7:]}\n")
    assert log.getvalue().splitlines() == list(lines)
    return screen.getvalue().splitlines(), progress.failed


BEGUN = "10:00:00.000 - INFO - Executing task \x1b[96m'trainer-2'\x1b[0m"
DONE = "10:00:01.000 - INFO - Task \x1b[96m'trainer-2'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m"
FAILED = "10:00:01.000 - ERROR - Task \x1b[96m'trainer-2'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m"
TRACEBACK = ("    Traceback (most recent call last):", '      File "a.py", line 1, in <module>')


def test_a_component_that_is_done_is_one_line():
    assert said(BEGUN, "    anything", DONE) == (["task 2  Trainer          done in 0.0 s"], "")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (["    keras_cl.errors.InputError: The images are upside down."], "The images are upside down."),
        (["    keras_cl.errors.Diverged: The loss is nan."], "The loss is nan."),
        (["    OSError: [Errno 28] No space left on device"], "OSError: [Errno 28] No space left on device."),
        (["    a.b.OddError: one", "    more: of it"], "OddError: one."),
        (["    AssertionError"], "AssertionError: no reason given."),
        (["    KeyError: 1", "    ", *TRACEBACK, "    ValueError: 2"], "ValueError: 2."),
    ],
)
def test_the_last_traceback_gives_the_reason(output, sentence):
    shown, failed = said(BEGUN, *TRACEBACK, *output, FAILED)
    assert shown == ["task 2  Trainer          failed after 0.0 s"]
    assert failed == f"Trainer of task 2 failed: {sentence}"


def test_a_process_that_was_killed_has_no_reason():
    _, failed = said(BEGUN, "    WARNING: All log messages are of no use", FAILED)
    assert failed == "Trainer of task 2 failed: it ended without a word, as a process that is killed."


def test_a_component_from_the_cache_is_told_of_by_the_log():
    screen = io.StringIO()
    progress = Progress(Console(file=screen), io.StringIO())
    for text in ("Task example-gen cache hit (key=1); skipping execution.", "something else"):
        progress.emit(logging.LogRecord("", logging.INFO, "", 0, text, (), None))
    assert screen.getvalue() == "task 1  ExampleGen       from the cache\n"
