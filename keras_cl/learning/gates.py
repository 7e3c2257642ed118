"""Gates of hard attention (Serra et al. 2018, arXiv:1801.01423): a = sigmoid(s e), binary as s grows."""

import tensorflow as tf

WIDEST = 6.0  # bound of |e|, at which a gate at a large s is exactly 0 or 1 in float32


def sharpness(progress, sharpest):
    """s after a share `progress` in [0, 1] of the training, from 1/sharpest to `sharpest` (eq. 3)."""
    return 1 / sharpest + (sharpest - 1 / sharpest) * progress


def attention(e, s, sharpest):
    """Gates sigmoid(s e) in (0, 1) of embeddings `e` at the sharpness `s`.

    Their gradient is that of sharpest * sigmoid(e) at any s. This is the paper's gradient compensation
    (eq. 4) for sigmoid(s e), whose own gradient nearly vanishes and is lost to rounding for large s.
    """

    @tf.custom_gradient
    def sharp(e):
        smooth = tf.sigmoid(e)
        return tf.sigmoid(s * e), lambda up: up * sharpest * smooth * tf.sigmoid(-e)

    s = tf.convert_to_tensor(s, tf.float32)
    return sharp(tf.convert_to_tensor(e))


def share_used(gates, free):
    """R (eq. 6): the share of the free capacity that gates use, by lists of one tensor for each layer.

    Args:
      gates: gates of this task.
      free: 1 for what no earlier task uses, 0 for what one uses.
    """
    taken = [a * left for a, left in zip(gates, free, strict=True)]
    return tf.math.divide_no_nan(_total(taken), _total(free))


def _total(parts):
    return tf.add_n([tf.reduce_sum(part) for part in parts])
