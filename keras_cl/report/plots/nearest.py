"""Nearest training images.

The first column has images that the generator draws after the last task, of as many classes as the oracle of
the measurement sees in them; beside each are the training images nearest to it, nearest first, with their
Euclidean distance for pixels in [0, 1]. An image at distance 0 is memorised. Of the first seed that has them.
"""

import numpy as np

from keras_cl.report.plots.looks import BETWEEN
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import counted, shown
from keras_cl.runs.quality.table import NEAREST, rows_of

WIDE, PANELS, SINGLE = False, 1, True


def applies(groups):
    """Whether training images near generated ones were looked for."""
    return any(_last(run) for group in groups for run in shown(group))


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    rows = len({row["image"] for row in _first(groups[0])[2]})
    return 3.5, 0.42 * rows


def draw(axes, groups):
    """Draws the images of the first group."""
    from matplotlib.image import imread

    group = groups[0]
    run, task, rows = _first(group)
    high, wide = (max(int(row[name]) for row in rows) for name in ("image", "neighbour"))
    extent = (-0.5, wide + 0.5, high - 0.5, -0.5)
    image = imread(_file(run, task))
    drawn = axes.imshow(image, aspect="auto", cmap="gray", extent=extent, vmin=0, vmax=1)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.axvline(0.5, color=BETWEEN, lw=1.5)
    places = {(int(row["neighbour"]), int(row["image"]) - 1): row for row in rows}
    box = {"facecolor": "black", "alpha": 0.6, "pad": 0.8, "lw": 0}
    for (x, y), row in places.items():
        told = f"{float(row['distance']):.1f}"
        style = {"ha": "right", "va": "bottom", "fontsize": 5.5, "color": "white", "bbox": box}
        axes.text(x + 0.47, y + 0.45, told, in_layout=False, **style)
    labels = {int(row["image"]) - 1: row["label"] for row in rows}
    axes.xaxis.set_ticks(range(wide + 1), ["generated", *(str(k) for k in range(1, wide + 1))])
    axes.yaxis.set_ticks(list(labels), list(labels.values()))
    axes.set(xlabel=f"nearest training images, seed {run.seed}", ylabel="class by the oracle")
    x, y = np.array(list(places)).T
    texts = [
        f"{group.label}, after {counted(task, 'task')}: generated as {row['label']}, training image of class "
        f"{row['neighbour_label']} at distance {float(row['distance']):.2f}"
        for row in places.values()
    ]
    return [Mark(drawn, group.label, x, y, texts)]


def _first(group):
    """The first run that has images, the number of tasks after which they are, and their rows."""
    return next((run, *last) for run in shown(group) if (last := _last(run)))


def _last(run):
    """Number of tasks and rows of the last images of a run; None if there is none."""
    try:
        found = {}
        for row in rows_of(run.path, NEAREST):
            float(row["distance"]), int(row["neighbour"]), int(row["image"]), row["label"]
            found.setdefault(int(row["task"]), []).append(row)
    except (KeyError, TypeError, ValueError):  # damaged
        return None
    tasks = [task for task in found if _file(run, task).exists()]
    return (max(tasks), found[max(tasks)]) if tasks else None


def _file(run, task):
    return run.path / "samples" / f"nearest_{task:03d}.png"
