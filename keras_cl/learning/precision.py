"""Layers of 16 bits: whether XLA is best for their steps, and how they compute in float32 for a while."""

import contextlib

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import amx
from keras_cl.learning.network import layers_of

# Weights in matrix products from which on bfloat16 on AMX is worth a step without XLA, whose operations are
# launched one by one: that takes about as long as bfloat16 saves on so many weights and 128 rows.
WIDE = 2**19


def faster_alone(network):
    """Whether a step of the network is faster if only its update is compiled by XLA.

    So it is for large matrix products in bfloat16 on a CPU with AMX: oneDNN, which TensorFlow calls for them
    without XLA, uses AMX, and XLA's CPU compiler computes them in float32.
    """
    if not amx.multiplies_bfloat16() or tf.config.list_logical_devices("GPU"):
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
    """Around code that computes with a network: its layers of 16 bits compute in float32 there.

    The weights stay the same variables. A `tf.function` keeps the precision that it was traced with.

    Args:
      network: a `tf_keras.Model`; anything else stays as it is.
    """
    layers = layers_of(network) if isinstance(network, keras.Model) else []
    narrow = [layer for layer in layers if _narrow(layer)]
    inner = [
        part for layer in layers for part in getattr(layer, "wrapped", ()) if _narrow(part)
    ]  # of Keras 3
    names = [part.dtype_policy.name for part in narrow + inner]
    _set_policies(narrow, inner, ["float32"] * len(names))
    try:
        yield
    finally:
        _set_policies(narrow, inner, names)


def _narrow(layer):
    return getattr(layer, "compute_dtype", None) in ("bfloat16", "float16")


def _set_policies(layers, inner, names):
    """Sets how layers compute; their variables are float32 under every policy."""
    for layer, name in zip(layers, names[: len(layers)], strict=True):
        layer._set_dtype_policy(name)
    for part, name in zip(inner, names[len(layers) :], strict=True):
        part.dtype_policy = name
