"""Starting TensorFlow quietly on the device that was asked for."""

import contextlib
import os

from absl import logging

from keras_cl.errors import require

# Lets XLA's CPU compiler update weights and moments in one loop: a penalised gradient is then computed once
# rather than once for each moment.
FUSE = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"


def prepare(device, quiet=True):
    """Imports TensorFlow, chooses the device and makes runs repeatable.

    Args:
      device: "auto", "cpu" or "gpu".
      quiet: keep TensorFlow's start-up messages off the screen.

    Returns:
      "cpu" or "gpu".
    """
    if quiet:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("XLA_FLAGS", FUSE)
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # keeps Keras 3 from being loaded beside tf_keras
    with _stderr_silenced() if quiet else contextlib.nullcontext():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
        require(gpus or device != "gpu", "--device=gpu, but TensorFlow finds no GPU; possible: cpu, auto.")
        if quiet:
            tf.get_logger().setLevel("ERROR")
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.experimental.enable_op_determinism()
        tf.config.list_logical_devices()
        # The first compilation announces itself; let it do so unheard.
        tf.function(lambda: tf.constant(0) + 1, jit_compile=True)()
    return "gpu" if gpus else "cpu"


@contextlib.contextmanager
def _stderr_silenced():
    """Sends file descriptor 2 nowhere: TensorFlow's C++ side ignores its own log level at start."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
