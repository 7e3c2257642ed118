"""Learning rate.

The learning rate of every epoch, or step, of all tasks: one line per group of runs, several if the schedules
of its seeds differ.
"""

import dataclasses

import numpy as np

from keras_cl.report.plots import epochs
from keras_cl.report.plots.lines import legend
from keras_cl.report.plots.looks import look
from keras_cl.report.plots.marks import Mark
from keras_cl.report.plots.seeds import counted, listed, named, shown

WIDE, PANELS, SINGLE = False, 1, False
LARGE = 30  # ratio of rates from which the axis is logarithmic


def applies(groups):
    """Whether a learning rate was recorded."""
    return any(epochs.has(group, "learning_rate") for group in groups)


def draw(axes, groups):
    """Draws the schedules of each group."""
    marks, units = [], {}
    for number, group in enumerate(groups):
        for place, (found, rates, seeds) in enumerate(_schedules(group)):
            known = np.isfinite(rates)
            shown_as = None if place else named(group, groups)
            style = look(number, len(rates))
            artist = axes.plot(found.places[known], rates[known], label=shown_as, **style)[0]
            told = f"{group.label}, {{}}: {{:.4g}}, {seeds}".format
            texts = [told(found.where[i], rates[i]) for i in np.flatnonzero(known)]
            marks.append(Mark(artist, group.label, found.places[known], rates[known], texts))
            units[found.unit] = None
    rates = np.concatenate([mark.y for mark in marks])
    if rates.min() > 0 and rates.max() > LARGE * rates.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.1 * rates.max() or 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel=" or ".join(units) + " over all tasks", ylabel="learning rate")
    legend(axes, groups)
    return marks


def _schedules(group):
    """The different schedules of a group: its `Epochs`, the rates, and which seeds have it."""
    found = {}
    for run in shown(group):
        alone = epochs.of(dataclasses.replace(group, runs=[run]))
        rates = alone.column("learning_rate")[0]
        if np.isfinite(rates).any():
            key = rates.tobytes(), alone.places.tobytes()
            found.setdefault(key, (alone, rates, []))[2].append(run)
    for alone, rates, runs in found.values():
        yield alone, rates, counted(len(runs), "seed") if len(found) == 1 else listed(runs)
