"""Where things stand in a figure: measured once, so that no label is clipped and none covers another."""

import re
import textwrap

import numpy as np

EDGE = 0.05  # inches around all
GAP = 0.04  # between title, legend and axes
BETWEEN = 0.15  # between panels
ENOUGH = 0.01  # what is not worth another pass
PASSES = 3


def arrange(figure, panels, title, width, height):
    """Places title, legends and axes, and sets the height of the figure so that all of it is inside.

    Legends come above their axes; one that is alone takes the width of the figure.

    Args:
      figure: matplotlib's figure; its canvas is Agg's.
      panels: its axes, side by side.
      title: text above all.
      width: of the figure, inches.
      height: of each of the axes, inches.
    """
    renderer = figure.canvas.get_renderer()
    heading = _title(figure, title, width)
    top = EDGE + _inches(figure, heading, renderer)[1] + GAP
    margins = np.array([_margins(figure, panel, renderer) for panel in panels])
    legends = _legends(figure, panels, *_across(margins, width), width)
    tallest = max((_inches(figure, legend, renderer)[1] for legend, _ in legends), default=0)
    for _ in range(PASSES):  # of another size, axes can have other ticks
        above = top + tallest + bool(legends) * GAP + margins[:, 2].max()
        total = above + height + margins[:, 1].max() + EDGE
        figure.set_size_inches(width, total)
        places, own = _across(margins, width)
        for panel, place in zip(panels, places, strict=True):
            panel.set_position([place / width, 1 - (above + height) / total, own / width, height / total])
        found = np.array([_margins(figure, panel, renderer) for panel in panels])
        if (found <= margins + ENOUGH).all():
            break
        margins = np.maximum(margins, found)
    heading.set_position((EDGE / width, 1 - EDGE / total))
    for legend, number in legends:
        place = EDGE if len(legends) == 1 else places[number]
        legend.set_bbox_to_anchor((place / width, 1 - (top + tallest) / total), figure.transFigure)


def _across(margins, width):
    """Left ends, and the width, of panels with some margins, side by side in a figure of a width; inches."""
    left, right = margins[:, 0], margins[:, 3]
    room = width - 2 * EDGE - (left + right).sum() - BETWEEN * (len(margins) - 1)
    own = room / len(margins)
    return EDGE + np.cumsum(left) + np.append(0, np.cumsum(right + own + BETWEEN)[:-1]), own


def _title(figure, title, width):
    """The title, in as many lines as the width needs."""
    size = figure.text(0, 0, "", fontsize="medium").get_fontsize()
    title = re.sub(r"(?<=\d) (?=seed)", "\u00a0", title)
    lines = textwrap.wrap(title, int((width - 2 * EDGE) * 72 / (0.54 * size)), break_on_hyphens=False)
    figure.texts[-1].remove()
    title = "\n".join(lines).replace("\u00a0", " ")
    return figure.text(0, 0, title, ha="left", va="top", fontsize="medium", in_layout=False)


def _margins(figure, panel, renderer):
    """What stands out of axes, inches: left, below, above, right."""
    if legend := panel.get_legend():
        legend.set_in_layout(False)
    box, outer = panel.get_window_extent(renderer), panel.get_tightbbox(renderer)
    ends = box.x0 - outer.x0, box.y0 - outer.y0, outer.y1 - box.y1, outer.x1 - box.x1
    return [max(0, end) / figure.dpi for end in ends]


def _legends(figure, panels, places, own, width):
    """The legends of the panels, taken out of the axes, each with the number of its panel."""
    taken = [number for number, panel in enumerate(panels) if panel.get_legend()]
    legends = []
    for number in taken:
        panels[number].get_legend().remove()
        room = width - 2 * EDGE if len(taken) == 1 else min(own, width - EDGE - places[number])
        legends.append((_legend(figure, *panels[number].get_legend_handles_labels(), room), number))
    return legends


def _legend(figure, handles, labels, room):
    """A legend of as many columns as there is room for, inches."""
    import matplotlib
    from matplotlib import font_manager

    font = font_manager.FontProperties(size=matplotlib.rcParams["legend.fontsize"])
    points = font.get_size_in_points()
    most = int((room * 72 / points - 4) / 0.56)  # letters
    labels = [label if len(label) <= most else label[: most - 1] + "…" for label in labels]
    renderer = figure.canvas.get_renderer()
    texts = [renderer.get_text_width_height_descent(label, font, False)[0] for label in labels]
    widths = [text / figure.dpi + 4.6 * points / 72 for text in texts]
    columns = next(count for count in range(len(labels), 0, -1) if _wide(widths, count) <= room or count == 1)
    options = {"loc": "lower left", "borderaxespad": 0, "borderpad": 0, "handlelength": 2.5}
    return figure.legend(handles, labels, ncols=columns, columnspacing=1, **options)


def _wide(widths, columns):
    """Width of a legend of entries of some widths: matplotlib fills its columns one after the other."""
    return sum(max(column) for column in np.array_split(widths, columns))


def _inches(figure, artist, renderer):
    box = artist.get_window_extent(renderer)
    return box.width / figure.dpi, box.height / figure.dpi
