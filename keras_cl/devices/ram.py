"""Main memory of this machine: what cannot fit is refused before it is allocated."""

import contextlib
import math
import os
import pathlib

from keras_cl.errors import require

OWN_GROUPS = pathlib.Path("/proc/self/cgroup")
GROUPS = pathlib.Path("/sys/fs/cgroup")
WHOLE = 8  # the part of main memory that the images of a task may take: training has several copies of them


def main_memory():
    """Bytes of main memory that this process can have."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


def _limits():
    """Limits in bytes of a container or a job of a cluster: of the control groups that this process is in."""
    for folder, name in _groups():
        for place in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
                yield int((place / name).read_text())


def _groups():
    """`(folder, name of the file of its limit)` of the control groups, of version 2 and 1."""
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield GROUPS / path.lstrip("/"), "memory.max"
            elif "memory" in controllers.split(","):
                yield GROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"


def largest_whole():
    """Bytes of the images of a task up to which they are read as a whole, and not block by block."""
    return main_memory() // WHOLE


def require_fits(size, what, advice):
    """Raises `InputError` if `size` bytes are more than the main memory.

    Args:
      size: estimate from below, in bytes.
      what: what takes them, the beginning of the message.
      advice: what to give instead, its end.
    """
    there = main_memory()
    require(
        size < there,
        f"{what}: at least {size / 2**30:,.1f} GiB are needed, and this machine has {there / 2**30:,.1f} GiB "
        f"of memory; {advice}.",
    )


@contextlib.contextmanager
def variables_counted(advice):
    """Inside the `with` block, a variable with which all those made there would not fit into main memory is
    refused, before it is allocated if its maker gives its shape, as Keras layers and optimizers do."""
    import tensorflow as tf

    total = 0

    def counted(make, **options):
        nonlocal total
        size = _size(options)
        total += size
        name = options.get("name") or "variable"
        require_fits(total, f"The variables of the model, up to {name} of {size:,} bytes", advice)
        return make(**options)

    with tf.variable_creator_scope(counted):
        yield


def _size(options):
    """Bytes of a variable to be made; 0 if its maker does not say."""
    import tensorflow as tf

    initial = options.get("initial_value")
    shape = options.get("shape")
    shape = tf.TensorShape(getattr(initial, "shape", None) if shape is None else shape)
    dtype = options.get("dtype") or getattr(initial, "dtype", None) or tf.float32
    return math.prod(shape.as_list()) * tf.as_dtype(dtype).size if shape.is_fully_defined() else 0
