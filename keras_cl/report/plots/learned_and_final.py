"""Learned and final accuracy.

The accuracy on each task just after learning it against that after the last task. Of one group: both for
every task, joined by a line as long as what was forgotten. Of several: one point per task; points below the
diagonal were forgotten. Percent of the test images, mean over seeds.
"""

import numpy as np

from keras_cl.report.plots.lines import legend, task_ticks
from keras_cl.report.plots.looks import faint, ink, look
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import counted, matrices, mean_and_std, named, shown, told

WIDE, PANELS, SINGLE = False, 1, False


def applies(groups):
    """Whether some task was measured just after learning it, and after the last task."""
    return any(np.isfinite(_both(group)[0]).all(axis=0).any() for group in groups)


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    return (7.2, 2.2) if len(groups) == 1 and matrices(groups[0]).shape[2] > 20 else (3.5, 2.1)


def draw(axes, groups):
    """Draws the tasks of one group, or of several."""
    marks = _by_task(axes, groups[0]) if len(groups) == 1 else _against(axes, groups)
    legend(axes)
    return marks


def _both(group):
    """Mean and std `[2, T]` over seeds of learned and final accuracies, percent."""
    R = matrices(group)[:, 1:]
    return mean_and_std(100 * np.stack([np.diagonal(R, axis1=1, axis2=2), R[:, -1]], axis=1))


def _texts(group, mean, std):
    of = counted(len(shown(group)), "seed")
    for task in range(mean.shape[1]):
        spread = (None, None) if std is None else std[:, task]
        learned, final = (told(mean[i, task], spread[i]) for i in range(2))
        yield f"{group.label}, task {task + 1}: {learned} learned, {final} final, {of}"


def _by_task(axes, group):
    mean, std = _both(group)
    tasks = np.arange(1, mean.shape[1] + 1)
    texts = list(_texts(group, mean, std))
    axes.vlines(tasks, *mean, color=ink(), alpha=0.35, lw=1)
    marks = []
    for number, label in enumerate(("learned", "final")):
        style = {**look(number), "linestyle": "none", "markersize": 4, "clip_on": False}
        style |= {"markerfacecolor": "none"} if number == 0 else {}
        known = np.flatnonzero(np.isfinite(mean[number]))
        artist = axes.plot(tasks[known], mean[number][known], label=label, **style)[0]
        marks.append(Mark(artist, label, tasks[known], mean[number][known], [texts[i] for i in known]))
    task_ticks(axes.xaxis, len(tasks))
    axes.set(xlabel="task", ylabel="accuracy (%)", ylim=(0, 100))
    return marks


def _against(axes, groups):
    marks = []
    for number, group in enumerate(groups):
        mean, std = _both(group)
        known = np.flatnonzero(np.isfinite(mean).all(axis=0))
        x, y = mean[:, known]
        style = {**look(number), "linestyle": "none", "alpha": 0.8}
        artist = axes.plot(x, y, label=named(group, groups), **style)[0]
        texts = list(_texts(group, mean, std))
        marks.append(Mark(artist, group.label, x, y, [texts[i] for i in known]))
    highest = max((mark.y.max() for mark in marks if len(mark.y)), default=100)  # of those that are finished
    axes.axline((highest, highest), slope=1, **faint())
    axes.set(xlabel="learned accuracy (%)", ylabel="final accuracy (%)")
    return marks
