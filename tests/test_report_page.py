"""The page of a report in a real browser: its figures, switches, tables and sizes."""

import json

import pytest
from browser import chromium
from made_groups import group, write_curvature, write_generator_quality, write_samples

from keras_cl import report
from keras_cl.report import plots

pytestmark = pytest.mark.slow

RIGHT, ESCAPE, ENTER = "\ue014", "\ue00c", "\ue007"  # the keys as WebDriver names them
TIP = "const tip = document.getElementById('tip'); return tip.hidden ? '' : tip.textContent"
CARD = """
[...document.querySelectorAll("figure.card")].find((card) => card.querySelector("h3").textContent === %s)
"""
TITLES = "return [...document.querySelectorAll('.card h3')].map((title) => title.textContent)"
DRAWN = """
return [...document.querySelectorAll(".plot svg")].map((svg) => svg.getBBox().width * svg.clientHeight)
"""
THIRD = """
card.scrollIntoView({block: "center", behavior: "instant"});
const spot = JSON.parse(card.querySelector("script").textContent)[2];
const place = new DOMPoint(spot.x, spot.y).matrixTransform(card.querySelector(".plot svg").getScreenCTM());
return [place.x, place.y, spot.text];
"""
SECOND_TASK = """
return [...card.querySelectorAll("[data-series='task 2']")].map((one) => getComputedStyle(one).display);
"""
MARKERS = """
return [...card.querySelectorAll(".chip svg path:nth-child(2)")].map((one) => one.getBBox().width);
"""
SWITCH = "const chip = [...card.querySelectorAll('.chip')].find((one) => one.textContent === 'task 2');"
LINES = """
for (const cell of document.querySelectorAll("td")) cell.textContent = "word ".repeat(40);
return [...document.querySelectorAll("tbody th")].filter((one) => one.textContent === "ewc").map((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return range.getClientRects().length;
});
"""
OF_EWC = """
const shown = (name) => [...document.querySelectorAll(`[data-${name}="ewc"]`)].filter(
    (one) => one.getClientRects().length).length;
return [shown("series"), shown("group")];
"""
WIDER = """
return [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, .plot, .skip, svg")
    && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
  ).map((one) => one.outerHTML.slice(0, 99));
"""
FIRST = "return [...document.querySelector('table').tBodies[0].rows].map((row) => row.cells[%d].textContent)"
LUMINANCE = """
const numbers = (name) => getComputedStyle(document.body)[name].match(/[\\d.]+/g).map(Number);
return [numbers("color"), numbers("backgroundColor")];
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Addresses of the pages of one group, which has something for every figure, and of three groups."""
    folder, run = tmp_path_factory.mktemp("pages"), tmp_path_factory.mktemp("run")
    write_curvature(run)
    write_samples(run)
    write_generator_quality(run)
    groups = [
        group("ewc", path=run),
        group("er, capacity=100", memory="reservoir"),
        group("si", seeds=2, done=3),
    ]
    for name, shown in (("one", groups[:1]), ("three", groups)):
        report.save(shown, folder / name)
    return {name: f"file://{folder / name / 'report.html'}" for name in ("one", "three")}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, pages):
    """A function that opens a page, of a width; nothing may be wrong in the end."""

    def open_page(name, width=1400, dark=False):
        browser.size(width, dark=dark)
        browser.open(pages[name])
        return browser

    yield open_page
    assert browser.errors() == []


def part(browser, title, code):
    """What code says of `card`, the figure with a title."""
    return browser.js(f"const card = {CARD % json.dumps(title)}; {code}")


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("name", ["one", "three"])
def test_every_figure_is_drawn_and_nothing_is_wider_than_the_window(opened, name, width):
    browser = opened(name, width)
    titles, drawn = browser.js(TITLES), browser.js(DRAWN)
    assert len(titles) == len(drawn) >= 11 and min(drawn) > 0
    if name == "one":
        assert titles == [plots.title(one) for one in plots.names()]
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.js(WIDER) == []


def test_values_are_told_under_the_mouse_and_by_the_keys(opened):
    browser = opened("one")
    x, y, text = part(browser, "Average accuracy", THIRD)
    browser.move(x + 2, y - 2)
    assert browser.js(TIP) == text and text.startswith("ewc, after 3 tasks: ")
    browser.move(2, 2)
    assert browser.js(TIP) == ""
    spots = part(browser, "Forgetting", "return JSON.parse(card.querySelector('script').textContent)")
    part(browser, "Forgetting", "card.querySelector('.plot').focus()")
    browser.keys(RIGHT)
    assert browser.js(TIP) == spots[0]["text"]
    browser.keys(RIGHT)
    assert browser.js(TIP) == spots[1]["text"]
    browser.keys(ESCAPE)
    assert browser.js(TIP) == ""


def test_series_are_switched_on_and_off(opened):
    browser = opened("one")
    title = plots.title("tasks")
    assert {*part(browser, title, SECOND_TASK)} == {"inline"}
    part(browser, title, f"{SWITCH} chip.focus()")
    browser.keys(ENTER)
    assert {*part(browser, title, SECOND_TASK)} == {"none"}
    assert part(browser, title, f"{SWITCH} return chip.getAttribute('aria-pressed')") == "false"
    part(browser, title, f"{SWITCH} chip.click()")
    assert {*part(browser, title, SECOND_TASK)} == {"inline"}


def test_the_switches_have_the_markers_of_their_series(opened):
    browser = opened("one")  # of several seeds, whose bands are below the lines
    widths = part(browser, plots.title("tasks"), MARKERS)
    assert len(widths) == 5 and all(0 < width < 20 for width in widths)


def test_there_is_no_switch_of_what_is_not_drawn(opened):
    browser = opened("three")  # whose last group has learned 3 of 5 tasks
    labels = "return [...document.querySelectorAll('#figure_tasks_3 .chip')].map((one) => one.dataset.label)"
    assert browser.js(labels) == ["task 1", "task 2", "task 3", "mean of tasks seen"]


def test_a_group_is_hidden_in_all_figures(opened):
    browser = opened("three")
    switch = "document.querySelector('.groups [data-label=\"ewc\"]').click()"
    assert min(browser.js(OF_EWC)) > 2
    browser.js(switch)
    assert browser.js(OF_EWC) == [0, 0]
    browser.js(switch)
    assert min(browser.js(OF_EWC)) > 2


def leading(mean):
    return float(mean.split()[0])


def test_tables_sort_by_numbers_and_what_is_not_known_is_last(opened):
    browser = opened("three")
    rows = browser.js(FIRST % 0)
    means = browser.js(FIRST % 2)
    click = "document.querySelector('table').tHead.rows[0].cells[2].querySelector('button').click()"
    browser.js(click)
    rising = browser.js(FIRST % 2)
    browser.js(click)
    falling = browser.js(FIRST % 2)
    known = [mean for mean in means if mean[0].isdigit()]
    assert "unfinished" in means and len(known) == 2
    assert rising == [*sorted(known, key=leading), "unfinished"]
    assert falling == [*sorted(known, key=leading, reverse=True), "unfinished"]
    assert (
        browser.js("return document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    )
    assert sorted(browser.js(FIRST % 0)) == sorted(rows)


def test_the_page_is_light_or_dark_as_its_reader_prefers_or_chooses(opened):
    for dark in (False, True):
        browser = opened("one", dark=dark)
        browser.js("localStorage.clear()")
        browser = opened("one", dark=dark)
        ink, back = browser.js(LUMINANCE)
        assert (sum(ink[:3]) > sum(back[:3])) == dark
        browser.js("document.getElementById('theme').click()")
        ink, back = browser.js(LUMINANCE)
        assert (sum(ink[:3]) > sum(back[:3])) != dark
        opened("one", dark=dark)  # the choice is kept
        ink, back = browser.js(LUMINANCE)
        assert (sum(ink[:3]) > sum(back[:3])) != dark
    browser.js("localStorage.clear()")


def test_paper_breaks_no_short_name_of_a_run(opened):
    browser = opened("three")
    browser.size(794, media="print")
    lines = browser.js(LINES)
    assert len(lines) > 2 and {*lines} == {1}


def test_it_can_be_printed(opened):
    browser = opened("three")
    assert browser.printed().startswith(b"%PDF")
    assert browser.js("return [...document.querySelectorAll('section > details')].every((one) => one.open)")
