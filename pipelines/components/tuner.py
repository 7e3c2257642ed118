"""Tuner: searches hyperparameters on the validation rows of the tasks that have arrived.

    best.json    the best values, `{"method.strength": 10.0, ...}`, which the Trainer takes
    best.flags   the same as flags of `keras_cl.main`
    trials.csv   all trials; the other files are those of `python -m tuning.search`

The search is that of `tuning.search`: each trial learns the first tasks anew. Its values replace settings
from this task on, and the tasks after it keep them until a Tuner chooses others.
"""

import json
import pathlib

from keras_cl.errors import pick, require
from keras_cl.runs.files import as_json
from pipelines.artifacts import produced
from pipelines.components.trainer import BEST
from pipelines.settings import config_of

WORDS = {int: "a whole number", str: "text"}
OWN = ("search", "given")  # options beside those of `tuning.search`


def tuner(settings, tune, examples, hyperparameters, code=""):
    """Searches, and writes the best values.

    Args:
      settings: the settings as text, see `pipelines.settings.text_of`.
      tune: JSON text of options: those of `tuning.search`, as in {"trials": 10, "tuner": "random"};
        {"search": {flag: "low:high" or "a,b,c"}} for ranges of your own; {"given": [flags]} for settings that
        are not searched.
      examples: Examples of all tasks so far, with validation rows.
      hyperparameters: folder of the Hyperparameters.
      code: digest of the code.

    Raises:
      InputError: for options that cannot be used, or if every trial failed.
    """
    config, options = config_of(settings), options_of(tune)
    recorded = {"settings": json.loads(settings), "tune": options}
    outputs = {"hyperparameters": hyperparameters}
    with produced("Tuner", outputs, {"examples": examples}, code=code, **recorded):
        best = _searched(config, options, examples, pathlib.Path(hyperparameters))
        pathlib.Path(hyperparameters, BEST).write_text(as_json(best["values"]))


def options_of(tune):
    """The dict in the JSON text of the Tuner's options.

    Raises:
      InputError: for an option that is not known.
    """
    from tuning import settings

    try:
        options = json.loads(tune or "{}")
    except ValueError:
        options = None
    require(
        isinstance(options, dict), f"The options of the Tuner are {tune!r}; give JSON of the form {{...}}."
    )
    decided = ("search_dir", "valid_fraction", "patience")  # the folder; as recorded; for several processes
    known = {option.name: option for option in settings.own_flags() if option.name not in decided}
    for name, value in options.items():
        pick("The option of the Tuner", name, [*known, *OWN])
        kind = known[name].kind if name in known else object
        require(
            isinstance(value, kind) and not isinstance(value, bool),
            f"The option {name} of the Tuner is {value!r}; it must be {WORDS.get(kind)}.",
        )
    ranges, given = options.get("search", {}), options.get("given", [])
    require(
        isinstance(ranges, dict) and all(isinstance(text, str) for text in ranges.values()),
        f"The option search of the Tuner is {ranges!r}; give ranges as in {{'batch_size': '16,32'}}.",
    )
    require(
        isinstance(given, list) and all(isinstance(name, str) for name in given),
        f"The option given of the Tuner is {given!r}; give names of settings as in ['learning_rate'].",
    )
    return options


def search_of(config, options, arrived, folder="", valid_fraction=0.0):
    """The `Search` of the Tuner's options, over all tasks that have arrived if they do not say fewer.

    Args:
      config: the `Config` of the line.
      options: what `options_of` returns.
      arrived: number of tasks that have arrived.
      folder: for the results.
      valid_fraction: fraction of the training rows that is held out; 0 if validation rows came as such.

    Raises:
      InputError: for options that cannot be used.
    """
    from tuning import space
    from tuning.settings import Search

    own = {name: value for name, value in options.items() if name not in OWN}
    known = config.settings
    given = {pick("The setting", name, known): known[name] for name in options.get("given", [])}
    given.pop("stream.valid_fraction", None)  # which has decided the examples, and is no hyperparameter
    own["tuning_tasks"] = min(own.get("tuning_tasks", arrived), arrived)
    texts = options.get("search", {})
    for flag in texts:
        pick("The setting", flag, [*space.SETTINGS, *config.known_options])
    ranges = space.own_ranges(config, given, texts)
    held = valid_fraction or Search.valid_fraction
    return Search(config, given, ranges, search_dir=str(folder), valid_fraction=held, **own)


def _searched(config, options, examples, folder):
    """The record of the best trial."""
    from keras_cl.devices import device

    device.prepare(config.device, quiet=not config.verbosity)
    from keras_cl.runs.console import Display
    from keras_cl.settings.build import make_model
    from pipelines.examples.recorded import stream_of
    from tuning.search import lead

    stream = stream_of(examples)
    search = search_of(config, options, stream.arrived, folder, stream.valid_fraction)
    for task in stream[: search.tasks]:
        require(
            len(task.valid),
            f"The Tuner measures on validation rows, and task {task.number} has none; give "
            f"--stream.valid_fraction.",
        )
    configured, _ = search.configured({})
    return lead(search, stream, make_model(configured, stream, config.seeds[0]), Display())
