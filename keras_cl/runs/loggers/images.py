"""The accuracy matrix as an image for loggers."""

import io

import numpy as np

LARGE = 20  # tasks from which on the cells have no numbers


def matrix(R):
    """The bytes of a PNG that shows an accuracy matrix `[tasks + 1, T]` in percent; what was not measured is
    empty."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, tasks = R.shape
    figure = Figure(
        figsize=(2 + 0.45 * min(tasks, LARGE), 1.2 + 0.45 * min(rows, LARGE)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = axes.imshow(100 * R, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    if tasks < LARGE:
        for i, j in zip(*np.nonzero(~np.isnan(R)), strict=True):
            colour = "black" if R[i, j] > 0.5 else "white"
            axes.text(j, i, f"{100 * R[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(tasks), range(1, tasks + 1))
        axes.set_yticks(range(rows), range(rows))
    axes.set_xlabel("test rows of task")
    axes.set_ylabel("after tasks")
    figure.colorbar(shown, label="accuracy (percent)")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
