"""A history as text: one tree for each task, and the settings and the code that all of it was made with."""

import json
import pathlib

from keras_cl.runs.files import read_json
from keras_cl.settings.config import Config
from keras_cl.settings.options import text
from pipelines.lineage.history import settings_of

AXES = ("method", "memory", "stream", "regime", "network", "dataset", "tasks")
LONG = 100  # characters of the settings of one artifact


def lines_of(history):
    """The lines that are printed for a `History`."""
    start, number = history.records[history.start], len(history.records) - 1
    what = "What was made of" if history.forward else "The way back of"
    lines = [f"{what} {_named(start)} {short(history.start)}, {start['path']}: {number} artifacts"]
    tasks = sorted(set(history.tasks.values()), reverse=not history.forward)
    for task in tasks:
        lines += ["", f"Task {task}" if task else "Of no task", *_trees(history, task)]
    return [_printable(line) for line in (*lines, "", *_about(history))]


def short(digest):
    """The beginning of a digest, as it is shown."""
    return digest[:12]


def raw_data(record):
    """What an artifact of ExampleGen was read from; "" for any other."""
    if record["component"] != "ExampleGen":
        return ""
    run, others = settings_of(record)
    digest = f" ({short(others['folder_sha256'])})" if "folder_sha256" in others else ""
    if "folder" in others:
        return f"{others['folder']}{digest}"
    stream = f", stream {run['stream']}" if "stream" in run else ""
    return f"{run.get('dataset', 'unknown')}{stream}"


def shown_settings(record):
    """The own settings of an artifact, `{name: text}`, without those of the run and what `raw_data` says."""
    _, others = settings_of(record)
    own = {name: value for name, value in others.items() if name not in ("number", "folder", "folder_sha256")}
    for name, value in list(own.items()):
        if isinstance(value, dict):  # as thresholds
            del own[name]
            own |= {key: one for key, one in value.items() if one is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in own.items()}


def _printable(line):
    return "".join(character if character.isprintable() else "?" for character in line)


def _trees(history, task):
    """The lines of the artifacts of one task; those of other tasks are named only."""
    keys = [key for key, number in history.tasks.items() if number == task]
    inner = {key for one in keys for _, key in _below(history, one)}
    lines, seen = [], set()

    def add(key, begin, after, name):
        line = f"{begin}{name}{_named(history.records[key])} {short(key)}"
        if history.tasks[key] != task:
            lines.append(f"{line} (task {history.tasks[key]})")
        elif key in seen:
            lines.append(f"{line} (above)")
        else:
            seen.add(key)
            lines.append(line + _facts(history, key))
            children = _below(history, key)
            for place, (label, child) in enumerate(children, 1):
                branch, more = ("└─ ", "   ") if place == len(children) else ("├─ ", "│  ")
                add(child, after + branch, after + more, f"{label}: ")

    roots = [key for key in keys if key not in inner]
    for root in roots if history.forward else roots[::-1]:
        add(root, "", "", "")
    return lines


def _below(history, key):
    """`[(label, id)]` of the inputs of an artifact; forward, of what was made of it in its task and later."""
    if history.forward:
        found = [(f"as {name}", made) for one, name, made in history.edges if one == key]
        return sorted(found, key=lambda child: history.tasks[child[1]])
    return [(name, one) for one, name, made in history.edges if made == key]


def _facts(history, key):
    """What is said of an artifact behind its name: time, settings, raw data, and what is wrong with it."""
    record = history.records[key]
    shown = " ".join(f"{name}={value}" for name, value in shown_settings(record).items())
    shown = shown if len(shown) <= LONG else f"{shown[:LONG]}..."
    raw = raw_data(record)
    facts = [record["time"][:19].replace("T", " "), shown, f"raw data: {raw}" if raw else "", _served(record)]
    facts += [f"EDITED: {', '.join(history.edits[key][:3])}"] if key in history.edits else []
    if key in history.missing:
        facts.append(f"removed before {record['removed'][:10]}" if record.get("removed") else "not here")
    return "".join(f"  {fact}" for fact in facts if fact)


def _served(record):
    """Whether the model of a Pushed artifact is served, as far as that is here."""
    if record["artifact"] != "pushed":
        return ""
    try:
        told = read_json(pathlib.Path(record["path"], "pushed.json"))
    except (OSError, ValueError):
        return ""
    return f"served as {told.get('path')}" if told.get("pushed") else "not pushed"


def _named(record):
    return f"{record['component']} {record['artifact']}"


def _about(history):
    """The settings and the code versions of a history, each with its tasks if there are several."""
    settings, codes = {}, {}
    for key, record in history.records.items():
        run, _ = settings_of(record)
        if run:
            settings.setdefault(_flags(run), set()).add(history.tasks[key])
        if record["code"]:
            codes.setdefault(short(record["code"]), set()).add(history.tasks[key])
    lines = []
    for name, found in (("Settings", settings), ("Code", codes)):
        for value, tasks in found.items():
            of = f" (tasks {', '.join(map(str, sorted(tasks)))})" if len(found) > 1 else ""
            lines.append(f"{name}{of}: {value}")
    return lines


def _flags(run):
    """The settings of a run as flags: the choices, and what is not as by default."""
    try:
        usual = Config(**{name: run[name] for name in AXES if name in run}).settings
    except Exception:  # of another version, or with a choice that is not on this machine: all settings
        usual = {}
    usual = json.loads(json.dumps(usual))
    told = {name: value for name, value in run.items() if name in AXES or usual.get(name, None) != value}
    return " ".join(f"--{name}={_text(value)}" for name, value in told.items() if value not in ("", None))


def _text(value):
    return text(tuple(value) if isinstance(value, list) else value)
