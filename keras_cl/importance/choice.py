"""Which pass is for which variables: the fastest that gets the first row right."""

import contextlib
import functools
import logging
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cl.importance.by_uses import MEMORY, MOST_ROWS, ByUses
from keras_cl.importance.passes import ZERO, ByLoop, ByMap, ByProducts, blocks
from keras_cl.importance.products import ROWS, products
from keras_cl.importance.uses import uses

# How far the first row may be from a backward pass of its own, relative to the largest entry of the tensor
# and of all tensors: rounding is below, a gradient with a part missing is above.
ROUNDING, NOTHING = 0.05, 1e-4


class Survey(NamedTuple):
    """What one traced forward pass says about the variables of a network.

    Attributes:
      in_products: variables in matrix products with one row per example.
      in_uses: variables whose uses all have a formula.
      rows: rows per block of a pass by uses.
    """

    in_products: list
    in_uses: list
    rows: int

    @classmethod
    def of(cls, network, variables, x):
        """The survey for raw images like `x`."""
        surveys = []

        def forward(images):
            logits = network(images, training=False)
            dense = [v for product in products(variables, ROWS) for v in product.variables]
            found = uses(variables, images, ROWS)
            kept = sum(use.rule.numbers for theirs in found.values() for use in theirs)
            largest = max((v.shape.num_elements() for v in variables if id(v) in found), default=0)
            rows = 2 ** int(math.log2(min(max(MEMORY // (4 * (kept + 2 * largest + 1)), 1), MOST_ROWS)))
            surveys.append(cls(dense, [v for v in variables if id(v) in found], rows))
            return logits

        tf.function(forward).get_concrete_function(tf.TensorSpec([ROWS, *x.shape[1:]], x.dtype))
        return surveys[0]


def fastest(network, survey, signals, power, jit, x, of_rows, of_task):
    """Passes over all trainable variables, each by the fastest way that gets the first row right.

    Args:
      network, signals, power: as in `Moments`.
      survey: the survey of its trainable variables.
      jit: whether XLA compiles the pass by products.
      x, of_rows, of_task: as in a call of `Moments`.
    """
    left = network.trainable_variables
    first = _of_first_row(network, left, signals, power, x, of_rows, of_task)
    by_uses = functools.partial(ByUses, rows=survey.rows)
    ways = [(ByProducts, survey.in_products), (by_uses, survey.in_uses), (ByMap, left)]
    if len(survey.in_uses) > len(survey.in_products):
        ways = [ways[1], ways[0], ways[2]]  # one pass for all where not everything is a matrix product
    found = []
    for kind, theirs in ways:
        theirs = _only(left, theirs)
        while theirs:
            one = kind(network, theirs, signals, power, jit)
            wrong = _wrong(one, first, x, of_rows, of_task)
            if not wrong:
                found.append(one)
                left = _without(left, theirs)
                break
            theirs = one.possible(network, _without(theirs, wrong), x)
    return [*found, ByLoop(network, left, signals, power, jit)] if left else found


def _wrong(one, first, x, of_rows, of_task):
    """Variables whose moments of the first row are not those of `first`; all if the pass cannot run."""
    (block,) = blocks(1, one.block)
    try:
        with _quiet():
            sums = one.sums_of([block], x, of_rows, of_task)
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError):
        return one.variables
    largest = max((np.max(value, initial=0) for value in first.values()), default=0)
    pairs = [(v, total, first[id(v)]) for v, total in zip(one.variables, sums, strict=True)]
    return [v for v, got, want in pairs if not _near(got, want, NOTHING * largest)]


def _of_first_row(network, variables, signals, power, x, of_rows, of_task):
    """`{id(variable): moments}` of the first row, from a backward pass for each signal and nothing else."""
    x, *of_rows = (tf.constant(part[:1]) for part in (x, *of_rows))
    with tf.GradientTape(persistent=True) as tape:
        logits = network(x, training=False)
    of, count, _ = signals(logits, *of_rows, *map(tf.constant, of_task))
    sums = {id(v): np.zeros(v.shape, np.float32) for v in variables}
    for m in tf.range(count):
        cotangent, weight = of(m)
        for v, g in zip(variables, tape.gradient(logits, variables, cotangent, ZERO), strict=True):
            g = tf.abs(tf.cast(tf.convert_to_tensor(g), tf.float32)) ** power
            sums[id(v)] += (weight[0] * g).numpy()
    return sums


def _near(got, want, nothing):
    allowed = ROUNDING * np.max(np.abs(want), initial=0) + nothing
    # Both are NaN where training has diverged, which is reported elsewhere.
    return bool(np.all((np.abs(got - want) <= allowed) | ~np.isfinite(got) & ~np.isfinite(want)))


def _without(variables, others):
    known = {id(other) for other in others}
    return [v for v in variables if id(v) not in known]


def _only(variables, others):
    known = {id(other) for other in others}
    return [v for v in variables if id(v) in known]


@contextlib.contextmanager
def _quiet():
    """Keeps TensorFlow from logging the graph of a layer that it cannot vectorise."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
