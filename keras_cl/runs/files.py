"""Files that exist completely or not at all, also after a power loss; disk errors as one sentence."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil

from keras_cl.errors import InputError


def replace(path, content):
    """Replaces the content of the file `path`, text or bytes, in one step."""
    path = pathlib.Path(path)
    aside = path.with_name(f".{path.name}.aside")
    aside.write_bytes(content.encode() if isinstance(content, str) else content)
    sync(aside)
    aside.replace(path)
    sync(path.parent)


@contextlib.contextmanager
def written_aside(folder):
    """Yields a temporary folder that replaces `folder` if the `with` block succeeds."""
    folder = pathlib.Path(folder)
    aside, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("aside", "old"))
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    make_folder(folder.parent)
    aside.mkdir()
    try:
        yield aside
        for entry in (*aside.rglob("*"), aside):
            sync(entry)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def try_lock(file):
    """Whether this process has got the lock of an open file; the system releases it when the process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_folder(folder):
    """Makes a folder, and those above it, if they are missing."""
    folder = pathlib.Path(folder)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)


def sync(path):
    """Forces the content of a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksums(folder, names):
    """`{name: SHA-256}` of files in a folder; None for one that is missing."""
    return {name: _checksum(folder / name) for name in names}


def read_json(path):
    """The dict in a JSON file.

    Raises:
      ValueError: if the file is damaged or holds something else.
      OSError: if it cannot be read.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dict")
    return content


def as_json(content):
    """`content` as the text of a JSON file."""
    return json.dumps(content, indent=2) + "\n"


@contextlib.contextmanager
def plain_file_errors(path):
    """Converts the errors of a full or unwritable disk to one sentence; finished tasks stay."""
    try:
        yield
    except OSError as error:
        reason, place = error.strerror or error, f" ({error.filename})" if error.filename else ""
        kept = " Tasks that were finished are kept; the same command goes on from there."
        begun = os.path.isdir(os.path.join(path, "checkpoints"))
        raise InputError(f"Writing to {path} failed: {reason}{place}.{kept if begun else ''}") from error


def _checksum(file):
    try:
        with open(file, "rb") as content:
            digest = hashlib.sha256()
            while block := content.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
