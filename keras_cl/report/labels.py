"""Short names that distinguish runs: the method, then the settings in which runs of one method differ."""

from keras_cl.report.streams import said, stream_name
from keras_cl.settings.config import DIGEST
from keras_cl.settings.external import short_name

FIRST = ("memory", "stream", "dataset", "scenario", "tasks", "network", "regime", "learning_rate")
# What changes no accuracy, or says nothing to a reader: only in a label that would not be unique otherwise.
LAST = ("eval_every", "eval_tasks", "jit", "precision", "network_weights", "task_classes", "input_shape")
ENOUGH = 4  # settings in a label, if it is unique with them


def labels(settings, places):
    """A label for each run, all different.

    Args:
      settings: list of dicts, the settings of each run without its seeds.
      places: list of the directories of the runs, which tell runs apart that nothing else does.
    """
    flat = [_flat(one) for one in settings]
    kinds = [(short_name(one["method"]), one.get("program", "")) for one in flat]
    several = {method for method, program in kinds for other in kinds if other == (method, "") and program}
    found = [""] * len(flat)
    for kind in dict.fromkeys(kinds):
        own = [place for place, other in enumerate(kinds) if other == kind]
        start = kind[0] + " from Python" * (kind[0] in several and bool(kind[1]))
        for place, label in zip(own, _of_one_method(start, [flat[i] for i in own]), strict=True):
            found[place] = label
    return _unique(found, places)


def _of_one_method(start, settings):
    """Labels of runs of one method, with as many settings as they need."""
    names = _differing(settings)
    usual = sum(not _is_last(name) for name in names)
    for count in range(min(ENOUGH, usual), len(names) + 1):
        found = [_label(start, one, names[:count]) for one in settings]
        if len({*found}) == len(found):
            break
    return found


def _differing(settings):
    """Names of the settings in which runs differ, the most telling first.

    An option that a run lacks because it has made another choice (of a network, say) does not count.
    """
    names = dict.fromkeys(name for one in settings for name in one)
    values = {name: [one[name] for one in settings if name in one] for name in names}
    several = {name for name in names if any(value != values[name][0] for value in values[name])}
    lacking = {name for name in names if len(values[name]) < len(settings)}
    found = several | {name for name in lacking if name.partition(".")[0] not in several}
    if "stream" in found:
        found.discard("dataset")  # is said with the stream
    return sorted(found - {"seeds", "program"}, key=_rank)


def _rank(name):
    place = FIRST.index(name) if name in FIRST else len(FIRST)
    own = not name.startswith("method.")
    return _is_last(name), place, own, name


def _is_last(name):
    return name.endswith(DIGEST) or name.partition(".")[0] in LAST


def _label(start, own, names):
    lasts = [name.rpartition(".")[2] for name in names]
    words = {
        name: _said(name, name if lasts.count(last) > 1 else last, own)
        for name, last in zip(names, lasts, strict=True)
        if name in own
    }
    joined = "".join(words.pop(name, "") for name in ("memory", "stream", "dataset"))
    return ", ".join([start + joined, *words.values()])


def _said(name, short, own):
    """A setting in words, by a name that is short where no other ends like it."""
    value = own[name]
    match name:
        case "memory":
            return f" with {short_name(value)}" if value else ""
        case "stream" | "dataset":
            return f" on {stream_name(own)}"
        case "scenario":
            return f"{value}-incremental"
        case "tasks":
            return f"{value} tasks"
    return said(short, value)


def _flat(settings):
    """Settings without dicts: their entries have names with a point; an entry "name" stands for the dict."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found[name] = value.get("name")
            found |= {f"{name}.{k}": v for k, v in _flat(value).items() if k != "name"}
        else:
            found[name] = value
    return found


def _unique(found, places):
    """Labels, with the directory behind those that are not unique, and a number if that is not enough."""
    pairs = zip(found, places, strict=True)
    return numbered([f"{one} ({place})" if found.count(one) > 1 else one for one, place in pairs])


def numbered(names):
    """Names with a number behind those that are not unique."""
    return [
        f"{name} #{names[: place + 1].count(name)}" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
