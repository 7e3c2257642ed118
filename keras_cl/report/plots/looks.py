"""Colours, line styles and markers that tell series apart, also in grey and for the colour-blind."""

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MAP = "cividis"  # of matrices: its grey is as ordered as its colours
ORDERED, ENDS = "plasma", (0.25, 0.85)  # of many lines, the same
BETWEEN = "#808080"  # lines between images
DARK, LIGHT = "#010101", "#fefefe"  # of numbers on cells; unlike those of text, which a page replaces
MARKED = 12  # about the number of markers on a line


def look(number, points=0):
    """How series `number` (from 0) looks: the arguments of `Axes.plot`.

    Args:
      number: of the series in its figure; its colour is that of the matplotlib style, if that has its own.
      points: number of points of the line; of many, some have a marker.
    """
    colors = _own_colors() or OKABE_ITO
    every = -(-points // MARKED) or 1
    return {
        "color": colors[number % len(colors)],
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markevery": (number % every, every),
    }


def ink():
    """The colour of text and of lines that are no series."""
    import matplotlib

    return matplotlib.rcParams["text.color"]


def faint():
    """How lines look that are in the background."""
    return {"color": ink(), "alpha": 0.2, "lw": 0.6}


def shades(count):
    """`count` colours of lines in an order, dark to light; all can be seen on white and on black."""
    from matplotlib import colormaps

    first, last = ENDS
    return [colormaps[ORDERED](first + (last - first) * i / max(count - 1, 1)) for i in range(count)]


def _own_colors():
    """The colours of the style in use, None for matplotlib's default."""
    import matplotlib

    used, default = (
        params["axes.prop_cycle"].by_key().get("color")
        for params in (matplotlib.rcParams, matplotlib.rcParamsDefault)
    )
    return used if used != default else None
