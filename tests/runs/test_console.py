"""What a run shows: headline, matrix, numbers with their meaning, and when the loss is no number."""

import functools
import io
import re

import numpy as np
import pytest
from processes import small
from rich.console import Console

from keras_cl import metrics
from keras_cl.runs import bars, console
from keras_cl.runs.console import MEANING, SHOWN, Display
from keras_cl.runs.remaining import Remaining, told
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


@pytest.mark.parametrize(
    ("stream", "said"),
    [("permuted", "permuted digits: 1 task, dom"), ("online", "online digits: one pass without tasks, cl")],
)
def test_the_headline_of_one_task_and_of_none(stream, said, display):
    config = Config(method="finetune", stream=stream, tasks=1)
    display.begin(config.method, make_stream(config), config.seeds, config.directory, "cpu")
    assert said in display.shown()


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
    first, second, *others = display.shown().splitlines()
    assert "0.5000 (sd 0.1250)" in first and "0.2500" in second and "sd" not in second
    assert len(others) == len(SHOWN) - 2 and all("not defined here" in line for line in others)


def test_the_end_shows_the_remark_and_both_paths(display):
    display.end("As expected.", "runs/a", "saved_models/a")
    assert display.shown() == "As expected.\nresults  runs/a\nmodels   saved_models/a\n"
    display.end(None, "runs/a", "saved_models/a")
    assert display.shown() == "results  runs/a\nmodels   saved_models/a\n"


def test_the_end_shows_where_the_report_is(display, tmp_path):
    (tmp_path / "report.html").touch()
    display.end(None, tmp_path, "saved_models/a")
    assert display.shown().endswith(f"\nreport   {tmp_path / 'report.html'}\n")


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
    with display.training([epochs]) as training:
        training.set_params({"epochs": epochs, "steps": 1})
        training.begin("task 1/1")
        training.on_train_begin()
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


# ---- time left -------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def learned_task(remaining, clock, chunks, seconds, first=0.0, pause=0.0):
    """Tells of the training on a task and yields what is left after each of its chunks."""
    remaining.begin()
    for chunk in range(chunks):
        clock.now += seconds + (first if not chunk else 0.0)
        remaining.reach((chunk + 1) / chunks)
        yield remaining.seconds
    remaining.end()
    clock.now += pause


def test_the_time_left_counts_all_tasks_and_pauses_but_no_compilation():
    clock = Clock()
    remaining = Remaining([100, 100, 200], clock)
    left = list(learned_task(remaining, clock, 10, 1.0, first=300.0, pause=5.0))
    assert left[0] is None and left[1:] == pytest.approx([38.0 - k for k in range(9)])
    left = list(learned_task(remaining, clock, 10, 1.0, pause=5.0))
    assert left == pytest.approx([29.0 + 5.0 - k for k in range(10)])  # one more pause before the last task
    left = list(learned_task(remaining, clock, 10, 2.0))
    assert left == pytest.approx([18.0 - 2 * k for k in range(10)])


def test_the_time_left_is_known_from_the_second_task_on_if_a_task_is_one_chunk():
    clock = Clock()
    remaining = Remaining([1, 1, 1], clock)
    assert list(learned_task(remaining, clock, 1, 1.0, first=60.0)) == [None]
    assert list(learned_task(remaining, clock, 1, 1.0)) == [1.0]
    assert list(learned_task(remaining, clock, 1, 1.0)) == [0.0]


def test_the_time_left_counts_the_seeds_that_follow(display):
    display.place = 1, 4
    training = display.training([30, 10], whole=[20, 30, 10])
    assert training._left.sizes == [30, 10, *(2 * [20, 30, 10])]
    assert training._earlier == 60 + 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0, "about 0 s left"), (119, "about 119 s left"), (600, "about 10 min left"),
     (36000, "about 10 h left"), (864000, "about 10 days left")],
)  # fmt: skip
def test_the_time_left_is_told_in_the_unit_that_fits(seconds, text):
    assert told(seconds) == text


def test_what_follows_a_task_is_said_while_it_lasts(display, tmp_path, monkeypatch):
    monkeypatch.setattr(bars, "LINE_EVERY", -1.0)
    with display.logging(tmp_path):
        training = follow(display, [2.0, 1.0])
        training.on_train_end()
        assert display.shown().endswith("task 1/1  end of task\n")
        training.follow("evaluation")
        assert display.shown() == "task 1/1  evaluation\n"
    assert "task 1/1  evaluation" in (tmp_path / "log.txt").read_text()


def test_a_long_epoch_is_said_while_it_lasts(display, monkeypatch):
    monkeypatch.setattr(bars, "LINE_EVERY", -1.0)
    training = display.training([100])
    training.set_params({"epochs": 2, "steps": 4})
    training.begin("task 1/1")
    training.on_train_begin()
    training.on_epoch_begin(0)
    training.on_train_batch_end(0, {"loss": 1.0, "accuracy": 0.5})
    assert display.shown() == "task 1/1  epoch 1/2, 25 percent of it  loss 1.0000  accuracy 0.500\n"


# ---- notebooks -------------------------------------------------------------------------------------------


def test_a_notebook_shows_each_line_once_and_the_log_is_a_file(tmp_path, monkeypatch):
    cells = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: cells.append(text))
    display = Display()
    display.say("before")
    with display.logging(tmp_path):
        display.say("after")
    assert [text.strip() for text in cells] == ["before", "after"]
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["before", "after"]


def test_without_a_directory_no_line_is_kept(display):
    with display.logging(None):
        for number in range(3):
            display.say(f"line {number}")
        assert display._before is None
    for number in range(2 * console.KEPT):
        display.note(f"line {number}")
    assert len(display._before) == console.KEPT
