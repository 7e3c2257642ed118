"""Results of a search: the best trial as a flagfile; a table, a figure and TensorBoard runs of all trials."""

import csv
import io
import shutil

import numpy as np
from rich.table import Table

from keras_cl.errors import require
from keras_cl.settings import options
from tuning.space import said

NOT_OF_THE_WINNER = ("overwrite",)  # a flag of the search that is dangerous in a run


def write(search, rows, directory, display):
    """Writes and shows all results; returns the record of the best trial.

    Args:
      search: the `Search`.
      rows: the trials in order: records of the journal, each with a `number`.
      directory: a `RunDirectory` of keras_cl.
      display: a `keras_cl.runs.console.Display`.

    Raises:
      InputError: if every trial failed.
    """
    directory.write("trials.csv", as_csv(search, rows))
    hparams(search, rows, directory.path / "tensorboard")
    best = winner(search, rows)
    display.say(table(search, rows, best))
    require(best, _all_failed(rows))
    directory.write("best.flags", flagfile(search, best["values"]))
    draw(search, rows, best).savefig(directory.path / "trials.png", dpi=120)
    if search.most and best["budget"] < search.most:
        display.say(
            f"No trial had the whole budget of {search.most} {search.budget}, the best one {best['budget']}; "
            f"more --trials, of which every round of hyperband counts, would reach it."
        )
    for flag in at_the_end(search.space, best["values"]):
        display.say(f"--{flag} is best at an end of its range, {said(search.space[flag])}.")
    command = f"python -m keras_cl.main --flagfile={directory.path / 'best.flags'}"
    display.say(f"best     trial {best['number']}: {command}\nresults  {directory.path}")
    return best


def winner(search, rows):
    """The best trial among those with the largest budget; None if none was completed."""
    completed = [row for row in rows if row["status"] == "completed"]
    most = max((row["budget"] or 0 for row in completed), default=0)
    sign = {"max": 1, "min": -1}[search.direction]
    whole = [row for row in completed if (row["budget"] or 0) == most]
    return max(whole, key=lambda row: sign * row["numbers"][search.objective], default=None)


def at_the_end(space, values):
    """Flags whose best value is an end of its range: better values may lie beyond."""
    return [flag for flag, ends in space.items() if isinstance(ends, tuple) and values[flag] in ends]


def flagfile(search, values):
    """The flags of a run: those given to the search and the best values."""
    given = {name: value for name, value in search.given.items() if name not in NOT_OF_THE_WINNER}
    return "".join(f"--{name}={options.text(value)}\n" for name, value in (given | values).items())


def as_csv(search, rows):
    """All trials: status, budget, values, numbers, seconds, message."""
    names = list(dict.fromkeys(name for row in rows for name in row["numbers"]))
    measured = [search.objective, *(name for name in names if name != search.objective)]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["trial", "status", *_budget(search), *search.space, *measured, "seconds", "message"])
    for row in rows:
        values = [options.text(row["values"][flag]) for flag in search.space]
        found = [f"{row['numbers'][name]:.6f}" if name in row["numbers"] else "" for name in measured]
        budget = [row["budget"] for _ in _budget(search)]
        lines.writerow(
            [row["number"], row["status"], *budget, *values, *found, row["seconds"], row["message"]]
        )
    return text.getvalue()


def table(search, rows, best):
    """The trials as a table for the console."""
    shown = Table(title=f"Trials by {search.objective} on validation rows", title_justify="left")
    for column in ("trial", *_budget(search), *search.space, search.objective, "seconds", ""):
        shown.add_column(column, justify="right" if column else "left")
    for row in rows:
        values = [options.text(row["values"][flag]) for flag in search.space]
        budget = [str(row["budget"]) for _ in _budget(search)]
        value = row["numbers"].get(search.objective)
        remark = "best" if row is best else row["message"]
        score = "" if value is None else f"{value:.4f}"
        shown.add_row(str(row["number"]), *budget, *values, score, f"{row['seconds']:.1f}", remark)
    return shown


def draw(search, rows, best):
    """A figure with one panel per flag, its values against the objective; failed trials are crosses."""
    from matplotlib.figure import Figure

    count = len(search.space)
    figure = Figure(figsize=(3.2 * count + 0.6, 3.4), layout="constrained")
    panels = np.ravel(figure.subplots(1, count, sharey=True))
    for axes, (flag, values) in zip(panels, search.space.items(), strict=True):
        points = _panel(axes, search, rows, best, flag, values)
    if search.most:
        figure.colorbar(points, ax=panels, label=search.budget)
    figure.axes[0].set_ylabel(search.objective.replace("_", " "))
    title = f"{search.config.name_of('method')}: {len(rows)} trials, {search.tuner}; circle: the best"
    failed = any(row["status"] != "completed" for row in rows)
    figure.suptitle(f"{title}, crosses: failed" if failed else title, fontsize=11)
    return figure


def _panel(axes, search, rows, best, flag, values):
    """Draws one panel and returns its points."""
    ranged = isinstance(values, tuple)
    place = {
        row["number"]: row["values"][flag] if ranged else values.index(row["values"][flag]) for row in rows
    }
    measured = [row for row in rows if row["status"] == "completed"]
    score = [row["numbers"][search.objective] for row in measured]
    shades = {"c": [row["budget"] for row in measured], "cmap": "viridis_r"} if search.most else {"c": "C0"}
    points = axes.scatter([place[row["number"]] for row in measured], score, s=24, **shades)
    axes.plot(place[best["number"]], best["numbers"][search.objective], "o", ms=11, mfc="none", mec="C3")
    failed = [place[row["number"]] for row in rows if row["status"] != "completed"]
    axes.plot(failed, [0.03] * len(failed), "x", color="C3", transform=axes.get_xaxis_transform())
    if ranged:
        axes.set_xscale("log")
        axes.set_xlim(values[0] / 1.2, values[1] * 1.2)
    else:
        axes.set_xticks(range(len(values)), list(map(options.text, values)))
        axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(flag)
    axes.grid(alpha=0.3)
    return points


def hparams(search, rows, folder):
    """Writes one TensorBoard run per trial: its hyperparameters and all measured numbers."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api, api_pb2, summary

    shutil.rmtree(folder, ignore_errors=True)
    for row in rows:
        name = f"trial_{row['number']:03d}"
        values = {flag: _plain(value) for flag, value in row["values"].items()}
        end = api_pb2.STATUS_SUCCESS if row["status"] == "completed" else api_pb2.STATUS_FAILURE
        with tf.summary.create_file_writer(str(folder / name)).as_default():
            api.hparams(values | ({search.budget: row["budget"]} if row["budget"] else {}), trial_id=name)
            for measure, value in row["numbers"].items():
                tf.summary.scalar(measure, value, step=0)
            tf.summary.experimental.write_raw_pb(summary.session_end_pb(end).SerializeToString(), step=0)


def _all_failed(rows):
    if not rows:
        return "No trial was run, because no worker connected."
    return f"All {len(rows)} trials failed; the last one: {rows[-1]['message'].rstrip('.')}."


def _budget(search):
    """The column of the budget, if there is one."""
    return [search.budget] if search.most else []


def _plain(value):
    """A value of a type that HParams supports."""
    return value if isinstance(value, bool | int | float | str) else options.text(value)
