"""Lines over tasks or epochs, each a mean over seeds in a band of a standard deviation."""

import numpy as np

from keras_cl.report.plots.looks import faint, look
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import counted, mean_and_std, named, told

LABELLED = 10  # most tasks of which each has its tick


def line(axes, label, x, values, shown, style, where, unit="%", digits=1, band=True):
    """Draws the mean of values `[S, n]` at `x` `[n]`, in a band of a standard deviation; returns the `Mark`s.

    Args:
      axes: matplotlib's axes.
      label: name of the series.
      x: places on the axis.
      values: one row per seed; NaN where nothing is shown.
      shown: how a legend names it; None for no entry.
      style: arguments of `Axes.plot`.
      where: what hovering says of each place, `[n]` texts such as "after 3 tasks".
      unit: of the values.
      digits: after the point, as hovering says them.
      band: whether the band is drawn.
    """
    mean, std = mean_and_std(values)
    known = np.flatnonzero(np.isfinite(mean))
    x, y = np.asarray(x)[known], mean[known]
    alone = {"marker": "."} if len(known) == 1 and "marker" not in style else {}  # no line is seen of it
    artist = axes.plot(x, y, label=shown, **style, **alone)[0]
    spread = np.full(len(mean), None) if std is None else std
    texts = [
        f"{label}, {where[i]}: {told(mean[i], spread[i], unit, digits)}, {counted(len(values), 'seed')}"
        for i in known
    ]
    marks = [Mark(artist, label, x, y, texts)]
    if band and std is not None and len(known):
        edges = y - std[known], y + std[known]
        drawn = axes.fill_between(x, *edges, color=artist.get_color(), alpha=0.15, lw=0, zorder=1)
        marks.append(Mark(drawn, label))
    return marks


def by_task(axes, groups, measured, label):
    """Draws a line per group over the number of tasks learned; returns the `Mark`s.

    Args:
      axes: matplotlib's axes.
      groups: the `Group`s.
      measured: function of a group -> `[S, T]`, percent after 1 to T tasks.
      label: of the y axis.
    """
    marks, longest = [], 0
    for number, group in enumerate(groups):
        values = measured(group)
        tasks = np.arange(1, values.shape[1] + 1)
        where = [f"after {counted(t, 'task')}" for t in tasks]
        style = look(number, len(tasks))
        marks += line(axes, group.label, tasks, values, named(group, groups), style, where)
        longest = max(longest, len(tasks))
    task_ticks(axes.xaxis, longest)
    axes.set(xlabel="tasks learned", ylabel=label)
    legend(axes, groups)
    return marks


def task_ticks(axis, tasks, first=1, offset=0):
    """Ticks of an axis of task numbers `first` to `tasks`, each or, of many, every fifth, tenth and so on.

    Args:
      axis: `axes.xaxis` or `axes.yaxis`.
      tasks: number of tasks.
      first: number of the first.
      offset: what is added to a number to come to its place.
    """
    step = _step(tasks)
    numbers = [n for n in range(first, tasks + 1) if n % step == 0 or n == first]
    if len(numbers) > 1 and numbers[1] - numbers[0] < step / 2:
        del numbers[1]
    axis.set_ticks([n + offset for n in numbers], [str(n) for n in numbers])


def label_ticks(axis, labels):
    """Ticks of an axis of classes, at 0, 1, ...; of many, some have one."""
    every = _step(len(labels))
    axis.set_ticks(range(0, len(labels), every), [str(label) for label in labels[::every]])


def _step(count):
    """Steps between the ticks of `count` places, of which not more than `LABELLED` have one."""
    steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
    return next(step for step in steps if step != 2 and count / step <= LABELLED)


def boundaries(axes, places):
    """Thin lines across the axes, for example where a task ends and the next begins."""
    for place in places:
        axes.axvline(place, zorder=0, **faint())


def legend(axes, groups=None):
    """A legend, but not of one group alone, which the title of a figure names."""
    if axes.get_legend_handles_labels()[1] and (groups is None or len(groups) > 1):
        axes.legend(fontsize="small")
