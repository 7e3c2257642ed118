"""Figures of runs for papers and pages: sizes, style and formats around the plots."""

import contextlib
import functools
import glob
import io
import pathlib

from keras_cl.errors import InputError, did_you_mean, pick, require
from keras_cl.report import layout, plots
from keras_cl.report.groups import grouped
from keras_cl.report.plots import tasks
from keras_cl.report.plots.seeds import counted, named, plain, shown
from keras_cl.report.streams import stream_name
from keras_cl.report.vector import svg
from keras_cl.runs.files import replace
from keras_cl.runs.saved_run import read

__all__ = ["draw", "figure", "read_style", "save", "styled", "svg"]

COLUMN, PAGE = 3.5, 7.2  # inches
HEIGHT = 2.1  # of the axes, inches
SCREEN = 200  # dots per inch of the figures that every run leaves
DPI = 200  # in which texts are measured: with fewer they are larger, to end at whole dots
FORMATS = ("png", "pdf", "svg")
STYLE = {  # under the style that a user gives
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "figure.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "black",
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
}
FIXED = {  # of files: text is text, and equal figures have equal bytes
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_cl",
    "pdf.fonttype": 42,
    "savefig.bbox": "standard",
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
}
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
METADATA["svg"] = {"Date": None, "Creator": None, "Format": None, "Type": None}


def figure(name, groups, style="", title=None, **options):
    """A plot as a figure, as wide as a column or a page, with nothing clipped.

    Args:
      name: of the plot, see `plots.names`.
      groups: the `Group`s that it shows; one, if it is `SINGLE`.
      style: name of a matplotlib style, or a style file.
      title: text above it; by default what the plot shows of what, and the number of seeds.
      **options: further arguments of the plot's `draw`.

    Returns:
      figure: matplotlib's `Figure`.
      marks: list of the `Mark`s in it.

    Raises:
      InputError: if the style is unusable, or a file of a run is damaged.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = plots.plot(name)
    width, height = getattr(plot, "size", lambda _: (PAGE if plot.WIDE else COLUMN, HEIGHT))(groups)
    with styled(style):
        drawn = Figure(figsize=(width, height + 0.8), dpi=DPI, label="-".join([name, *_slug(groups)]))
        drawn.style, drawn.about = style, _title(name, groups)
        FigureCanvasAgg(drawn)
        side = (width - 0.2) / plot.PANELS
        box = [0.5 / width, 0.4 / (height + 0.8), (side - 0.6) / width, height / (height + 0.8)]
        panels = [
            drawn.add_axes([box[0] + panel * side / width, *box[1:]], label=str(panel))
            for panel in range(plot.PANELS)
        ]
        marks = plot.draw(panels if plot.PANELS > 1 else panels[0], groups, **options)
        layout.arrange(drawn, panels, drawn.about if title is None else title, width, height)
    return drawn, marks


def save(figure, file, format="", transparent=False, dpi=300):
    """Writes a figure: png, pdf or svg. Equal figures give equal bytes.

    Args:
      figure: made by `figure`.
      file: path, or a binary file.
      format: by default the path's extension.
      transparent: whether it has no background.
      dpi: dots per inch of a png.
    """
    format = format or pathlib.Path(file).suffix[1:]
    pick("format", format, FORMATS)
    with styled(getattr(figure, "style", "")):
        options = {"metadata": METADATA[format], "transparent": transparent, "dpi": dpi}
        figure.savefig(file, format=format, **options)


def draw(path):
    """Draws the figures of a run to its directory `path`, from the files there.

    matrix.png is the accuracy matrix: one row per number of tasks learned, one column per task. accuracy.png
    is the accuracy on every task, and the mean over the tasks seen, against the number of tasks learned.
    training.png shows the accuracies after every epoch if they were measured; anytime.png the accuracy within
    a pass without tasks; validation.png the loss and the accuracy of every epoch on the training and the
    validation rows, if there are any; curvature.png shows the curvature if it was measured,
    generator_quality.png and nearest.png the quality of the generator.
    """
    path = pathlib.Path(path)
    groups = grouped(read(glob.escape(str(path))))[:1]
    wanted = [("matrix", "matrix", {}), ("accuracy", "tasks", {"by": "task"})]
    if tasks.by_epoch(groups[0]):
        wanted.append(("training", "tasks", {"by": "epoch"}))
    others = ("anytime", "validation", "curvature", "generator_quality", "nearest")
    wanted += [(name, name, {}) for name in others]
    for file, name, options in wanted:
        if plots.plot(name).applies(groups):
            written = io.BytesIO()
            save(figure(name, groups, **options)[0], written, "png", dpi=SCREEN)
            replace(path / f"{file}.png", written.getvalue())


def _slug(groups):
    return [group.label for group in groups[:1]] if len(groups) == 1 else []


def _title(name, groups):
    """What a figure shows, of which runs: what they have in common, and the number of seeds."""
    title = plots.title(name)
    alone = named(groups[0], groups) if len(groups) == 1 else ""
    of = {plain(stream_name(group.settings)) for group in groups}
    how = {f"{group.settings['scenario']}-incremental" for group in groups}
    counts = {len(shown(group)) for group in groups}
    parts = [f"{title}: {alone}" if alone else title]
    parts[0] += f" on {of.pop()}" if len(of) == 1 else ""
    parts += how if len(how) == 1 else ()
    parts += [counted(count, "seed") for count in counts] if len(counts) == 1 else ()
    return ", ".join(parts)


@contextlib.contextmanager
def styled(style):
    """A context in which figures are drawn and written: the style of this module, under that of the user.

    Args:
      style: name of a matplotlib style, or a style file; "" for none.

    Raises:
      InputError: if the style is unusable.
    """
    import matplotlib

    with matplotlib.rc_context({**STYLE, **read_style(style), **FIXED}):
        yield


def read_style(style):
    """The settings of a matplotlib style, by its name or its file; {} for "".

    Raises:
      InputError: if the style is unusable.
    """
    if not style:
        return {}
    from matplotlib import style as styles

    if style in styles.library:
        return styles.library[style]
    near, file = did_you_mean(style, styles.available), pathlib.Path(style)
    require(file.is_file(), f"There is no matplotlib style and no file {style!r}.{near}")
    return _read_file(style, file.stat().st_mtime_ns)


@functools.lru_cache
def _read_file(style, changed):
    """The settings in a style file, of the time when it was changed; matplotlib warns of those it ignores."""
    import matplotlib

    del changed
    try:
        return matplotlib.rc_params_from_file(style, fail_on_error=True, use_default_template=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{style} is no matplotlib style: {error}") from None
