"""Bars of long work in a terminal, in a file or pipe, and in a notebook."""

import io
import sys
import types

import pytest
from rich.console import Console

from keras_cl.runs import bars
from keras_cl.runs.console import Display


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bars, "time", clock)
    return clock


class Cell:
    """The outputs of a notebook's cell, as text; each `display_id` is one output that can be replaced."""

    def __init__(self):
        self.outputs, self.states = [], []

    def display(self, shown, display_id):
        assert display_id is True
        place = len(self.outputs)
        self.outputs.append(None)

        def update(shown, raw=False):
            bundle = shown if raw else shown._repr_mimebundle_([], [])
            self.outputs[place] = bundle["text/plain"]
            self.states.append(self.outputs[place])

        update(shown)
        return types.SimpleNamespace(update=update)


@pytest.fixture
def cell(monkeypatch):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=cell.display))
    return cell


def worked(screen, clock, blocks=4, seconds=30.0, title=""):
    """Work of several blocks, each of which takes a while; gives the screen's text."""
    with Display(screen).working(title) as progress, progress.phase("evaluation", blocks) as advance:
        for _ in range(blocks):
            clock.now += seconds
            advance()
    return screen.file.getvalue()


def test_a_terminal_has_a_bar_with_the_time_left_that_goes_away(clock):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with Display(screen).working("task 2/5") as progress, progress.phase("evaluation", 4) as advance:
        clock.now += 30
        advance()
        progress._bar.refresh()
        text = screen.file.getvalue()
        assert "task 2/5  evaluation ━" in text and text.rstrip().endswith("about 90 s left")
    left = screen.file.getvalue().removeprefix(text)
    assert left.startswith("\r\x1b[2K") and "evaluation" not in left  # the line is erased


def test_a_file_has_a_line_a_minute(clock):
    text = worked(Console(file=io.StringIO(), width=100), clock, blocks=10, title="task 2/5")
    assert text.splitlines() == [
        "task 2/5  evaluation, 30 percent of it  about 4 min left",
        "task 2/5  evaluation, 60 percent of it  about 2 min left",
        "task 2/5  evaluation, 90 percent of it  about 30 s left",
    ]
    assert worked(Console(file=io.StringIO()), clock, blocks=2) == "", "what is short is not said"


def test_phases_share_the_minute_of_a_file(clock):
    screen = Console(file=io.StringIO())
    with Display(screen).working() as progress:
        for number in range(4):
            with progress.phase(f"part {number}", 2) as advance:
                clock.now += 30
                advance()
    assert screen.file.getvalue().count("\n") == 1


def test_a_notebook_has_one_output_with_the_bar_that_goes_away(clock, cell):
    screen = Console(file=io.StringIO(), force_jupyter=True)
    worked(screen, clock, blocks=3)
    assert cell.outputs == [""]
    assert [state.rstrip().split("  ")[-1].strip() for state in cell.states[1:3]] == [
        "about 60 s left",
        "about 30 s left",
    ]
    assert all("evaluation ━" in state for state in cell.states[1:3])


def test_a_notebook_is_not_drawn_for_every_block(clock, cell):
    worked(Console(file=io.StringIO(), force_jupyter=True), clock, blocks=1000, seconds=0.01)
    assert 40 < len(cell.states) < 60


def test_training_has_its_bar_in_a_notebook_too(clock, cell):
    with Display(Console(file=io.StringIO(), force_jupyter=True)).training([2]) as training:
        training.set_params({"epochs": 2, "steps": 1})
        training.begin("task 1/1")
        training.on_train_begin()
        for epoch in range(2):
            clock.now += 1
            training.on_epoch_begin(epoch)
            training.on_train_batch_end(0, {"loss": 1.0, "accuracy": 0.5})
        with training.phase("Fisher information", 2) as advance:
            clock.now += 1
            advance()
    assert "task 1/1  epoch 2/2" in cell.states[-2] and "task 1/1  Fisher information" in cell.states[-2]


def test_work_that_fails_leaves_no_bar(clock, cell):
    progress = Display(Console(file=io.StringIO(), force_jupyter=True)).working()
    with pytest.raises(ValueError), progress, progress.phase("evaluation", 2):
        raise ValueError
    assert cell.outputs == [""] and not progress._bar.tasks
