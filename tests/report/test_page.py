"""The page: what it says of runs, and that nothing in their settings can change what it is."""

import base64
import hashlib
import html.parser
import re
import shlex
import time

import numpy as np
import pytest
from made_groups import group, write_generator_quality
from saved_runs import ABOUT, matrix, write_run

from keras_cl import metrics, report
from keras_cl.report import plots
from keras_cl.report.page import drawings, page
from keras_cl.report.page.command import command
from keras_cl.report.page.table import percent, seconds, size
from keras_cl.report.sheets import SHARES
from keras_cl.settings import flags
from keras_cl.settings.config import Config

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Parsed(html.parser.HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.text, self._inside = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        self.text += " "
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag):
        self._inside = None

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def one_plot(monkeypatch):
    """A page with one figure alone, where the others are not in question."""
    monkeypatch.setattr(plots, "names", lambda: ["matrix"])


one_figure = pytest.mark.usefixtures("one_plot")


def page_of(*paths):
    return page(report.read(paths))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Two groups of runs, of 2 and 1 seeds, and their page."""
    folder = tmp_path_factory.mktemp("several")
    one = write_run(folder / "ewc", {0: matrix([0.5, 0.6, 0.9]), 1: matrix([0.6, 0.7, 0.8])})
    other = write_run(folder / "si", {0: matrix([0.2, 0.3, 0.9])}, method="si")
    groups = report.read([one, other])
    from keras_cl.report.tables import comparison

    return groups, page(groups, comparison(groups, baseline="si"))


# ---- what it says ----------------------------------------------------------------------------------------


@one_figure
def test_one_run_is_told_from_its_headline_to_the_command_that_repeats_it(tmp_path):
    about = {**ABOUT, "commit": "0123456789abcdef"}
    run = write_run(tmp_path / "ewc", {0: matrix([0.5, 0.6, 0.9]), 1: matrix([0.6, 0.7, 0.8])}, about)
    text = page_of(run)
    shown = " ".join(Parsed(text).text.split())
    assert "ewc on split digits" in shown and "class-incremental" in shown and "2 seeds" in shown
    assert "68.3 % ± 2.4" in shown  # of 66.7 and 70.0
    for name, sentence in metrics.DESCRIPTIONS.items():
        assert name.replace("_", " ") in shown and sentence in shown
    assert "A_t = (1/t) sum_{j<=t} R[t, j]" in shown
    assert "keras_cl 0.1.0" in shown and "0123456789" in shown and "cpu" in shown
    assert "[400, 400]" in shown and "method.strength" in shown
    assert "python -m keras_cl.main --method=ewc" in shown and "--seeds=0,1" in shown
    assert "nan" not in shown.lower().split()


@one_figure
def test_the_quality_of_a_generator_is_told_apart_from_the_accuracies(tmp_path):
    run = write_run(tmp_path / "dgr", {0: matrix([0.5, 0.6, 0.9])}, method="dgr")
    assert "Quality of the generator" not in page_of(run)
    write_generator_quality(run, tasks=3)
    last = (run / "generator_quality.csv").read_text().splitlines()[-1].split(",")
    shown = " ".join(Parsed(page_of(run)).text.split())
    table = shown[shown.index("Quality of the generator") :]
    for name, value in zip(metrics.GENERATOR, map(float, last[3:]), strict=True):
        told = f"{100 * value:.1f}" if name in SHARES else f"{value:.3g}"
        assert f"{name.replace('_', ' ')} {told} {metrics.GENERATOR[name]}" in table
    assert "None of these is an accuracy of the network that was trained" in table
    assert report.read(run)[0].values("fake_to_real") == {0: float(last[4])}


@one_figure
def test_the_cost_of_a_generator_is_beside_a_buffer_of_as_many_bytes():
    generating, storing = made = [group("dgr", seeds=1), group("er", seeds=1)]
    assert "equal buffer" not in page(made)
    generating.runs[0].results.records[-1].update(
        memory_bytes=785 * 5451 - 899, method_bytes=1000, row_bytes=785
    )
    text = " ".join(Parsed(page(made)).text.split())
    assert "equal buffer images of as many bytes as method and memory" in text and " 5,451 " in text
    assert "equal buffer" not in page([storing])


def test_several_groups_are_compared(several):
    groups, text = several
    shown = " ".join(Parsed(text).text.split())
    assert "ewc and si on split digits" in shown
    assert "68.33 ± 2.36" in shown and "46.67" in shown
    assert "Settings that differ" in shown and "Definitions" in shown
    assert [group.label for group in groups] == ["ewc", "si"]
    for label in ("ewc", "si"):
        assert f'data-label="{label}"' in text
    assert text.count('data-group="si"') >= 1


def test_every_figure_that_has_something_to_show_is_there(several):
    groups, text = several
    expected = sum(
        sum(plots.plot(name).applies([group]) for group in groups)
        if plots.plot(name).SINGLE
        else plots.plot(name).applies(groups)
        for name in plots.names()
    )
    parsed = Parsed(text)
    cards = [one for one in parsed.all("figure") if "card" in one["class"]]
    assert len(cards) == len(parsed.all("svg")) - 1 == expected > 4  # one is that of a button
    identifiers = [one["id"] for _, one in parsed.elements if "id" in one]
    assert len(identifiers) == len({*identifiers})


@one_figure
def test_a_metric_that_is_not_defined_says_so(tmp_path):
    text = page_of(write_run(tmp_path / "run", {0: matrix(0.5), 1: matrix(0.6)}))
    (row,) = re.findall(r">forward transfer</th>(.*?)</tr>", text, re.DOTALL)
    assert re.findall(r">([^<]+)</td>", row) == ["not defined"] * 3


def test_the_headline_counts_streams_as_the_tables_do(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "names", list)
    for name, tasks in (("a", 3), ("b", 2)):
        write_run(tmp_path / name, {0: matrix(0.5, tasks)}, tasks=tasks)
    groups = report.read(f"{tmp_path}/*")
    from keras_cl.report.tables import comparison

    shown = Parsed(page(groups, comparison(groups, across=True))).text
    assert "on 2 streams" in shown and "Mean rank over 2 streams" in shown


@one_figure
def test_an_unfinished_run_is_shown_as_such(tmp_path):
    R = matrix([0.5, 0.6, 0.9])
    run = write_run(tmp_path / "run", {0: R, 1: R[:3]}, planned=(0, 1, 2))
    shown = " ".join(Parsed(page_of(run)).text.split())
    assert "Unfinished, and not in the numbers: seed 1: 2 of 3 tasks; seed 2: not begun." in shown
    assert "66.7 %" in shown and "2 of 3 tasks" in shown


@one_figure
def test_tables_and_figures_are_of_the_same_seeds(tmp_path):
    R = matrix([0.5, 0.6, 0.9])
    text = page_of(write_run(tmp_path / "run", {0: R, 1: R[:2]}))
    assert "Accuracy matrix of ewc (percent)" in text and "50.0</td>" in text  # not a mean with NaN
    (costs,) = re.findall(r"<h3>Cost</h3>.*?</tbody>", text, re.DOTALL)
    assert "6.0 s" in costs  # three tasks of two seconds, and no mean with the one task of the other


@one_figure
def test_the_command_names_all_seeds_of_runs_that_had_one_each(tmp_path):
    paths = [write_run(tmp_path / name, {seed: matrix(0.5)}) for seed, name in enumerate("ab")]
    assert "--seeds=0,1<" in page_of(*paths)


@one_figure
def test_numbers_in_percent_are_not_explained_as_fractions(tmp_path):
    parsed = Parsed(page_of(write_run(tmp_path / "run", {0: matrix(0.5)})))
    told = [one["title"] for one in parsed.all("div") if "title" in one]
    assert "mean accuracy over all tasks after the last one" in told
    assert not [text for text in told if "0 to 1" in text]
    assert "Values are in percent; definitions are of fractions." in parsed.text


@one_figure
def test_a_run_without_a_finished_seed_has_the_numbers_of_its_tasks_so_far(tmp_path):
    R = matrix([0.5, 0.6, 0.9])
    R[2, :2] = 0.7, 0.9
    shown = " ".join(Parsed(page_of(write_run(tmp_path / "run", {0: R[:3]}))).text.split())
    assert "average accuracy 80.0 %" in shown and "not in the numbers" not in shown
    assert "Unfinished: seed 0: 2 of 3 tasks. The numbers are of the tasks so far. average" in shown


def test_a_run_of_which_nothing_was_measured_yet_has_a_page(tmp_path):
    shown = Parsed(page_of(write_run(tmp_path / "run", {0: np.zeros((0, 3))}))).text
    assert "not begun" in shown and "nothing to draw yet" in shown


@one_figure
def test_what_was_not_measured_is_empty_and_no_zero(tmp_path):
    R = matrix([0.5, 0.6, 0.9])
    R[1:-1] = np.nan  # as joint training, which waits for the last task, leaves it
    text = page_of(write_run(tmp_path / "run", {0: R}, method="joint"))
    rows = re.findall(r'<th scope="row" data-value="(\d)\.?0?">.*?</th>(.*?)</tr>', text)
    cells = {int(number): re.findall(r">([^<]*)</td>", cells) for number, cells in rows}
    assert cells[1] == cells[2] == ["", "", ""] and cells[3] == ["50.0", "60.0", "90.0"]


@one_figure
def test_the_same_runs_have_the_same_page(tmp_path):
    run = write_run(tmp_path / "run", {0: matrix([0.5, 0.6, 0.9])})
    assert page_of(run) == page_of(run)


# ---- what it is ------------------------------------------------------------------------------------------


def test_it_loads_nothing_and_runs_its_own_script_alone(several):
    _, text = several
    parsed = Parsed(text)
    links = [
        value
        for _, one in parsed.elements
        for name, value in one.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    (policy,) = (one["content"] for one in parsed.all("meta") if "http-equiv" in one)
    (script,) = (script for attributes, script in parsed.scripts if "type" not in attributes)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.search(r"url\((?!#)", text)


def test_text_of_settings_is_text_on_the_page(tmp_path):
    named = {"dataset": f"{HOSTILE}.npz", "method__strength": HOSTILE, "scenario": HOSTILE}
    about = {"versions": {"keras_cl": HOSTILE, HOSTILE: "1"}, "commit": HOSTILE, "devices": [HOSTILE]}
    R = {0: matrix([0.5, 0.6, 0.9])}
    runs = [write_run(tmp_path / name, R, about, **named, stream__seed=name) for name in ("a", HOSTILE[-4:])]
    parsed = Parsed(page(report.read(runs)))
    assert HOSTILE in parsed.text
    assert not [one for _, one in parsed.elements if any(name.startswith("on") for name in one)]
    assert not parsed.all("img")
    kinds = [attributes.get("type") for attributes, _ in parsed.scripts]
    assert kinds.count(None) == 1 and {*kinds} == {None, "application/json"}


def drawn_fast(groups):
    """The page of groups, and the seconds of the fastest of three times.

    Of this thread alone: other work beside the test is not what is measured.
    """
    seconds = []
    for _ in range(3):
        before = time.thread_time()
        text = page(groups)
        seconds.append(time.thread_time() - before)
    return text, min(seconds)


@pytest.mark.slow
def test_twenty_tasks_and_five_seeds_take_less_than_ten_seconds_and_five_megabytes():
    text, taken = drawn_fast([group("ewc", tasks=20, seeds=5, epochs=10)])
    assert taken < 10
    assert len(text.encode()) < 5e6


@pytest.mark.slow
def test_a_run_is_not_slowed_by_its_report_by_more_than_two_seconds():
    _, taken = drawn_fast([group("ewc", tasks=5, seeds=1, epochs=10)])
    assert taken < 2


def test_what_there_is_no_room_for_is_named(monkeypatch):
    monkeypatch.setattr(plots, "names", lambda: ["matrix", "average", "tasks"])
    monkeypatch.setattr(drawings, "ROOM", 70_000)
    text = page([group("ewc"), group("si")])
    assert "Left out, so that the page stays small: Accuracy on every task." in text
    titles = re.findall(r"<h3>(.*?)</h3>", text.partition('id="figures"')[2].partition("</section>")[0])
    assert titles == ["Average accuracy", "Accuracy matrix of each", "ewc", "si"]


# ---- its parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(method="ewc", options={"method.strength": 7.0, "network.hidden": (5, 6)}, seeds=(3, 4)),
        Config(method="er", stream="split", scenario="class", tasks=2, optimizer="sgd", momentum=0.5),
        Config(method="dgr", stream="split", dataset="mnist", iterations=10, reset_optimizer=False),
        Config(method="finetune", regime="stable", learning_rate=0.3),
        Config(method="icarl", stream="split", scenario="class", options={"memory.capacity": 50}),
        Config(method="hat", stream="split", network="cnn", memory=""),
        Config(method="er", augment=("crop", "mixup"), options={"augment.crop.padding": 2}),
    ],
    ids=lambda config: config.method,
)
def test_the_command_gives_the_same_settings(config):
    settings = {name: list(v) if isinstance(v, tuple) else v for name, v in config.settings.items()}
    given = {name: value for name, value in settings.items() if name != "seeds"}
    line = command(given, list(config.seeds))
    assert flags.parse(shlex.split(line)[2:]).settings == config.settings
    assert len(line) < 300


def test_code_from_another_machine_is_named_with_all_its_settings():
    settings = {"method": "elsewhere/own way.py", "stream": "split", "method.depth": 3, "memory": ""}
    line = command(settings, [0])
    assert "'--method=elsewhere/own way.py'" in line and "--method.depth=3" in line
    assert command({**settings, "program": "keras_cl.learn"}, [0]) is None


def test_a_run_from_python_says_that_no_command_repeats_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "names", list)
    run = write_run(tmp_path / "run", {0: matrix([0.5, 0.6, 0.9])}, program="keras_cl.learn")
    text = page_of(run)
    assert "keras_cl.learn" in text and "python -m keras_cl.main" not in text


def test_numbers_are_told_in_their_units():
    assert [percent(value).text for value in (0.123, -0.05, None, np.nan)] == ["12.3", "−5.0", "", ""]
    assert [seconds(value).text for value in (3.21, 300, 9000)] == ["3.2 s", "5.0 min", "2.5 h"]
    assert [size(value).text for value in (0, 1524000, 999_999)] == ["0 B", "1.52 MB", "1 MB"]
