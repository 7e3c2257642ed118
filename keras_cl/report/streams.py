"""What makes the stream of a run, from its settings, and its name in words."""

from keras_cl.settings.external import short_name
from keras_cl.sources.reading import data_name

LONG = 24  # characters of a value


def said(name, value):
    """A setting in words, for example "hidden=400,400", "online" or "not online"."""
    if isinstance(value, bool):
        return name if value else f"not {name}"
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else text
    return f"{name}={text if len(text) <= LONG else text[: LONG - 3] + '...'}"


def stream_name(settings):
    """Stream and data set of a run in words, for example "split mnist"."""
    if "program" in settings:  # its name, as the model's code gave it
        return settings["stream"]
    return f"{short_name(settings['stream'])} {data_name(settings.get('dataset', ''))}".rstrip()


def stream_of(settings):
    """Dict of what makes a run's stream; a run from Python does not say all that one of the program says."""
    found = {"stream": stream_name(settings), "scenario": settings.get("scenario")}
    if "task_classes" in settings:  # of keras_cl.learn
        found |= {"tasks": len(settings["task_classes"]), "stream.seed": settings.get("stream_seed")}
        found |= {"stream.valid_fraction": settings.get("valid_fraction")}
        return found | {
            name: settings[name]
            for name in ("task_classes", "input_shape", "stream.phases")
            if name in settings
        }
    names = [name for name in settings if name.startswith(("stream.", "stream_", "dataset.", "dataset_"))]
    found |= {name: settings.get(name) for name in ("tasks", *names)}
    return found | {"stream_per_seed": settings.get("stream_per_seed", False)}
