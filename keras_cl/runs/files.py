"""Files that exist completely or not at all, and disk errors as one sentence."""

import contextlib
import os
import pathlib
import shutil

from keras_cl.errors import InputError


@contextlib.contextmanager
def written_aside(folder):
    """Yields a temporary folder that replaces `folder` if the `with` block succeeds."""
    folder = pathlib.Path(folder)
    aside, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("aside", "old"))
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        _sync(aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


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


def _sync(folder):
    """Forces the files to disk, before the rename."""
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
