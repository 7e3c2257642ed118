"""Accuracy at any time.

Accuracy on the test images of all classes seen so far, in a pass without tasks, over the rows seen: one line
per group of runs. It falls where new classes come, thin vertical lines; percent, bands are one standard
deviation over seeds.
"""

import numpy as np

from keras_cl import anytime
from keras_cl.report.plots import epochs
from keras_cl.report.plots.lines import boundaries, legend, line
from keras_cl.report.plots.looks import look
from keras_cl.report.plots.seeds import named

WIDE, PANELS, SINGLE = True, 1, False


def applies(groups):
    """Whether some run was measured at any time."""
    return any(epochs.has(group, anytime.SEEN) for group in groups)


def draw(axes, groups):
    """Draws a line per group."""
    marks, news = [], set()
    for number, group in enumerate(groups):
        if not epochs.has(group, anytime.SEEN):
            continue
        found = epochs.of(group)
        rows = found.column(anytime.ROWS)[0]
        where = [f"after {count:,.0f} rows" for count in rows]
        values = 100 * found.column(anytime.SEEN)
        style = look(number, len(rows))
        marks += line(axes, group.label, rows, values, named(group, groups), style, where)
        phases = np.flatnonzero(np.diff(found.column(anytime.PHASE)[0]))
        news |= set(((rows[phases] + rows[phases + 1]) / 2).tolist())
    boundaries(axes, sorted(news))
    axes.set(xlabel="rows seen", ylabel="accuracy on classes seen (%)")
    axes.set_xlim(left=0)
    legend(axes, groups)
    return marks
