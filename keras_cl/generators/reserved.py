"""Reserved rows: the part of a generative memory in the data pipeline, where nothing is generated yet."""

import tensorflow as tf


class Generated:
    """The pipeline's part of a generative memory: reserves rows, which the step generates.

    Args:
      size: generated rows per step.
    """

    def __init__(self, size):
        self.rows = size

    def joined(self, x, y, task):
        """The training rows, unchanged: no stored rows follow them."""
        return x, y, task

    def planned(self, order):
        """As `Replay.planned`: no rows from the pipeline, and `size` slots that the step fills."""
        K, B = order.shape
        nothing, none = tf.zeros([K, 0], tf.int32), tf.zeros([K, 0])
        return nothing, none, tf.fill([K, B], -1), tf.fill([K, self.rows], -1), tf.zeros([K], tf.int32)
