"""What the tests of the command line share: settings that are trained in a moment, and ways to run them."""

import contextlib
import functools
import io
import multiprocessing
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import time
from unittest import mock

from keras_cl import main
from keras_cl.devices import device
from keras_cl.settings import command, flags
from keras_cl.settings.config import Config

ROOT = pathlib.Path(__file__).parents[1]
PATIENCE = 120  # seconds after which a process counts as stuck


def small(folder, options=None, **settings):
    """A `Config` that is trained in a second or two, with everything it leaves under `folder`."""
    defaults = {
        "method": "finetune",
        "tasks": 2,
        "epochs": 1,
        "jit": "off",
        "run_dir": str(folder / "run"),
        "export_dir": str(folder / "models"),
    }
    given = {**defaults, **settings}
    narrow = {} if given.get("network") else {"network.hidden": (16,)}
    return Config(**given, options={**narrow, **(options or {})})


def arguments(folder, *more):
    """The flags of `small(folder)`, followed by `more`."""
    return [
        "--method=finetune",
        "--tasks=2",
        "--epochs=1",
        "--jit=off",
        "--network.hidden=16",
        f"--run_dir={folder / 'run'}",
        f"--export_dir={folder / 'models'}",
        *more,
    ]


def start(*command_line, **popen):
    """Starts `python` with some arguments as a process of its own, with pipes for what it says."""
    given = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell starts what is in its background so that it and its children ignore Ctrl-C. Not by `preexec_fn`,
    # with which Python forks: the threads of gRPC go on in that child for a moment, and complain there.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([sys.executable, *command_line], **{**given, **popen})
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class Forked:
    """`python -m keras_cl.main` in a process of its own, forked from one that has TensorFlow imported.

    Args:
      *given: its flags.
      folder: where what it says is kept, as `output` and `errors`.
      begin: called in the process before anything else; a function of a module, or a partial of one.
    """

    def __init__(self, *given, folder, begin=os.getpid):
        self.output, self.errors = folder / "output", folder / "errors"
        paths = [self.output, self.errors]
        for path in paths:
            path.write_text("")
        self._process = _forking().Process(target=_command, args=(given, *paths, begin))
        self._process.start()

    @property
    def code(self):
        """Exit code, minus the signal that ended it, None while it is alive."""
        return self._process.exitcode

    def wait_until(self, happened):
        """Waits until `happened()` is true, while the process is alive."""
        began = time.monotonic()
        while not happened():
            assert self.code is None, f"the process ended too early: {self.output.read_text()}"
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.001)

    def end(self, number=None):
        """Sends a signal, if one is given, and waits for the end; returns all that was said."""
        if number is not None and self.code is None:
            os.kill(self._process.pid, number)
        self._process.join(PATIENCE)
        assert self.code is not None, "the process is stuck"
        return self.output.read_text(), self.errors.read_text()


@functools.cache
def _forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras_cl.train"])
    return context


def _command(given, output, errors, begin):
    """Becomes the command, in a process that was forked."""
    for path, descriptor in ((output, 1), (errors, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begin()
    sys.argv = ["main", *given]
    runpy.run_path(main.__file__, run_name="__main__")


def said(*given):
    """Exit code, standard output and standard error of `keras_cl.main` with some flags, run in this process.

    All but the device is real: preparing it would change TensorFlow for the tests that follow.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(device, "prepare", return_value="cpu"),
        mock.patch.object(os, "_exit", side_effect=sys.exit),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            command.plain(main.main)(command.parser(flags.parse)(["main", *map(str, given)]))
        except SystemExit as end:
            code = end.code
    return code, output.getvalue(), errors.getvalue()


def free_ports(count):
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def refusal(*given):
    """The one sentence with which `keras_cl.main` refuses some flags."""
    code, _, errors = said(*given)
    assert code == 1, f"exit code {code}: {errors}"
    return sentence(errors)


def sentence(errors):
    """What follows "Error: " in a standard error that holds nothing else."""
    assert errors.startswith("Error: ") and errors[-2:] in (".\n", "?\n") and errors.count("\n") == 1, errors
    return errors.removeprefix("Error: ").strip()
