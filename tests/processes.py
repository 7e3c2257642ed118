"""What the tests of the command line share: settings that are trained in a moment, and ways to run them."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
from unittest import mock

from keras_cl import command, device, flags, main
from keras_cl.config import Config

ROOT = pathlib.Path(__file__).parents[1]


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
    return Config(**{**defaults, **settings}, options={"network.hidden": (16,), **(options or {})})


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
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def hear_ctrl_c():  # which what a shell starts in its background ignores, and its children too
        signal.signal(signal.SIGINT, signal.default_int_handler)

    line = [sys.executable, *command_line]
    return subprocess.Popen(line, env=environment, **{"preexec_fn": hear_ctrl_c, **pipes, **popen})


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


def refusal(*given):
    """The one sentence with which `keras_cl.main` refuses some flags."""
    code, _, errors = said(*given)
    assert code == 1, f"exit code {code}: {errors}"
    return sentence(errors)


def sentence(errors):
    """What follows "Error: " in a standard error that holds nothing else."""
    assert errors.startswith("Error: ") and errors[-2:] in (".\n", "?\n") and errors.count("\n") == 1, errors
    return errors.removeprefix("Error: ").strip()
