"""Command line: exported models over REST and gRPC, as TensorFlow Serving answers.

python -m keras_cl.serve --saved_model=saved_models/<run> --model_name=digits
"""

import contextlib
import gc
import pathlib
import re
import signal
import socket
import sys
import time

from absl import app

from keras_cl.errors import InputError, require, require_installed
from keras_cl.serve.limits import Limits
from keras_cl.settings import command
from keras_cl.settings.flags import field_options, read_own
from keras_cl.settings.options import document_of, option_of

EXTRA = ("grpc", "orjson", "prometheus_client", "starlette", "tensorflow_serving", "uvicorn")
LIMITS = field_options(Limits, skipped=())
FLAGS = (
    option_of("saved_model", str, "", "folder of the versions of a model: 1, 2, ..."),
    option_of("model_name", str, "", "its name in requests; by default that of the folder"),
    option_of(
        "model_version_policy",
        str,
        "all",
        "versions of it that are served: all, latest, latest:N or specific:N,N,...",
    ),
    option_of("model_config_file", str, "", "TensorFlow Serving's file of several models, instead"),
    option_of("host", str, "127.0.0.1", "address to listen at; 0.0.0.0 lets other machines in"),
    option_of("port", int, 8501, "port of REST; 0 for any that is free"),
    option_of("grpc_port", int, 8500, "port of gRPC; 0 for any that is free"),
    option_of(
        "file_system_poll_wait_seconds", float, 1.0, "seconds between looks for new versions; 0: one look"
    ),
    option_of("max_batch_size", int, 256, "rows of a batch of concurrent requests"),
    option_of("batch_timeout_micros", int, 0, "microseconds that a batch waits for more requests"),
    option_of("num_batch_threads", int, 0, "batches that run at a time; 0: as many as processors"),
    option_of("max_enqueued_batches", int, 100, "batches of a signature that wait; more are refused"),
    option_of("allowed_batch_sizes", tuple[int, ...], (), "sizes to which batches are padded"),
    *LIMITS,
    option_of("device", str, "auto", "auto, cpu or gpu"),
    option_of("verbosity", int, 0, "1 shows tracebacks and TensorFlow's messages"),
)


def parse(argv):
    """The flag values of a command line; prints help and exits if the command line has a help flag."""
    values, rest = read_own(argv, document_of(sys.modules[__name__]), FLAGS)
    require(not rest, f"{rest[:1]} is not a flag; flags look like --saved_model=saved_models/run.")
    require(
        bool(values.saved_model) != bool(values.model_config_file),
        "Give --saved_model, the folder that holds the versions 1, 2, ..., or --model_config_file.",
    )
    require(
        not (values.model_config_file and values.model_name),
        "--model_name has no effect with --model_config_file, which names its models.",
    )
    for name in ("port", "grpc_port"):
        require(0 <= values[name].value < 65536, f"--{name}={values[name].value}; a port is 0 to 65535.")
    require(values.port != values.grpc_port or not values.port, "--port and --grpc_port must differ.")
    for name in ("file_system_poll_wait_seconds", "batch_timeout_micros", "num_batch_threads"):
        require(values[name].value >= 0, f"--{name}={values[name].value}; it must be at least 0.")
    for name in ("max_batch_size", "max_enqueued_batches", *(option.name for option in LIMITS)):
        require(values[name].value > 0, f"--{name}={values[name].value}; it must be positive.")
    sizes = list(values.allowed_batch_sizes)
    require(
        not sizes or (sizes == sorted(set(sizes)) and sizes[0] > 0 and sizes[-1] == values.max_batch_size),
        f"--allowed_batch_sizes={','.join(map(str, sizes))}; they increase up to --max_batch_size.",
    )
    return values


def configs_of(values):
    """The `ModelConfig`s that the flags ask for."""
    from keras_cl.serve.model_config import ModelConfig, policy_of, read_config

    if values.model_config_file:
        return read_config(values.model_config_file)
    folder = pathlib.Path(values.saved_model).absolute()
    name = values.model_name or folder.name
    require(
        re.fullmatch(r"[^/:\s]+", name),
        f"The model cannot be called {name!r}: a name is part of an address; give --model_name.",
    )
    return [ModelConfig(name, folder, policy_of(values.model_version_policy))]


def loaded(configs, values):
    """`Models` that are loaded and watched; `InputError` if one of them cannot be served."""
    from keras_cl.serve.batching import Batching
    from keras_cl.serve.errors import ServingError
    from keras_cl.serve.models import Models, Options

    for config in configs:
        _require_versions(config)
    batching = Batching(
        max_batch_size=values.max_batch_size,
        batch_timeout_micros=values.batch_timeout_micros,
        num_batch_threads=values.num_batch_threads,
        max_enqueued_batches=values.max_enqueued_batches,
        allowed_batch_sizes=tuple(values.allowed_batch_sizes),
    )
    models = Models(configs, Options(batching, values.file_system_poll_wait_seconds, _say))
    try:
        models.start()
    except ServingError as error:
        raise InputError(f"{error.message}.") from error
    for config in configs:
        found = models.statuses(config.name)
        require(
            any(status.state == "AVAILABLE" for status in found),
            f"No version of {config.name} in {config.base_path} can be served: {found[0].error_message}.",
        )
    return models


def _require_versions(config):
    from keras_cl.serve.servable import PROGRAM
    from keras_cl.serve.version import fingerprint, versions_in

    folder = config.base_path
    require(folder.is_dir(), f"There is no folder {folder}.")
    require(not (folder / PROGRAM).exists(), f"{folder} is a version itself; give the folder that holds it.")
    numbers = [number for number, path in versions_in(folder).items() if fingerprint(path)]
    seeds = sorted(path.name for path in folder.glob("seed_*"))
    require(
        numbers or not seeds,
        f"{folder} holds models of several seeds; serve one, such as {''.join(seeds[:1])}.",
    )
    require(numbers, f"{folder} holds no version of a model: no folder 1, 2, ... with a SavedModel is in it.")
    require(
        config.policy.choose(numbers),
        f"{folder} holds none of the versions of the policy; it has {', '.join(map(str, sorted(numbers)))}.",
    )


def main(values):
    """Serves until SIGTERM or SIGINT, then ends when the requests in progress have been answered."""
    require_installed("serve", *EXTRA)
    from keras_cl.devices import device
    from keras_cl.serve.web import bound

    limits = Limits(**{option.name: values[option.name].value for option in LIMITS})
    place = bound(values.host, values.port)  # a port in use is said before anything is loaded
    bound(values.host, values.grpc_port).close()
    device.prepare(values.device, quiet=not values.verbosity)
    models = loaded(configs_of(values), values)
    _serve(models, limits, values.host, values.grpc_port, place)


def _ended():
    """A socket that can be read after SIGTERM or SIGINT.

    Python writes to it from whichever thread the system gives the signal to; a lock on which the main thread
    waits would not hear a signal that another thread got.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_, kept=told: None)
    signal.set_wakeup_fd(told.fileno())
    return heard


def _serve(models, limits, host, grpc_port, place):
    from keras_cl.serve import grpc_api, monitoring, rest, web

    ended = _ended()
    watched = monitoring.Monitoring(models)
    server, grpc_port = grpc_api.serve(models, limits, f"{_bracketed(host)}:{grpc_port}", watched)
    site = web.Site(rest.application(models, limits, watched), place, limits)
    port = place.getsockname()[1]
    gc.freeze()  # requests make many objects; what stays is not looked through each time
    for name in models.names():
        _say(f"serving {name} on http://{_bracketed(host)}:{port} and grpc://{_bracketed(host)}:{grpc_port}")
    ended.recv(1)
    _say("Ending: requests in progress are answered.")
    end(server, site, models, limits.drain_seconds)


def end(server, site, models, seconds):
    """Takes no more requests, and returns when those in progress have been answered, or cut off.

    Args:
      server: gRPC server.
      site: `Site`.
      models: `Models`.
      seconds: what they are given, all together.
    """
    from keras_cl.serve.web import CUT_OFF

    deadline = time.monotonic() + seconds
    stopped = server.stop(seconds)
    site.stop()
    stopped.wait(max(0.0, deadline - time.monotonic()) + CUT_OFF)
    models.stop(max(0.0, deadline - time.monotonic()))


def _bracketed(host):
    return f"[{host}]" if ":" in host else host


def _say(sentence):
    with contextlib.suppress(OSError):  # whoever read it may have gone; the server goes on
        print(sentence, flush=True)


def cli():
    """What `keras-cl-serve` and `python -m keras_cl.serve` run."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
