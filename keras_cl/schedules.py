"""What changes on the way: learning rates by the epoch, numbers of replayed images by the task."""

import math

import tensorflow as tf


def warm_restarts(e, high, low):
    """Learning rate of epoch `e`, an integer scalar: a cosine with warm restarts, each twice as long.

    With e = 2^j + i, i < 2^j, it is low + (high - low) (1 + cos(pi i / 2^j)) / 2 (eq. 5 of Loshchilov and
    Hutter 2017, arXiv:1608.03983, with T_0 = 1, T_mult = 2); that of epoch 0, which warms up, is high / 10.
    """
    e = tf.cast(e, tf.float32)
    cycle = tf.pow(2.0, tf.floor(tf.math.log(tf.maximum(e, 1.0)) / math.log(2.0) + 1e-4))
    rate = low + (high - low) * (1 + tf.cos(math.pi * (e - cycle) / cycle)) / 2
    return tf.where(e < 1, high / 10, rate)


def images_to_generate(schedule, done, images, power, listed):
    """Images of earlier tasks that are trained on with a task's own, when `done` tasks are finished.

    Args:
      schedule: constant, `images`; linear, `images` for each finished task; sublinear, `images` times their
        number to the `power`; log, `images` times 1 and its logarithm; list, the entry of `listed`.
    """
    if not done:
        return 0
    if schedule == "list":
        return listed[done - 1]
    factor = {"constant": 1, "linear": done, "sublinear": done**power, "log": 1 + math.log(done)}[schedule]
    return round(images * factor)
