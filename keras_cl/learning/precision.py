"""How layers compute: whether XLA is best for those of 16 bits, and all of them in importances."""

import contextlib

import tf_keras as keras

from keras_cl.devices import amx, device
from keras_cl.learning.network import layers_of

# Weights in matrix products from which on bfloat16 on AMX is worth a step without XLA, whose operations are
# launched one by one: that takes about as long as bfloat16 saves on so many weights and 128 rows.
WIDE = 2**19


def faster_alone(network):
    """Whether a step of the network is faster if only its update is compiled by XLA.

    So it is for large matrix products in bfloat16 on a CPU with AMX: oneDNN, which TensorFlow calls for them
    without XLA, uses AMX, and XLA's CPU compiler computes them in float32.
    """
    if not amx.multiplies_bfloat16() or device.kind() == "gpu":
        return False
    return sum(_products(layer) for layer in layers_of(network)) >= WIDE


def _products(layer):
    """Number of weights in matrix products of bfloat16, in a layer itself."""
    containers = (keras.Model, keras.layers.Wrapper)  # their layers are counted by themselves
    if getattr(layer, "compute_dtype", "") != "bfloat16" or isinstance(layer, containers):
        return 0
    kernels = [weight for weight in layer.trainable_weights if len(weight.shape) == 2]
    return sum(kernel.shape.num_elements() for kernel in kernels)


@contextlib.contextmanager
def single(network):
    """Around code that differentiates a network in inference mode: its layers of 16 bits compute in float32.

    On a GPU, its batch normalisations are made of elementary operations there. The weights stay the same
    variables. A `tf.function` keeps what it was traced with.

    Args:
      network: a `tf_keras.Model`; anything else stays as it is.
    """
    layers = layers_of(network) if isinstance(network, keras.Model) else []
    narrow = [layer for layer in layers if _narrow(layer)]
    inner = [
        part for layer in layers for part in getattr(layer, "wrapped", ()) if _narrow(part)
    ]  # of Keras 3
    names = [part.dtype_policy.name for part in narrow + inner]
    fused = [layer for layer in layers if _fused(layer)] if device.kind() == "gpu" else []
    _set_policies(narrow, inner, ["float32"] * len(names))
    _set_fused(fused, False)
    try:
        yield
    finally:
        _set_policies(narrow, inner, names)
        _set_fused(fused, True)


def _narrow(layer):
    return getattr(layer, "compute_dtype", None) in ("bfloat16", "float16")


def _fused(layer):
    """Whether a layer calls TensorFlow's operation for the whole of batch normalisation.

    In inference mode the gradient of that has no deterministic kernel for GPUs, and fails there without XLA
    (tensorflow#50505).
    """
    return isinstance(layer, keras.layers.BatchNormalization) and layer.fused is True


def _set_fused(layers, fused):
    for layer in layers:
        layer.fused = fused


def _set_policies(layers, inner, names):
    """Sets how layers compute; their variables are float32 under every policy."""
    for layer, name in zip(layers, names[: len(layers)], strict=True):
        layer._set_dtype_policy(name)
    for part, name in zip(inner, names[len(layers) :], strict=True):
        part.dtype_policy = name
