"""Which figures are drawn of some groups of runs."""

from keras_cl.report import plots


def selected(groups):
    """Yields `(name, groups)` of every figure that has something to show.

    A plot of one group alone, such as the heat map of a matrix, is drawn once for every group.
    """
    for name in plots.names():
        plot = plots.plot(name)
        for shown in [[group] for group in groups] if plot.SINGLE else [groups]:
            if plot.applies(shown):
                yield name, shown
