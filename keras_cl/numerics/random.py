"""Random bits inside a compiled step: a counter-based hash of (seed, step, element).

On a CPU, XLA's own generator makes dropout more expensive than the network around it. This hash fuses with
the code that uses it and costs almost nothing (`benchmarks/choices.py` measures both). The mixing function is
Wellons' lowbias32 (https://github.com/skeeto/hash-prospector). The bits are the same with and without XLA.
"""

import numpy as np
import tensorflow as tf

# Purposes of a task's random numbers: order of rows, dropout masks, draws for importances, selection of
# stored rows, draws from the memory, augmentation, generated replay, generator training, draws for curvature.
ORDER, DROPOUT, IMPORTANCE, KEEP, REPLAY, AUGMENT, GENERATE, LATENT, CURVATURE = range(9)
# Purposes of initial weights beside those of the network: a generator's, gates', those of bridges between
# features, and of features that are drawn anew; draws by which a generator is measured.
GENERATOR, GATES, BRIDGE, QUALITY = range(9, 13)


def seed_of(*parts):
    """A non-negative int32 seed from non-negative integers: one seed per purpose, independent of all others.

    All randomness of a task starts from `seed_of(model_seed, task_index, purpose)`. The number of parts is
    included because NumPy takes missing entropy for zeros: (1, 0) and (1,) would otherwise be the same.
    """
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1)[0] >> 1)


def random_bits(seed, step, shape):
    """Uniform uint32 tensor of `shape`; `seed` and `step` are integers: int64 in a variable, see `state`."""
    key = _mix(_unsigned(seed) ^ _mix(_unsigned(step)))
    counter = tf.bitcast(tf.range(tf.reduce_prod(shape)), tf.uint32)
    return tf.reshape(_mix(counter * _u32(0x9E3779B1) + key), shape)


def random_uniform(seed, step, shape):
    """Uniform float32 tensor of `shape`, above 0 and below 1."""
    bits = tf.bitwise.right_shift(random_bits(seed, step, shape), _u32(9))
    return (tf.cast(bits, tf.float32) + 0.5) / 2.0**23


def random_normal(seed, step, shape):
    """Standard normal float32 tensor of `shape` (Box and Muller 1958)."""
    radius, angle = tf.unstack(random_uniform(seed, step, tf.concat([[2], shape], axis=0)))
    radius, angle = (tf.reshape(part, shape) for part in (radius, angle))
    return tf.sqrt(-2 * tf.math.log(radius)) * tf.cos(2 * np.pi * angle)


def below(count, uniform):
    """int32 integers, at least 0 and below `count`, from uniform numbers above 0 and below 1."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), tf.cast(count, tf.int32) - 1)


def _unsigned(value):
    return tf.bitcast(tf.cast(value, tf.int32), tf.uint32)  # their lowest 32 bits


def _u32(value):
    return tf.constant(value, tf.uint32)


def _mix(h):
    shift = tf.bitwise.right_shift
    h = (h ^ shift(h, _u32(16))) * _u32(0x7FEB352D)
    h = (h ^ shift(h, _u32(15))) * _u32(0x846CA68B)
    return h ^ shift(h, _u32(16))
