"""Figures of a run, drawn from its directory alone."""

import json
import pathlib

import numpy as np

from keras_cl.rundir import read_matrix


def draw(path):
    """Draws matrix.png and accuracy.png into the run directory `path`, from what it holds.

    matrix.png is the accuracy matrix, a row for each moment and a column for each task; accuracy.png the
    accuracy on every task, and their mean over the tasks seen, as tasks are learned.
    """
    from matplotlib.figure import Figure

    path = pathlib.Path(path)
    R = read_matrix(path / "matrix.csv")
    spread = read_matrix(path / "matrix_std.csv") if (path / "matrix_std.csv").exists() else None
    settings = json.loads((path / "config.json").read_text())["settings"]
    title = (
        f"{settings['method']} on {settings['stream']} {pathlib.Path(settings['dataset']).stem}, "
        f"{settings['scenario']}-incremental, {_seeds(settings['seeds'])}"
    )
    for name, plot in (("matrix.png", _matrix), ("accuracy.png", _accuracy)):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        plot(figure.subplots(), R, spread)
        figure.suptitle(title, fontsize=11)
        aside = path / f".{name}"
        figure.savefig(aside, dpi=120, format="png")
        aside.replace(path / name)


def _seeds(seeds):
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of {len(seeds)} seeds"


def _matrix(axes, R, spread):
    tasks = R.shape[1]
    image = axes.imshow(100 * R, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    axes.figure.colorbar(image, label="accuracy, percent")
    axes.set_xticks(range(tasks), range(1, tasks + 1))
    axes.set_yticks(range(tasks + 1), ["untrained", *range(1, tasks + 1)])
    axes.set(xlabel="measured on task", ylabel="after task")
    if tasks <= 10:
        for (i, j), value in np.ndenumerate(R):
            if not np.isnan(value):
                color = "black" if value > 0.6 else "white"
                axes.text(j, i, f"{100 * value:.1f}", ha="center", va="center", color=color, fontsize=8)


def _accuracy(axes, R, spread):
    tasks = R.shape[1]
    after = np.arange(1, tasks + 1)
    labelled = tasks <= 10
    for j in range(tasks):
        seen = after[j:]
        label = f"task {j + 1}" if labelled else None
        shade = {"color": f"C{j}"} if labelled else {"color": "0.8"}
        line = axes.plot(seen, 100 * R[seen, j], marker="o", markersize=3, lw=1, label=label, **shade)[0]
        if spread is not None:
            low, high = (100 * (R[seen, j] + sign * spread[seen, j]) for sign in (-1, 1))
            axes.fill_between(seen, low, high, alpha=0.15, color=line.get_color(), lw=0)
    means = [100 * np.mean(R[t, :t]) for t in after]
    axes.plot(after, means, color="black", lw=2.5, label="mean of tasks seen")
    axes.set_xticks(after if labelled else after[:: -(-tasks // 10)])
    axes.set(xlabel="tasks learned", ylabel="accuracy on test images, percent", ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
