"""What the page says of groups of runs: headline, key numbers, settings, and how to repeat them."""

import json

from keras_cl import metrics
from keras_cl.report.blocks import blocks
from keras_cl.report.page.command import command
from keras_cl.report.page.numbers import costs_of, measured, words
from keras_cl.report.page.table import Cell, Column, Table, percent, seconds, size
from keras_cl.report.statistics import summary
from keras_cl.report.streams import stream_name

KEY = ("average_accuracy", "forgetting", "learning_accuracy", "worst_accuracy")  # shown first
LONGEST = 60  # characters of the groups that the headline names


def title(groups):
    """The headline: what was run on what."""
    streams = len(blocks(groups))  # as the tables count them
    on = stream_name(groups[0].settings) if streams == 1 else f"{streams} streams"
    labels = [group.label for group in groups]
    comma = "; " if any("," in label for label in labels) else ", "
    last = f" and {labels[-1]}" if len(labels) > 1 else labels[0]
    named = f"{comma.join(labels[:-1])}{last}"
    if len(groups) > 1 and len(named) > LONGEST:
        named = f"{len(groups)} groups of runs"
    return f"{named} on {on}"


def facts(groups):
    """Short facts below the headline."""
    scenarios = sorted({str(group.settings.get("scenario")) for group in groups})
    tasks = sorted({run.total for run in _runs(groups)})
    seeds = sorted({len(group.runs) for group in groups})
    devices = sorted({str(device) for run in _runs(groups) for device in run.about.get("devices") or ()})
    return [
        f"{' and '.join(scenarios)}-incremental",
        _counted(tasks, "task"),
        _counted(seeds, "seed"),
        *([f"trained on {', '.join(devices)}"] if devices else []),
    ]


def _counted(numbers, unit):
    """ "5 tasks", or "3 to 5 seeds" where groups differ."""
    return f"{' to '.join(map(str, sorted({numbers[0], numbers[-1]})))} {unit}{'s' * (numbers != [1])}"


def notes(groups):
    """Sentences about what is not finished, given twice or of another version."""
    if len(groups) > 1:
        return [f"{group.label}: {note}" for group in groups for note in group.notes]
    (group,) = groups
    so_far = ["The numbers are of the tasks so far."] if measured(group) and not group.finished else []
    return [*group.notes, *so_far]


def key_numbers(group):
    """`(name, number, spread, definition)` of the numbers that say most about a group."""
    shown, known = [], measured(group)
    for name in KEY:
        values = summary([one.get(name) for one in known.values()])
        if values.mean is not None:
            spread = "" if values.std is None else f"\u00b1 {100 * values.std:.1f}"
            number = f"{percent(values.mean).text} %"
            meaning = metrics.DESCRIPTIONS[name].partition(";")[0]  # without its range, of a fraction
            shown.append((words(name), number, spread, meaning))
    if costs := costs_of(group):
        kept = size(costs["method_bytes"] + costs["memory_bytes"]).text
        shown.append(("training time", seconds(costs["seconds"]).text, "", "of all tasks, a mean over seeds"))
        shown.append(("kept for later tasks", kept, "", "bytes of the method's state and of its memory"))
    return shown


def differing(groups):
    """The table of the settings in which groups differ; None if there is only one."""
    everything = [group.settings for group in groups]
    if len(groups) == 1:
        return None
    names = dict.fromkeys(name for settings in everything for name in settings)
    same = _same(everything)
    rows = [
        [Cell(name, code=True), *(Cell(_told(one.get(name)), code=True) for one in everything)]
        for name in names
        if name not in same
    ]
    columns = [Column("setting", number=False), *(Column(group.label, number=False) for group in groups)]
    return Table("Settings that differ", columns, rows)


def settings(groups):
    """`{heading: {name: value}}` of the settings that all groups have, the options of each choice last."""
    everything = [group.settings for group in groups]
    found = {}
    for name in _same(everything):
        part, dot, _ = name.partition(".")
        heading = f"Options of the {part}" if dot else "Run"
        found.setdefault(heading, {})[name] = _told(everything[0].get(name))
    return found


def _same(everything):
    """Names of the settings that are equal in all."""
    names = dict.fromkeys(name for settings in everything for name in settings)
    return [n for n in names if all(_told(one.get(n)) == _told(everything[0].get(n)) for one in everything)]


def _told(value):
    """A setting as text."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, default=str)


def versions(groups):
    """`{package: versions}` of all runs."""
    found = {}
    for run in _runs(groups):
        for package, version in (run.about.get("versions") or {}).items():
            found.setdefault(package, {})[str(version)] = True
    return {package: ", ".join(known) for package, known in found.items()}


def commands(groups):
    """`(label, command)` of each group, None for one that was begun from Python."""
    return [(group.label, command(group.settings, group.planned)) for group in groups]


def _runs(groups):
    return [run for group in groups for run in group.runs]
