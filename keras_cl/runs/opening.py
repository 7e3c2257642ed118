"""Opens a run directory: new, resumed or overwritten, and never somebody else's.

A lock that the operating system releases when the process ends keeps a second process out.
"""

import contextlib
import dataclasses
import fnmatch
import json
import pathlib
import shutil
import uuid

from keras_cl.errors import InputError, require
from keras_cl.runs import seals
from keras_cl.runs.directory import SEALED, RunDirectory
from keras_cl.runs.files import as_json, make_folder, plain_file_errors, read_json, sync, try_lock
from keras_cl.settings.config import DIGEST, digest


@dataclasses.dataclass(frozen=True)
class Kind:
    """Kind of a directory of this program.

    Attributes:
      name: name of the kind, for example "run".
      flag: name of the flag that sets the directory.
      leaves: patterns of all files written there, in the order of their removal; config.json is last,
        because it identifies the directory.
    """

    name: str
    flag: str
    leaves: tuple[str, ...]


LEAVES = (
    seals.DONE,
    *SEALED,
    "log.txt",
    "figures",
    "samples",
    "tensorboard",
    "wandb",
    "logged.json",
    "checkpoints",
    "seed_[0-9]*",
    "config.json",
)
RUN = Kind("run", "run_dir", LEAVES)
CONFIG, LOCK = "config.json", ".lock"


class InUse(InputError):
    """Another process has the directory open."""


def in_use(path):
    """Whether a process has the directory `path` open."""
    try:
        with open(pathlib.Path(path, LOCK)) as file:
            return not try_lock(file)
    except OSError:
        return False


@contextlib.contextmanager
def open_run(path, settings, about, overwrite=False, kind=RUN, grows=()):
    """Opens or resumes the run in `path`; the directory is locked inside the `with` block.

    Args:
      path: the directory; created if missing.
      settings: dict of all settings that decide the results; can be written as JSON.
      about: dict of further information: versions (at least of keras_cl), commit; can be written as JSON.
      overwrite: remove an earlier run first.
      kind: `Kind` of the directory.
      grows: names of settings that are lists to which later calls can add, of two or more values.

    Raises:
      InputError: if another process uses it, if it has other settings, or if it cannot be written.
    """
    path = pathlib.Path(path)
    with plain_file_errors(path):
        _known(path, kind)  # a directory of something else is refused before there is a lock in it
        make_folder(path)
        with _locked(path, kind):
            run = RunDirectory(path)
            _settle(run, {"run": uuid.uuid4().hex, "settings": settings, **about}, overwrite, kind, grows)
            yield run


def require_same(path, settings, kind=RUN):
    """Raises `InputError` unless the directory `path`, which another process uses, has these `settings`."""
    known = _known(path, kind)
    require(known, f"{path} holds no {kind.name}.")
    _check_settings(path, known["settings"], settings, kind)


@contextlib.contextmanager
def _locked(path, kind):
    with open(path / LOCK, "a") as file:
        if not try_lock(file):
            raise InUse(f"Another process is writing to {path}; wait for it or give --{kind.flag}.")
        yield


def _settle(run, config, overwrite, kind, grows):
    """Leaves the directory with the run of `config` and nothing of another one.

    An overwritten run loses its config.json first: if the process is killed while the files are removed, the
    next one removes the rest.
    """
    known = _known(run.path, kind)
    if known and not overwrite:
        same = _check_settings(run.path, known["settings"], config["settings"], kind, grows)
        if not known.get("overwriting"):
            if same:
                return
            (run.path / seals.DONE).unlink(missing_ok=True)
            config = known | {"settings": config["settings"]}
    if overwrite or (known and known.get("overwriting")):
        run.write_json(CONFIG, config | {"overwriting": True})
        _clear(run.path, kind)
    elif known == {}:
        config |= _identified(run, config["settings"])
    run.write_json(CONFIG, config)


def _known(path, kind):
    """The content of config.json of the run in `path`; None if there is no run, {} if a power loss emptied
    the file.

    Nothing is written to or removed from a directory that this program did not make.
    """
    entries = path.iterdir() if path.is_dir() else ()
    names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    if not names:
        return None
    try:
        config = read_json(path / CONFIG)
        if isinstance(config["settings"], dict) and config["versions"]["keras_cl"]:
            return config
    except (FileNotFoundError, IsADirectoryError, ValueError, KeyError, TypeError):
        pass
    require(
        _emptied(path, names, kind),
        f"{path} holds files ({', '.join(names[:3])}) without the config.json of a {kind.name} of this "
        f"program; give another --{kind.flag}.",
    )
    return {}


def _emptied(path, names, kind):
    """Whether config.json is empty in a directory with our lock, and either our checkpoints or no other files
    than ours."""
    file = path / CONFIG
    if not (file.is_file() and (path / LOCK).is_file()) or file.read_bytes().strip(b"\0\n"):
        return False
    ours = all(any(fnmatch.fnmatch(name, leaf) for leaf in kind.leaves) for name in names)
    return ours or seals.read_seal(RunDirectory(path).task_folder(0)) is not None


def _identified(run, settings):
    """The identifier of the run whose config.json was emptied, from its first checkpoint."""
    done = seals.read_seal(run.task_folder(0))
    if done is None:
        return {}
    require(
        done.get("settings") == digest(settings),
        f"{run.path / CONFIG} is empty, and the checkpoints are of a run with other settings; give these, "
        f"another --run_dir, or --overwrite to start afresh.",
    )
    return {"run": done.get("run")}


def _check_settings(path, known, settings, kind, grows=()):
    """Raises `InputError` if settings differ in more than what can grow; returns whether they are equal."""
    wanted = json.loads(as_json(settings))
    differing = [
        _difference(name, known, wanted, grows)
        for name in sorted(known.keys() | wanted.keys())
        if known.get(name) != wanted.get(name)
        and not (name in grows and _grown(known.get(name), wanted.get(name)))
    ]
    require(
        not differing,
        f"{path} holds a {kind.name} with other settings: {'; '.join(differing)}. Give another "
        f"--{kind.flag}, or --overwrite to start afresh.",
    )
    return known == wanted


def _difference(name, known, wanted, grows):
    if name.endswith(DIGEST) and name in known and name in wanted:
        return f"{wanted.get(name.removesuffix(DIGEST))} has changed since"
    said = f"--{name} was {_shown(known.get(name))}, now {_shown(wanted.get(name))}"
    return f"{said} (to add some, give the earlier ones too)" if name in grows else said


def _grown(known, wanted):
    """Whether a list of several values has all values of an earlier one."""
    lists = isinstance(known, list) and isinstance(wanted, list)
    return lists and len(known) > 1 and all(value in wanted for value in known)


def _clear(path, kind):
    """Removes the files of a run and nothing else, except config.json."""
    for pattern in kind.leaves:
        for entry in path.glob(pattern):
            if entry.name != CONFIG:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    sync(path)


def _shown(value):
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "not given" if value is None else str(value)
