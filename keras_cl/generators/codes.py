"""Codes: what a generator is asked for, and which classes and tasks it can be asked for."""

import functools

import numpy as np
import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.numerics.random import below, random_normal, random_uniform


class Codes:
    """Draws codes for rows of finished tasks, all tasks, or classes, with equal probability.

    Args:
      generator: a generator such as `keras_cl.generators.VAE`.
      stream: the `Stream` that it learns.
    """

    def __init__(self, generator, stream):
        own = stream.labels >= 0
        self._latent, self._conditions, self._modes = generator.latent, generator.conditions, generator.modes
        self._by_task = stream.scenario == "domain"
        self._own = tf.constant(own)
        self._known = np.logical_or.accumulate(own)  # [T, C]: units of all tasks up to each

    def __call__(self, R, seed, step, tasks):
        """Codes of R rows of the first `tasks` tasks, as the generator takes them, with their conditions
        `[R]`, None if it has none, and their tasks `[R]`."""

        def drawn(random, number, shape):
            return replicas.drawn(functools.partial(random, seed, 3 * step + number), shape)

        z, M = drawn(random_normal, 0, [R, self._latent]), self._modes  # of each condition, equally probable
        place = below(tasks * M, drawn(random_uniform, 1, [R]))
        task = condition = place // M
        if not self._conditions:
            return z, None, task
        if not self._by_task:  # a class of a finished task, and that task
            known = tf.gather(self._known, tasks - 1)
            units = tf.argsort(tf.cast(known, tf.int32), direction="DESCENDING", stable=True)
            count = tf.math.count_nonzero(known, dtype=tf.int32)
            place = below(count * M, drawn(random_uniform, 2, [R]))
            condition = tf.gather(units, place // M)
            task = tf.argmax(tf.gather(self._own, condition, axis=1), axis=0, output_type=tf.int32)
        return [z, tf.one_hot(condition * M + place % M, M * self._conditions)], condition, task

    def conditions(self, tasks):
        """Conditions of the first `tasks` tasks: classes, or task indices; none if the generator has none."""
        if not self._conditions:
            return []
        return list(range(tasks)) if self._by_task else np.flatnonzero(self._known[tasks - 1]).tolist()
