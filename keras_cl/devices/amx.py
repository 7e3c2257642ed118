"""Whether this machine's CPU multiplies matrices of bfloat16 in hardware (Intel's AMX)."""

import contextlib
import functools
import os
import pathlib

CPUS = pathlib.Path("/proc/cpuinfo")  # of Linux, the only system of CPUs with AMX on which TensorFlow uses it


@functools.cache
def multiplies_bfloat16():
    """Whether TensorFlow's matrix products of bfloat16 run on AMX: the CPU has it, and oneDNN is not off."""
    with contextlib.suppress(OSError):
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" and "amx_bf16" in _flags(CPUS.read_text())
    return False


def _flags(text):
    """Names of what the first CPU of a /proc/cpuinfo can do; they are called so on x86 only."""
    lines = (line.partition(":") for line in text.splitlines())
    return next((names.split() for key, _, names in lines if key.strip() == "flags"), [])
