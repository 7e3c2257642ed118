"""Runs the line on this machine: kfp's local runner, a process for each component, and its cache."""

import contextlib
import logging
import os
import pathlib
import shlex
import shutil
import sys
import tempfile
import warnings

from keras_cl.errors import InputError, require
from keras_cl.runs import seals
from keras_cl.runs.files import make_folder, read_json, try_lock
from pipelines.artifacts import read_record, verified

CACHE, LOCK = ".kfp_cache", ".lock"
NAME = "line"  # of the pipeline; kfp makes a folder line-<time> for each run
LOG = "run.log"
ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """#!/bin/sh
[ "$1" = -m ] && shift
exec {python} -m pipelines.guarded "$@"
"""


def run(pipeline, root, progress):
    """Runs a kfp pipeline; its components end with this process, however it ends.

    Args:
      pipeline: what `line.pipeline` returns.
      root: folder of artifacts and cache.
      progress: a `Progress`.

    Returns:
      `{name: folder}` of the outputs.

    Raises:
      InputError: names the component that failed, and says why in one sentence.
    """
    from kfp import local

    with _environment() as work, _held(), _heard(progress):
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(root),
            workspace_root=str(work / "workspace"),
            enable_caching=True,
        )
        try:
            done = pipeline()
        except RuntimeError as error:
            require(progress.failed, f"kfp could not run the line: {error}")
            raise InputError(
                f"{progress.failed} What it said is in {root / LOG}; the next run goes on from there."
            ) from error
    return {name: artifact.path for name, artifact in done.outputs.items()}


def require_own(root):
    """Raises `InputError` if a pipeline_root is a folder of other things, which `clear` might remove."""
    if root.is_dir() and not (root / LOCK).exists():
        others = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
        require(
            not others,
            f"--pipeline_root is {root}, which holds other things ({', '.join(others[:3])}); "
            f"give a folder of its own.",
        )


@contextlib.contextmanager
def alone(root):
    """Keeps other runs away from a pipeline_root inside the `with` block.

    Raises:
      InputError: if another run is at work there.
    """
    make_folder(root)
    with open(root / LOCK, "a") as lock:
        require(
            try_lock(lock),
            f"Another run is at work on {root}; wait until it ends, or give another --pipeline_root.",
        )
        yield


def require_unedited(root, code):
    """Raises `InputError` if an artifact that the cache could serve, one of this `code`, was edited."""
    edited = {}
    for folder in {folder for outputs in _cached(root).values() for folder in outputs.values()}:
        if folder.is_dir() and _of(folder, code):
            try:
                verified(folder)
            except InputError as error:
                edited[folder] = str(error)
    folders = " ".join(shlex.quote(str(folder)) for folder in sorted(edited))
    first = edited[min(edited)] if edited else ""
    require(not edited, f"{first} The next run makes again what is removed: rm -r {folders}")


def clear(root):
    """Removes what components that failed or were killed have left."""
    for folder in root.glob(f"{NAME}-*/*/*/"):
        if not (folder / seals.DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)


def forget(root):
    """Lets components run again whose outcome may be another one now: a Pusher whose model is not served any
    more, and an InfraValidator that refused a model, perhaps for want of memory."""
    for entry, outputs in _cached(root).items():
        with contextlib.suppress(OSError, ValueError):  # kfp finds no artifact either
            if "pushed" in outputs:
                told = read_json(outputs["pushed"] / "pushed.json")
                again = told["pushed"] and seals.changed(pathlib.Path(told["path"])) != []
            else:
                again = "infra_blessing" in outputs and not _validated(outputs["infra_blessing"])
            if again:
                entry.unlink()


def _validated(infra_blessing):
    return read_json(infra_blessing / "infra_blessing.json")["blessed"]


def _cached(root):
    """`{file of an entry of the cache: {output: folder}}`."""
    found = {}
    for entry in sorted((root / CACHE).glob("*.json")):
        with contextlib.suppress(OSError, ValueError):  # kfp ignores damaged entries
            values = read_json(entry).items()
            found[entry] = {
                k: pathlib.Path(v["uri"]) for k, v in values if isinstance(v, dict) and v.get("uri")
            }
    return found


def _of(folder, code):
    """Whether an artifact was made by this code; also if that cannot be read."""
    try:
        return read_record(folder).get("code") == code
    except InputError:
        return True


@contextlib.contextmanager
def _environment():
    """Makes the processes of components find this library, and yields a folder that holds what they leave.

    kfp starts components by the word python3, which it replaces with the path of this Python, in the shell's
    command without quotes and in the arguments too. So the path is made that word for the time, and a script
    of this name starts this Python, in which the component is guarded.
    """
    with tempfile.TemporaryDirectory(prefix="pipelines-") as work, contextlib.ExitStack() as restored:
        work = pathlib.Path(work)
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        changed = {
            "TMPDIR": str(work),  # kfp leaves a folder there for each component
            "PYTHONPATH": os.pathsep.join([path for path in known if path] + [str(ROOT)]),
            "PATH": os.pathsep.join([str(work), os.environ.get("PATH", os.defpath)]),
        }
        script = work / "python3"
        script.write_text(SCRIPT.format(python=shlex.quote(sys.executable)))
        script.chmod(0o755)
        restored.callback(setattr, sys, "executable", sys.executable)
        sys.executable = script.name
        for name, value in changed.items():
            restored.callback(_set, name, os.environ.get(name))
            os.environ[name] = value
        yield work


@contextlib.contextmanager
def _held():
    """Makes the standard input a pipe, by which guarded components know that this process goes on."""
    with contextlib.ExitStack() as restored:
        try:
            own = os.dup(0)
        except OSError:  # this process was started without one
            own = os.open(os.devnull, os.O_RDONLY)
        restored.callback(os.close, own)
        restored.callback(os.dup2, own, 0)
        read, write = os.pipe()
        restored.callback(os.close, write)
        os.dup2(read, 0)
        os.close(read)
        yield


def _set(name, value):
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


@contextlib.contextmanager
def _heard(progress):
    """Gives everything that kfp says to `progress` alone."""
    logger = logging.getLogger()
    level, handlers = logger.level, logger.handlers[:]
    logger.handlers[:] = [progress]
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(progress):
            warnings.simplefilter("ignore")  # about what only a cluster heeds
            yield
    finally:
        progress.stop()
        logger.setLevel(level)
        logger.handlers[:] = handlers
