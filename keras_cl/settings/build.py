"""Makes the stream and the model of a run from its settings."""

import dataclasses
import inspect

from keras_cl.devices.ram import variables_counted
from keras_cl.errors import InputError, require
from keras_cl.settings import catalog, checks
from keras_cl.settings.config import Config
from keras_cl.sources import source
from keras_cl.sources.reading import Reading

# The settings that determine a stream, with their options and digests.
STREAM = (
    *("stream", "dataset", "scenario", "tasks", "stream_sha256", "dataset_sha256"),
    *("seeds", "stream_per_seed"),
    *(field.name for field in dataclasses.fields(Reading)),
)


def make_stream(config):
    """The stream of a `Config`, of its first seed. It does not read data yet, except from an .npz file."""
    given = _values(config, "stream")
    if config.stream_per_seed:
        given["seed"] += config.seeds[0]
    # A stream that has the options of images itself, as of several data sets, makes its sources too.
    dataset = config.dataset if "image_size" in given else make_source(config)
    return _made(config, "stream", dataset, **given)


def stream_of_seed(config, stream, seed):
    """The stream of one of the seeds of a `Config`: `stream`, that of the first one, or one of its own."""
    if not config.stream_per_seed or seed == config.seeds[0]:
        return stream
    return make_stream(dataclasses.replace(config, seeds=(seed,)))


def make_source(config):
    """The `Source` of the data set of a `Config`, with its options."""
    dataset = config.dataset
    if "dataset" in config.choices:
        dataset = _made(config, "dataset", **_values(config, "dataset"))
    return source(dataset, **dataclasses.asdict(config.reading))


def stream_of(settings, data_dir="", cache_dir=""):
    """The stream of a run, from the settings in its config.json; the file of its method is not needed."""
    plain = {name: value for name, value in settings.items() if name.partition(".")[0] in STREAM}
    return make_stream(Config.from_settings(plain, data_dir, cache_dir))


def make_model(config, stream, seed):
    """The compiled, untrained method with its network.

    Raises:
      InputError: for options that are impossible, or whose variables would not fit into main memory.
    """
    with variables_counted("give smaller options of the network, the method and the memory"):
        return _model(config, stream, seed)


def _model(config, stream, seed):
    import tf_keras as keras

    require(
        config.isolate_heads or stream.scenario == "task",
        f"--noisolate_heads is for the task-incremental scenario, and this is the {stream.scenario}-"
        f"incremental one, whose tasks share one head.",
    )
    network = _network(config, stream, seed)
    base = {name: getattr(config, name) for name in ("reset_optimizer", "isolate_heads")}
    if config.augment:
        chosen = catalog.several("augment", config.augment)
        made = [catalog.load(axis, name)(**config.options_of(axis)) for axis, name in chosen.items()]
        base |= {"augment": made, "augment_rows": config.augment_rows}
    values = {**base, **_values(config, "method")}
    if config.memory:
        values["memory"] = _made(config, "memory", stream, seed=seed, **config.options_of("memory"))
    model = _made(config, "method", network, seed=seed, **values)
    if stream.every:
        checks.check_boundaries(model)
    model.augment.bind(stream)
    if model.memory is not None:
        model.memory.bind(stream)
        if model.draws:
            model.memory.require_room(config.replay_batch_size or config.batch_size)
    optimizer = keras.optimizers.get(config.optimizer)
    if config.momentum:
        optimizer.momentum = config.momentum
    optimizer.learning_rate = config.learning_rate
    regime = _made(config, "regime", **config.options_of("regime"))
    model.compile(optimizer, regime=regime, jit={"auto": None, "on": True, "off": False}[config.jit])
    return model


def _network(config, stream, seed):
    """The network, with the precision and the seed if it has these options."""
    known = inspect.signature(catalog.load("network", config.network)).parameters
    require(
        "precision" in known or config.precision == "float32",
        f"--precision is {config.precision}, and the network {config.network} has no option precision.",
    )
    given = {"precision": config.precision, "seed": seed}
    given = {name: value for name, value in given.items() if name in known}
    return _made(config, "network", stream, **given, **config.options_of("network"))


def _values(config, axis):
    """Arguments of a constructor: its own options, and the settings that have the names of its parameters."""
    fields = {field.name for field in dataclasses.fields(config)}
    shared = {o.name for o in catalog.choice(axis, getattr(config, axis)).options} & fields
    return {name: getattr(config, name) for name in shared} | config.options_of(axis)


def _made(config, axis, *given, **options):
    """Calls the class or function of an axis; checks the call and the result of a choice from outside."""
    maker = catalog.load(axis, getattr(config, axis))
    if axis not in config.origins:
        return maker(*given, **options)
    try:
        inspect.signature(maker).bind(*given, **options)
    except TypeError as error:
        raise InputError(
            f"{maker.__name__} of --{axis}={getattr(config, axis)} cannot be called: {error}."
            f"{ADVICE.get(axis, '')}"
        ) from None
    made = _adopted(axis, maker(*given, **options))
    kind = _returned(axis)
    require(
        kind is None or isinstance(made, kind),
        f"{maker.__name__} of --{axis}={getattr(config, axis)} returns {made!r:.60}; it has to return a "
        f"{kind and kind.__name__}.",
    )
    return made


ADVICE = {
    "method": " It takes a network, its own options, and **base for those of ContinualModel.",
    "memory": " It takes a stream, its own options, and **base for those of Memory.",
    "network": " It takes a stream and its own options.",
    "stream": " It takes a data set and its own options; tasks and scenario are among these.",
}


def _adopted(axis, made):
    """A network of Keras 3 as one of tf_keras, anything else as it is."""
    if axis == "network":
        from keras_cl.learning.keras3 import adopted

        return adopted(made)
    return made


def _returned(axis):
    """The type that the function of an axis must return; None if the choice is a class."""
    if axis == "network":
        import tf_keras as keras

        return keras.Model
    if axis == "stream":
        from keras_cl.streams.base import Stream

        return Stream
    if axis == "dataset":
        from keras_cl.sources.base import Source

        return Source
    return None
