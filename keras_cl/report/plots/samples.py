"""Generated images.

One row per number of tasks learned: images that the generator draws then, sorted by the class that the
network predicts, so that classes which are missing are visible. Of the first seed that has them.
"""

import re

import numpy as np

from keras_cl.report.plots.looks import BETWEEN
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import counted, shown

WIDE, PANELS, SINGLE = False, 1, True
GRID = 10  # images per row and column of a file, as runs/samples.py writes it
MOST = 20  # rows


def applies(groups):
    """Whether a run has files of generated images."""
    return any(_files(run) for group in groups for run in shown(group))


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    _, files = _first(groups[0])
    return 3.5, 2.8 / GRID * min(len(files), MOST)


def draw(axes, groups):
    """Draws rows of images of the first group."""
    from matplotlib.image import imread

    group = groups[0]
    seed, files = _first(group)
    numbers = sorted(files)
    numbers = [numbers[i] for i in np.unique(np.linspace(0, len(numbers) - 1, MOST).astype(int))]
    rows = [_row(imread(files[number])) for number in numbers]
    extent = (0.5, GRID + 0.5, len(rows) - 0.5, -0.5)
    image = axes.imshow(np.concatenate(rows), aspect="auto", cmap="gray", extent=extent, vmin=0, vmax=1)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.hlines(np.arange(1, len(rows)) - 0.5, *axes.get_xlim(), color=BETWEEN, lw=1.5)
    axes.xaxis.set_ticks([])
    axes.yaxis.set_ticks(range(len(rows)), [str(number) for number in numbers])
    axes.set(xlabel=f"images by predicted class, seed {seed}", ylabel="tasks learned")
    texts = [f"{group.label}, generated after {counted(number, 'task')}, seed {seed}" for number in numbers]
    middle = np.full(len(rows), (GRID + 1) / 2)
    return [Mark(image, group.label, middle, np.arange(len(rows)), texts)]


def _files(run):
    """`{number of tasks: file}` of a run."""
    found = {file: re.fullmatch(r"task_(\d+)", file.stem) for file in (run.path / "samples").glob("*.png")}
    return {int(match[1]): file for file, match in found.items() if match}


def _first(group):
    """Seed and files of the first run that has some."""
    return next((run.seed, files) for run in shown(group) if (files := _files(run)))


def _row(grid):
    """One image of each row of a grid `[height, width, ...]`, side by side: its classes in their order."""
    height, width = (side // GRID for side in grid.shape[:2])
    return np.concatenate(
        [grid[i * height : (i + 1) * height, i * width : (i + 1) * width] for i in range(GRID)], axis=1
    )
