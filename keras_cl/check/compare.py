"""Comparisons of weights and of checkpoints, with the reason where they differ."""

import numpy as np
import tensorflow as tf

CLOSE = 1e-5  # largest difference of weights and logits that are computed in another order


class DoesNotApply(Exception):
    """A law does not apply to this method; the message says why."""


class Broken(AssertionError):
    """A law does not hold; the message says why."""


def hold(condition, reason):
    """Raises `Broken(reason)` unless `condition` holds."""
    if not condition:
        raise Broken(reason)


def same(ones, others):
    """Whether two lists of arrays are equal bit for bit."""
    return all(np.array_equal(one, other) for one, other in zip(ones, others, strict=True))


def difference(ones, others):
    """Largest absolute difference of two nested lists of arrays."""
    pairs = zip(tf.nest.flatten(ones), tf.nest.flatten(others), strict=True)
    return float(np.max([np.abs(np.asarray(a, float) - np.asarray(b, float)).max() for a, b in pairs]))


def saved_variables(prefix):
    """`{key: array}` of all variables in a TensorFlow checkpoint."""
    reader = tf.train.load_checkpoint(str(prefix))
    keys = reader.get_variable_to_shape_map()
    return {key: reader.get_tensor(key) for key in keys if key.endswith("VARIABLE_VALUE")}
