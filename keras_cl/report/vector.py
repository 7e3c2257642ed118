"""Figures for a page: SVG in the colours of the page, with places that say something when hovered over."""

import html
import io
import re
import zlib

import numpy as np

INKS = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
FRAME = re.compile(r"^.*?<svg[^>]*?viewBox=\"(?P<box>[^\"]*)\"[^>]*>", re.DOTALL)
LEFT_OUT = re.compile(  # its style would be that of all graphics of the page
    r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|(?<=\") transform=\"rotate\(-0 [^\"]*\"",
    re.DOTALL,
)
FONT = re.compile(r"font: [^;\"]*?([\d.]+px)[^;\"]*|(font-size: [\d.]+px); font-family: [^;\"]*")
OPENING = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}"'
    ' fill="currentColor" stroke-linejoin="round" stroke-linecap="butt" role="img" aria-label="{name}">'
)


def svg(figure, marks):
    """A figure that `figures.figure` made as SVG for a page, and the places of its points.

    Text is `<text>` in the page's font; text and axes have the colour of the page's text (`currentColor`).
    Each series is a group of the class "series" whose data-series is its label; what has no points, as a
    band, is also of the class "band". Identifiers begin with the label of the figure.

    Returns:
      text: the SVG element; its aria-label is the title that `figures.figure` gives by default.
      hot_spots: list of dicts of x, y in the coordinates of its viewBox, text and series.
    """
    name, _, group = figure.get_label().partition("-")
    prefix = f"{name}-{zlib.crc32(group.encode()):x}" if group else name
    series = {}
    for number, mark in enumerate(marks):
        mark.artist.set_gid(f"series_{number}")
        series[f"series_{number}"] = mark
    text, inks = _written(figure)
    box = FRAME.match(text)["box"]
    opening = OPENING.format(box=box, name=html.escape(figure.about))
    text = LEFT_OUT.sub("", FRAME.sub(lambda _: opening, text, count=1))
    text = FONT.sub(lambda found: found[2] or f"font-size: {found[1]}", text)
    for color in {"#000000", *inks}:
        text = text.replace(f": {color}", ": currentColor")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for own, mark in series.items():
        group, kind = f'<g id="{prefix}-{own}"', "series" if len(mark.x) else "series band"
        text = text.replace(group, f'{group} class="{kind}" data-series="{html.escape(mark.label)}"')
    return text, hot_spots(figure, marks)


def hot_spots(figure, marks):
    """Where the points of the marks are in the figure, in points from its upper left corner."""
    height = 72 * figure.get_figheight()
    spots = []
    for mark in marks:
        if len(mark.x):
            places = mark.artist.axes.transData.transform(np.column_stack([mark.x, mark.y]))
            places *= 72 / figure.dpi
            for (x, y), text in zip(np.round(places, 1).tolist(), mark.texts, strict=True):
                spots.append({"x": x, "y": round(height - y, 1), "text": text, "series": mark.label})
    return spots


def _written(figure):
    """The figure as SVG, and the colours of its text and axes."""
    import matplotlib
    from matplotlib.colors import to_hex

    from keras_cl.report import figures

    file = io.BytesIO()
    figures.save(figure, file, "svg", transparent=True)
    with figures.styled(figure.style):
        colors = [matplotlib.rcParams[name] for name in INKS]
        inks = [to_hex(color) for color in colors if matplotlib.colors.is_color_like(color)]
    return file.getvalue().decode(), inks
