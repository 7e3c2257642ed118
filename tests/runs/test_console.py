"""What a run shows: headline, matrix, numbers with their meaning, and when the loss is no number."""

import functools
import io
import re

import numpy as np
import pytest
from processes import small
from rich.console import Console

from keras_cl import metrics
from keras_cl.runs import console
from keras_cl.runs.console import MEANING, SHOWN, Display
from keras_cl.settings.build import make_stream
from keras_cl.settings.config import Config

NAN = float("nan")
MATRIX = np.array([[0.1, NAN], [1.0, 0.0625], [0.8, 0.7]])


@pytest.fixture
def display(capsys):
    """A display whose text `shown` returns."""
    display = Display()
    display.shown = lambda: capsys.readouterr().out
    return display


def cells(table):
    """The cells of a table that was shown, row by row."""
    rows = [re.split("[│┃]", line) for line in table.splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in row[1:-1]] for row in rows]


# ---- headline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", MEANING)
def test_the_headline_names_stream_scenario_seed_device_and_directory(display, scenario):
    config = Config(stream="split", scenario=scenario, seeds=(4,), run_dir="some/where")
    display.begin(config.method, make_stream(config), config.seeds, config.directory, "cpu")
    (line,) = display.shown().splitlines()
    for part in ("ewc", "split digits", "5 tasks", f"{scenario}-incremental", "seed 4", "cpu", "some/where"):
        assert part in line


def test_the_headline_names_every_seed(display):
    config = Config(seeds=(4, 5))
    display.begin(config.method, make_stream(config), config.seeds, config.directory, "gpu")
    assert "seed 4,5," in display.shown()


def test_a_path_is_shown_as_it_is(display, tmp_path):
    folder = tmp_path / "[bold]a[/b] :smile:"
    config = small(folder)
    display.begin(config.method, make_stream(config), config.seeds, config.directory)
    assert str(folder) in display.shown()


# ---- matrix and summary ----------------------------------------------------------------------------------


def test_the_matrix_shows_percent_with_a_row_a_moment_and_a_column_a_task(display):
    display.matrix(MATRIX, "Accuracy")
    text = display.shown()
    assert text.startswith("Accuracy\n")
    assert cells(text) == [
        ["", "task 1", "task 2"],
        ["untrained", "10.0", ""],
        ["after task 1", "100.0", "6.2"],
        ["after task 2", "80.0", "70.0"],
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_no_number_is_lost_where_many_tasks_do_not_fit(monkeypatch, capsys, terminal):
    monkeypatch.setenv("COLUMNS", "60")
    if terminal:
        monkeypatch.setattr(console, "Console", functools.partial(Console, force_terminal=True))
        monkeypatch.setenv("NO_COLOR", "1")
    display = Display()
    display.matrix(np.full((21, 20), 0.987), "Accuracy")
    text = capsys.readouterr().out
    assert text.count("98.7") == 20 * 21 and "after task 20" in text and "…" not in text


def test_the_summary_shows_each_number_with_its_meaning(display):
    display.summary({**metrics.summary(MATRIX), "average_accuracy": 0.75, "forgetting": None})
    lines = display.shown().splitlines()
    assert len(lines) == len(SHOWN)
    for line, name in zip(lines, SHOWN, strict=True):
        assert line.startswith(name.replace("_", " ")) and metrics.DESCRIPTIONS[name] in line
    assert "0.7500" in lines[0] and "not defined here" in lines[1]


def test_the_summary_over_seeds_shows_mean_and_deviation(display):
    display.summary(
        {
            "average_accuracy": {"mean": 0.5, "std": 0.125, "sem": 0.1, "n": 2},
            "forgetting": {"mean": 0.25, "std": None, "sem": None, "n": 1},
        }
    )
    first, second = display.shown().splitlines()
    assert "0.5000 (sd 0.1250)" in first and "0.2500" in second and "sd" not in second


def test_the_end_shows_the_remark_and_both_paths(display):
    display.end("As expected.", "runs/a", "saved_models/a")
    assert display.shown() == "As expected.\nresults  runs/a\nmodels   saved_models/a\n"
    display.end(None, "runs/a", "saved_models/a")
    assert display.shown() == "results  runs/a\nmodels   saved_models/a\n"


# ---- log -------------------------------------------------------------------------------------------------


def test_the_log_holds_what_is_shown_with_the_time(display, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("earlier\n")
    display.say("before")
    with display.logging(tmp_path):
        display.learned("task 2/3", 1.25, [0.5, 0.75], {})
        display.matrix(MATRIX, "Accuracy")
        display.note("only noted")
    display.say("afterwards")
    earlier, before, learned, *rest = log.read_text().splitlines()
    assert earlier == "earlier" and before.endswith(" before")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d task 2/3 learned in 1\.2 s; accuracy on the tasks so far: 50\.0  75\.0", learned
    )
    assert "after task 2" in "\n".join(rest) and rest[-1].endswith(" only noted")
    assert "only noted" not in display.shown()


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({}, "1.2 s; accuracy"),
        ({"capacity_used": 0.25}, "1.2 s, capacity used 0.250; accuracy"),
        ({"one": 1.0, "other_number": 0.12345}, "1.2 s, one 1.000, other number 0.123; accuracy"),
    ],
)
def test_what_a_method_reports_stands_in_the_line_of_its_task(display, report, told):
    display.learned("task 2/3", 1.25, [0.5, 0.75], report)
    assert display.shown() == f"task 2/3 learned in {told} on the tasks so far: 50.0  75.0\n"


# ---- training --------------------------------------------------------------------------------------------


def follow(display, losses, epochs=2):
    """A `Training` that was told of one task of `epochs` epochs with one loss each."""
    with display.training(epochs) as training:
        training.set_params({"epochs": epochs, "steps": 1})
        training.begin("task 1/1")
        for number, loss in enumerate(losses):
            logs = {"loss": loss, "accuracy": 0.5}
            training.on_epoch_begin(number)
            training.on_train_batch_end(0, logs)
            training.on_epoch_end(number, logs)
    return training


def test_every_epoch_is_logged(display, tmp_path):
    with display.logging(tmp_path):
        follow(display, [2.0, 1.0])
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 2 and "task 1/1  epoch 2/2  loss 1.0000  accuracy 0.500" in lines[1]


def test_a_terminal_gets_a_bar():
    screen = io.StringIO()
    follow(Display(Console(file=screen, force_terminal=True, width=100)), [2.0, 1.0])
    assert "task 1/1  epoch 2/2" in screen.getvalue() and "loss 1.0000" in screen.getvalue()
