"""Figures: nothing clipped or covered, styles, formats, hot spots, the figures of a run."""

import dataclasses
import functools
import io
import itertools
import re
import xml.etree.ElementTree as ElementTree

import made_groups
import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from saved_runs import matrix, write_run

from keras_cl.errors import InputError
from keras_cl.report import figures, plots

pytestmark = pytest.mark.filterwarnings("error")
SVG = "{http://www.w3.org/2000/svg}"
LONG = "experience_replay scenario=class memory=reservoir learning_rate=0.0001 strength=1000"


NO_SERIES = ("matrix", "loss_matrix", "confusion", "class_accuracy", "samples", "nearest")  # one image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    made_groups.write_curvature(path, tasks=20, eigenvalues=8)
    made_groups.write_samples(path, tasks=50)
    made_groups.write_generator_quality(path, tasks=20)
    return path


@pytest.fixture(scope="module")
def drawn(folder):
    """A function of a plot and a number of tasks: figure and marks, of groups with long names."""
    group = functools.cache(functools.partial(made_groups.group, seeds=2, path=folder))

    @functools.cache
    def draw(name, tasks, count=5):
        labels = [f"{('ewc', 'er', 'derpp')[i % 3]} {LONG[: 20 * i]}" for i in range(count)]
        groups = [group(label, tasks) for label in (["ewc"] if plots.plot(name).SINGLE else labels)]
        return figures.figure(name, groups)

    return draw


def boxes_of(figure):
    """Boxes of all texts that are seen in a figure, in pixels, and the tick labels of every axis."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    panels = [one for panel in figure.axes for one in (panel, *panel.child_axes)]
    ticks = [_tick_labels(axis) for panel in panels for axis in (panel.xaxis, panel.yaxis)]
    labels = {
        id(text) for panel in panels for axis in (panel.xaxis, panel.yaxis) for text in _all_labels(axis)
    }
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts if id(text) not in labels]
    return boxes + [box for axis in ticks for box in axis], ticks


def _tick_labels(axis):
    low, high = sorted(axis.get_view_interval())
    near = 1e-6 * (high - low)
    ticks = [tick for tick in axis.get_major_ticks() if low - near <= tick.get_loc() <= high + near]
    boxes = [label.get_window_extent() for tick in ticks for label in (tick.label1, tick.label2)]
    return [box for box in boxes if box.width > 1]


def _all_labels(axis):
    ticks = [*axis.majorTicks, *axis.minorTicks]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]


# ---- nothing is clipped, nothing covers another ----------------------------------------------------------


@pytest.mark.parametrize("tasks", [5, 20, 50])
@pytest.mark.parametrize("name", plots.names())
def test_no_text_is_clipped_and_nothing_covers_another(name, tasks, drawn):
    figure, _ = drawn(name, tasks)
    assert figure.get_figwidth() in ((7.2,) if plots.plot(name).WIDE else (3.5, 7.2))
    assert figure.get_figheight() < 9  # a page's
    width, height = figure.get_size_inches() * figure.dpi
    with figures.styled(""):
        texts, ticks = boxes_of(figure)
    assert len(texts) > 3
    for box in texts:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
    for labels in ticks:
        assert not any(one.overlaps(other) for one, other in itertools.combinations(labels, 2))
    with figures.styled(""):
        renderer = figure.canvas.get_renderer()
        boxes = [part.get_window_extent(renderer) for part in (figure.texts[0], *figure.legends)]
        boxes += [panel.get_tightbbox(renderer) for panel in figure.axes]
    assert not any(one.padded(-2).overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_many_groups_with_long_names_fit_into_their_legend(drawn):
    figure, _ = drawn("average", 5, count=24)
    width = figure.get_figwidth() * figure.dpi
    entries = figure.legends[0].get_texts()
    assert len(entries) == 24
    assert all(text.get_window_extent().x1 <= width + 1 for text in entries)
    assert any(text.get_text().endswith("…") for text in entries)


def test_numbers_are_in_cells_that_are_large_enough_and_hovering_says_the_others(folder):
    for tasks, numbers in ((5, 30), (20, 420), (50, 0)):
        figure, (mark,) = figures.figure("matrix", [made_groups.group(tasks=tasks, path=folder)])
        panel = figure.axes[0]
        assert len(panel.texts) == numbers and len(mark.texts) == tasks * (tasks + 1)
        width, height = panel.get_window_extent().size / [tasks, tasks + 1]
        for text in panel.texts:
            box = text.get_window_extent()
            assert box.width < width and box.height < height and text.get_fontsize() >= 5.5


def test_numbers_can_be_read_on_their_cells(folder):
    figure, (mark,) = figures.figure("matrix", [made_groups.group(tasks=10, path=folder)])

    def brightness(color):
        parts = np.array(matplotlib.colors.to_rgb(color))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    cells = mark.artist.to_rgba(mark.artist.get_array())
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        dark, light = sorted((brightness(cells[8 * y, 8 * x, :3]), brightness(text.get_color())))
        assert (light + 0.05) / (dark + 0.05) > 4.5  # contrast that WCAG asks for


# ---- what the title says ---------------------------------------------------------------------------------


def title(*groups):
    return figures.figure("average", groups)[0].texts[0].get_text().replace("\n", " ")


def test_the_title_says_what_of_which_runs_and_how_many_seeds():
    ewc, er = made_groups.group("ewc"), made_groups.group("er")
    assert title(ewc) == "Average accuracy: ewc on split digits, domain-incremental, 3 seeds"
    assert title(ewc, er) == "Average accuracy on split digits, domain-incremental, 3 seeds"
    assert title(ewc, made_groups.group("er", seeds=1)) == (
        "Average accuracy on split digits, domain-incremental"  # the legend has the seeds
    )
    other = made_groups.group("er", scenario="class", stream="permuted")
    assert title(ewc, other) == "Average accuracy, 3 seeds"
    assert title(made_groups.group(done=3)).startswith("Average accuracy: ewc (unfinished) on")


# ---- styles ----------------------------------------------------------------------------------------------


def test_a_style_is_a_name_or_a_file(tmp_path):
    groups = [made_groups.group("ewc")]
    plain, _ = figures.figure("average", groups)
    assert plain.texts[0].get_fontsize() == 8
    file = tmp_path / "own.mplstyle"
    file.write_text("font.size: 10\naxes.prop_cycle: cycler(color=['123456'])\n")
    own, marks = figures.figure("average", groups, str(file))
    assert own.texts[0].get_fontsize() == 10 and marks[0].artist.get_color() == "#123456"
    dark, _ = figures.figure("average", groups, "dark_background")
    assert dark.texts[0].get_color() == "white"
    before = dict(matplotlib.rcParams)
    figures.save(dark, io.BytesIO(), "png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("ggplott", "There is no matplotlib style and no file 'ggplott'. Did you mean ggplot?"),
        ("no/such.mplstyle", "There is no matplotlib style and no file 'no/such.mplstyle'."),
    ],
)
def test_a_style_that_there_is_not_is_one_sentence(style, message):
    with pytest.raises(InputError) as error:
        figures.figure("average", [made_groups.group()], style)
    assert str(error.value) == message


@pytest.mark.parametrize("content", ["font.size: large or so\n", "\0\xff\xfe"])
def test_a_damaged_style_is_one_sentence(tmp_path, content):
    file = tmp_path / "own.mplstyle"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=f"{re.escape(str(file))} is no matplotlib style: "):
        figures.figure("average", [made_groups.group()], str(file))


# ---- formats ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_equal_figures_have_equal_bytes_in_every_format(tmp_path, format, start):
    written = []
    for number in range(2):
        figure, _ = figures.figure("matrix", [made_groups.group("ewc")])
        file = tmp_path / f"{number}.{format}"
        figures.save(figure, file)
        written.append(file.read_bytes())
    assert written[0] == written[1] and written[0].startswith(start)
    assert b"CreationDate" not in written[0] and b"<dc:date>" not in written[0]


def test_a_png_has_300_dots_per_inch(tmp_path):
    figures.save(figures.figure("average", [made_groups.group()])[0], tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] == 1050  # 3.5 inches


def test_a_format_that_there_is_not_is_one_sentence(tmp_path):
    figure, _ = figures.figure("average", [made_groups.group()])
    with pytest.raises(
        InputError, match="format 'pdff' is not known; possible: png, pdf, svg. Did you mean pdf"
    ):
        figures.save(figure, tmp_path / "a.pdff")


def test_text_of_vector_files_is_text(tmp_path):
    figure, _ = figures.figure("average", [made_groups.group()])
    figures.save(figure, tmp_path / "a.svg")
    assert ">average accuracy (%)<" in (tmp_path / "a.svg").read_text()
    figures.save(figure, tmp_path / "a.pdf")
    assert b"/FontFile2" in (tmp_path / "a.pdf").read_bytes()  # TrueType, which journals ask for


@pytest.mark.parametrize("name", plots.names())
def test_figures_of_twenty_tasks_have_few_artists(name, folder):
    groups = [made_groups.group(label, 20, seeds=5, path=folder) for label in ("ewc", "er")]
    figure, _ = figures.figure(name, groups[:1] if plots.plot(name).SINGLE else groups)
    # Time goes with their number, and is no measure where other work runs: 0.7 s for the most, 1,769.
    assert len(figure.findobj()) < 2000


# ---- for a page ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [5, 50])
@pytest.mark.parametrize("name", plots.names())
def test_hot_spots_are_in_the_view_box_and_series_can_be_told(name, tasks, drawn):
    figure, marks = drawn(name, tasks)
    text, spots = figures.svg(figure, marks)
    root = ElementTree.fromstring(text)
    _, _, width, height = map(float, root.get("viewBox").split())
    assert spots and all(0 <= spot["x"] <= width and 0 <= spot["y"] <= height for spot in spots)
    assert [spot["text"] for spot in spots] == [text for mark in marks for text in mark.texts]
    series = [group for group in root.iter(f"{SVG}g") if group.get("class") in ("series", "series band")]
    assert sum(group.get("class") == "series band" for group in series) == sum(
        not len(mark.x) for mark in marks
    )
    drawn = {mark.label for mark in marks if name not in NO_SERIES}
    assert {group.get("data-series") for group in series} == drawn
    identifiers = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_a_hot_spot_is_where_its_point_is_drawn():
    figure, marks = figures.figure("average", [made_groups.group(tasks=3, seeds=1)])
    text, spots = figures.svg(figure, marks)
    root = ElementTree.fromstring(text)
    (series,) = [group for group in root.iter(f"{SVG}g") if group.get("class") == "series"]
    line = series.find(f"{SVG}path").get("d")
    drawn = [tuple(map(float, point)) for point in re.findall(r"[ML] ([\d.]+) ([\d.]+)", line)]
    assert drawn == [pytest.approx((spot["x"], spot["y"]), abs=0.06) for spot in spots]


def test_svgs_of_a_page_take_its_colours_and_share_nothing():
    text, other = (
        figures.svg(*figures.figure("tasks", [made_groups.group(label)], title=""))[0]
        for label in ("ewc 1", "ewc-1")
    )
    said = "Accuracy on every task: ewc 1 on split digits, domain-incremental, 3 seeds"
    assert ElementTree.fromstring(text).get("aria-label") == said
    own, others = (set(re.findall(r'\bid="([^"]+)"', one)) for one in (text, other))
    assert own and not own & others
    assert (
        "currentColor" in text
        and "#000000" not in text
        and "<style" not in text
        and "font-family" not in text
    )
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references and references <= own
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", text)


def test_a_page_has_its_own_colours_whatever_the_style():
    text, _ = figures.svg(*figures.figure("tasks", [made_groups.group()], "dark_background"))
    assert "#ffffff" not in text and ": currentColor" in text


def test_lines_that_are_no_series_have_the_colour_of_the_text():
    _, marks = figures.figure("tasks", [made_groups.group()], "dark_background")
    colors = {mark.label: mark.artist.get_color() for mark in marks if len(mark.x)}
    assert colors["mean of tasks seen"] == "white"


def test_labels_are_what_they_are_in_figures_and_pages():
    label = 'a <b> & "c" $d$'
    figure, marks = figures.figure("average", [made_groups.group(label), made_groups.group("er")])
    text, spots = figures.svg(figure, marks)
    series = {group.get("data-series") for group in ElementTree.fromstring(text).iter(f"{SVG}g")}
    assert series == {None, label, "er"} and spots[0]["series"] == label
    assert label in [element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")]


# ---- the figures of a run --------------------------------------------------------------------------------


def test_a_run_has_figures_of_what_was_measured(tmp_path):
    path = write_run(tmp_path / "run [1]", {0: matrix(0.5)})
    figures.draw(path)
    assert sorted(file.name for file in path.glob("*.png")) == ["accuracy.png", "matrix.png"]
    before = (path / "matrix.png").read_bytes()
    figures.draw(path)
    assert (path / "matrix.png").read_bytes() == before
    made_groups.write_curvature(path, tasks=3)
    figures.draw(path)
    assert (path / "curvature.png").read_bytes().startswith(b"\x89PNG")


def test_damaged_curvature_is_one_sentence(tmp_path):
    group = made_groups.group(path=tmp_path)
    (tmp_path / "curvature.csv").write_text("task,rows\n1,x\n")
    with pytest.raises(InputError) as error:
        figures.figure("curvature", [group])
    assert str(error.value) == (
        f"{tmp_path / 'curvature.csv'} is damaged; remove it, or give --curvature to measure it again."
    )


def test_seeds_whose_curvature_is_of_other_tasks_are_left_out(tmp_path):
    group = made_groups.group(seeds=2)
    for seed, tasks in ((0, 4), (1, 3)):
        (tmp_path / str(seed)).mkdir()
        made_groups.write_curvature(tmp_path / str(seed), tasks)
        group.runs[seed] = dataclasses.replace(group.runs[seed], path=tmp_path / str(seed))
    _, marks = figures.figure("curvature", [group])
    assert all(text.endswith("1 seed") for mark in marks for text in mark.texts)
