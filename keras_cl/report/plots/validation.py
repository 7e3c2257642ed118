"""Training and validation rows.

Loss and accuracy of every epoch on the rows that are learned and on those kept aside; thin vertical lines
separate tasks. Bands are one standard deviation over seeds.
"""

from keras_cl.report.plots import epochs
from keras_cl.report.plots.lines import boundaries, legend, line
from keras_cl.report.plots.looks import look

WIDE, PANELS, SINGLE = True, 2, True


def applies(groups):
    """Whether validation losses were recorded."""
    return any(epochs.has(group, "val_loss") for group in groups)


def draw(axes, groups):
    """Draws the loss and the accuracy of the first group."""
    found, marks = epochs.of(groups[0]), []
    for panel, name, scale in zip(axes, ("loss", "accuracy"), (1, 100), strict=True):
        unit, digits = ("", 4) if scale == 1 else ("%", 1)
        for number, (rows, column) in enumerate((("training", name), ("validation", f"val_{name}"))):
            values, label = scale * found.column(column), f"{rows} rows"
            style = look(number, len(found.places))
            marks += line(panel, label, found.places, values, label, style, found.where, unit, digits=digits)
        boundaries(panel, found.boundaries)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set(xlabel=found.label, ylabel=name + " (%)" * (scale > 1))
    legend(axes[0])
    return marks
