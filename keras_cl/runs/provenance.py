"""What a run was made with: versions and the commit."""

import contextlib
import pathlib
import platform
import subprocess

import numpy as np
import tensorflow as tf
import tf_keras as keras

import keras_cl


def about():
    """Versions and commit: what is worth knowing about a run beside its settings."""
    versions = {"keras_cl": keras_cl.__version__, "python": platform.python_version()}
    versions |= {module.__name__: module.__version__ for module in (tf, keras, np)}
    return {"versions": versions, "commit": _commit()}


def _commit():
    """Commit of this library's own checkout, "-dirty" where files were changed since; None if unknown."""
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*arguments):
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() == root:
            changed = git("status", "--porcelain", "--untracked-files=no")
            return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    return None
