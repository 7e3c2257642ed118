"""Matrices as heat maps, with numbers in the cells where they are large enough."""

import numpy as np

from keras_cl.report.plots.looks import DARK, LIGHT, MAP
from keras_cl.report.plots.marks import Mark

ZOOM = 8  # pixels per cell of the image: viewers that smooth images then do not blur the cells,
SIDE = 800  # if the image has no more than these
NUMBERS = 5.5, 6.5, 7.0  # smallest size of a number in a cell, that of one with decimals, and the largest
MIDDLE = 0.18  # luminance on which black and white have the same contrast
COLUMN, PAGE = 3.5, 7.2  # inches


def draw(
    axes,
    values,
    texts,
    label,
    bar,
    numbers=("{:.1f}", "{:.0f}"),
    high=100.0,
    reverse=False,
    said=None,
):
    """Draws a matrix `[n, m]`, NaN for empty cells, its row 0 at the top; returns its `Mark`.

    Args:
      axes: matplotlib's axes.
      values: the matrix.
      texts: function (row, column) -> what hovering over the cell says.
      label: name of the series.
      bar: label of the colour bar.
      numbers: formats of the numbers in the cells, of which the first is taken that fits.
      high: value of the lightest colour; the darkest is 0.
      reverse: whether high values are dark.
      said: mask of the cells over which hovering says something; by default all.
    """
    from matplotlib import colormaps

    rows, columns = values.shape
    colors = colormaps[MAP + "_r" * reverse]
    zoom = min(ZOOM, SIDE // max(rows, columns) or 1)
    large = np.ma.masked_invalid(values).repeat(zoom, axis=0).repeat(zoom, axis=1)
    extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    options = {"cmap": colors, "vmin": 0, "vmax": high, "interpolation": "none", "extent": extent}
    image = axes.imshow(large, aspect="auto", **options)
    axes.grid(False)
    beside = axes.inset_axes([1.02, 0, 0.05 * min(1, COLUMN / axes.figure.get_figwidth()), 1])
    axes.figure.colorbar(image, cax=beside, label=bar)
    known = np.isfinite(values)
    _numbers(axes, values, np.argwhere(known), numbers, colors, high)
    said = np.argwhere(known if said is None else known & said)
    return Mark(image, label, said[:, 1], said[:, 0], [texts(i, j) for i, j in said])


def size(rows, columns):
    """Width of the figure and height of the axes, inches, of a matrix: a column if its numbers fit there."""
    width = COLUMN if columns <= 10 else PAGE
    return width, float(np.clip(0.7 * (width - 1.1) / columns * rows, 1.2, 5))


def _numbers(axes, values, known, formats, colors, high):
    """Writes the numbers to the cells, if they fit."""
    box = axes.get_window_extent()
    width, height = (
        72 / axes.figure.dpi * side / count for side, count in zip(box.size, values.shape[::-1], strict=True)
    )
    for number, least in zip(formats, [NUMBERS[1]] * (len(formats) - 1) + [NUMBERS[0]], strict=True):
        if 0.75 * height < least:
            continue
        texts = {(i, j): number.format(values[i, j]) for i, j in known}
        longest = max(map(len, texts.values()), default=1)
        points = min(width / (0.66 * longest + 0.4), 0.75 * height, NUMBERS[2])
        if points >= least:
            break
    else:
        return
    bright = _luminance(colors(np.clip(values / high, 0, 1))) > MIDDLE
    options = {"ha": "center", "va": "center", "fontsize": points, "in_layout": False}  # it is in its cell
    for (i, j), text in texts.items():
        axes.text(j, i, text, color=DARK if bright[i, j] else LIGHT, **options)


def _luminance(colors):
    """Relative luminance of colours `[..., 4]`, as WCAG defines it."""
    parts = colors[..., :3]
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)
