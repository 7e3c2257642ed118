"""Schedules: learning rates over epochs, numbers of generated images over tasks."""

import math

import tensorflow as tf


def warm_restarts(e, high, low):
    """Learning rate of epoch `e`, an integer scalar: a cosine with warm restarts, each cycle twice as long.

    With e = 2^j + i, i < 2^j, it is low + (high - low) (1 + cos(pi i / 2^j)) / 2 (eq. 5 of Loshchilov and
    Hutter 2017, arXiv:1608.03983, with T_0 = 1, T_mult = 2); epoch 0 is a warm-up with high / 10.
    """
    e = tf.cast(e, tf.float32)
    cycle = tf.pow(2.0, tf.floor(tf.math.log(tf.maximum(e, 1.0)) / math.log(2.0) + 1e-4))
    rate = low + (high - low) * (1 + tf.cos(math.pi * (e - cycle) / cycle)) / 2
    return tf.where(e < 1, high / 10, rate)


def step(e, every, factor):
    """factor^floor(e / every)."""
    return tf.pow(factor, tf.floor(e / every))


def exponential(e, factor):
    """factor^e."""
    return tf.pow(factor, e)


def inverse(e, factor):
    """1 / (1 + factor e)."""
    return 1 / (1 + factor * e)


def cosine(e, length, low):
    """Cosine from 1 at e = 0 to `low` at e = length, constant from there on."""
    return low + (1 - low) * (1 + tf.cos(math.pi * tf.minimum(e / length, 1.0))) / 2


def restarts(e, length, times, low):
    """A cosine from 1 to `low` with warm restarts: after `length`, then after `times` as long, and so on.

    Eq. 5 of Loshchilov and Hutter 2017 (arXiv:1608.03983), with T_0 = length and T_mult = times.
    """
    if times == 1:
        begin, cycle = tf.floor(e / length) * length, length
    else:  # cycle n begins at length (times^n - 1) / (times - 1)
        n = tf.floor(tf.math.log(e / length * (times - 1) + 1) / math.log(times) + 1e-5)
        cycle = length * tf.pow(float(times), n)
        begin = (cycle - length) / (times - 1)
    return low + (1 - low) * (1 + tf.cos(math.pi * (e - begin) / cycle)) / 2


def warm_up(e, length):
    """(e + 1) / length, at most 1."""
    return tf.minimum((e + 1) / length, 1.0)


def images_to_generate(schedule, done, images, power, listed):
    """Number of images of earlier tasks to generate when `done` tasks are finished.

    Args:
      schedule: constant, `images`; linear, `images` times `done`; sublinear, `images` times `done` to the
        `power`; log, `images` times (1 + log of `done`); list, the entry of `listed`.
    """
    if not done:
        return 0
    if schedule == "list":
        return listed[done - 1]
    factor = {"constant": 1, "linear": done, "sublinear": done**power, "log": 1 + math.log(done)}[schedule]
    return round(images * factor)
