"""Starts TensorFlow quietly on the requested device or devices."""

import contextlib
import os
import sys

from absl import logging

from keras_cl.devices import cluster
from keras_cl.errors import InputError, require

# Lets XLA's CPU compiler update weights and moments in one loop, so that a penalised gradient is computed
# once and not once per moment.
FUSE = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"


def prepare(device, quiet=True, starts=True):
    """Imports TensorFlow, selects the device and makes runs reproducible.

    Args:
      device: "auto", "cpu" or "gpu".
      quiet: hide TensorFlow's start-up messages.
      starts: whether TensorFlow starts now; with several workers, their strategy must start it.

    Returns:
      "cpu" or "gpu".
    """
    import_tensorflow(quiet)
    import tensorflow as tf

    with _stderr_silenced() if quiet else contextlib.nullcontext():
        gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
        require(gpus or device != "gpu", "--device=gpu, but TensorFlow finds no GPU; possible: cpu, auto.")
        if quiet:
            tf.get_logger().setLevel("ERROR")
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        if gpus:
            grow_memory()
            # Otherwise a GPU rounds the factors of a float32 product to ten bits.
            tf.config.experimental.enable_tensor_float_32_execution(False)
        tf.config.experimental.enable_op_determinism()
        if starts:
            tf.config.list_logical_devices()
            # The first compilation prints a message; trigger it here, where it is hidden.
            tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()
    return "gpu" if gpus else "cpu"


def started(device, name, quiet=True):
    """What `prepare` returns as text for a headline, and the `strategy` called `name`."""
    where = prepare(device, quiet, starts=name != "multiworker")
    made = strategy(name, quiet)
    return (f"{made.num_replicas_in_sync} devices ({where})" if made else where), made


def import_tensorflow(quiet=True):
    """Sets the environment variables that this library needs, then imports TensorFlow."""
    if quiet:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("XLA_FLAGS", FUSE)
    if "tensorflow" not in sys.modules:  # later it would have TensorFlow Probability look for another Keras
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # keeps Keras 3 from being loaded beside tf_keras
    with _stderr_silenced() if quiet else contextlib.nullcontext():
        import tensorflow  # noqa: F401


def grow_memory():
    """Lets TensorFlow take the memory of GPUs as it needs it, and not all of it when it starts.

    Changes nothing once TensorFlow has started, nor where a program has settled it in another way.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if any(tf.config.experimental.get_memory_growth(gpu) is not None for gpu in gpus):
        return
    for gpu in gpus:
        with contextlib.suppress(RuntimeError, ValueError):  # TensorFlow has started; the GPU is divided
            tf.config.experimental.set_memory_growth(gpu, True)


def kind():
    """ "gpu" or "cpu": where TensorFlow computes in this process; starts it."""
    import tensorflow as tf

    return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"


def divide_cpu(count):
    """Makes several devices of the CPU, to try there what several devices do; before TensorFlow starts."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def strategy(name, quiet=True):
    """The `tf.distribute` strategy called `name`, on the selected devices.

    Args:
      name: "none"; "mirrored", all devices of this machine; "multiworker", those of all workers of TF_CONFIG.
      quiet: hide TensorFlow's messages.

    Returns:
      the strategy, or None if there is only one device.

    Raises:
      InputError: if TF_CONFIG is missing or wrong, a worker that it names does not answer, or this worker
        cannot be reached at its address.
    """
    if name == "none":
        return None
    if name == "multiworker":
        cluster.meet(*cluster.addresses(os.environ.get("TF_CONFIG", "")))
    import tensorflow as tf

    with _stderr_silenced() if quiet else contextlib.nullcontext():
        if name == "mirrored":
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            made = tf.distribute.MirroredStrategy([device.name for device in devices])
        else:
            try:
                made = tf.distribute.MultiWorkerMirroredStrategy()
            except tf.errors.OpError as error:
                raise InputError(f"This worker could not be started: {error.message}.") from error
    return made if made.num_replicas_in_sync > 1 else None


@contextlib.contextmanager
def _stderr_silenced():
    """Redirects file descriptor 2 to /dev/null: TensorFlow's C++ code ignores its log level at start-up."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
