"""What came of the line: the accuracy matrix, and what was pushed, or why it was not."""

import pathlib

import numpy as np
from rich.table import Table

from keras_cl import metrics
from keras_cl.runs.directory import read_matrix
from keras_cl.runs.files import read_json

METRICS = ("average_accuracy", "forgetting")


def show(outputs, line, screen):
    """Shows the outcome.

    Args:
      outputs: `{name: folder}` of the artifacts that `line.SHOWN` names, of all tasks.
      line: the `settings.Line`.
      screen: a rich `Console`.
    """
    R = read_matrix(pathlib.Path(outputs[f"evaluation_{line.arrived}"]) / "matrix.csv")
    screen.print(_table(R[: line.arrived + 1, : line.arrived]))
    summary = metrics.summary(R[: line.arrived + 1, : line.arrived])
    known = {name: summary[name] for name in METRICS if summary.get(name) is not None}
    said = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in known.items())
    screen.print(said, highlight=False)
    for number in range(1, line.arrived + 1):
        told = read_json(pathlib.Path(outputs[f"pushed_{number}"]) / "pushed.json")
        screen.print(_pushed(number, told), highlight=False, markup=False)


def _table(R):
    """The accuracies in percent after each task; those of tasks that had not arrived are blank.

    (`Display` of the library has such a table too, but loads TensorFlow, which nothing else here needs.)
    """
    table = Table(title="Accuracy (percent) of the exported models", title_justify="left")
    table.add_column("")
    for j in range(R.shape[1]):
        table.add_column(f"task {j + 1}", justify="right")
    for i, row in enumerate(R[1:], 1):
        table.add_row(f"after task {i}", *("" if np.isnan(a) else f"{100 * a:.1f}" for a in row))
    return table


def _pushed(number, told):
    if told["pushed"]:
        return f"task {number}  is served from {told['path']}"
    return f"task {number}  was not pushed: {' '.join(told['reasons'])}"
