"""Variables that a compiled step can read on every device."""

import tensorflow as tf


def integers(value=0, name=None):
    """An int64 variable that no optimizer trains: a counter, an index, a seed.

    TensorFlow keeps int32 variables on the host, and a step that XLA compiled for a GPU cannot read them
    (tensorflow/tensorflow#53192).

    Args:
      value: its first value, an integer or a nested list of integers.
      name: its name.
    """
    return tf.Variable(value, trainable=False, dtype=tf.int64, name=name)
