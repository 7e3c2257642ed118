"""Images of a step that are mixed in pairs, with their labels."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_cl.devices import replicas


class Block(NamedTuple):
    """Rows of a step that have random numbers of their own, and are mixed among themselves.

    Attributes:
      rows: their place in the batch, a slice.
      size: their number.
      uniform: random numbers of each row, `[size, numbers]`.
      shared: function of a shape that gives random numbers of the step.
      whole: as in `Batch`.
    """

    rows: slice
    size: int
    uniform: tf.Tensor
    shared: Callable
    whole: bool | None


def mixed(part, batch, x, blocks, at, by_task):
    """The batch with the labels of mixed rows, and the mixed images.

    Args:
      part: a `Mixing`.
      batch: a `Batch`.
      x: images of the rows of all blocks.
      blocks: list of `Block`s that follow each other.
      at: place of the random number of a row that says which row it is mixed with.
      by_task: whether that is a row of the same task, whose classes are those of its own logits.
    """
    images, units, shares, start = [], [], [], blocks[0].rows.start
    target = batch.target
    for block in blocks:
        partners = _partners(block, at, batch.task[block.rows] if by_task else None)
        own = x[block.rows.start - start : block.rows.stop - start]
        image, lam = part(own, partners(own), block.shared([part.numbers]))
        images.append(image)
        units.append(partners(batch.y[block.rows]))
        shares.append(tf.fill([block.size], lam))
        if target is not None and block.rows.stop == batch.x.shape[0]:  # the replayed rows, which come last
            target = lam * target + (1 - lam) * partners(target)
    rows = slice(start, blocks[-1].rows.stop)
    return batch._replace(
        mixed_y=spliced(batch.y, rows, tf.concat(units, axis=0)),
        lam=spliced(tf.ones(batch.x.shape[0]), rows, tf.concat(shares, axis=0)),
        target=target,
    ), tf.concat(images, axis=0)


def spliced(array, rows, values):
    """`array` with `values` in place of its `rows`, a slice."""
    return tf.concat([array[: rows.start], values, array[rows.stop :]], axis=0)


def _partners(block, at, task):
    """Function of an array with an entry per row of a block, that gives the entries of the partners."""
    every = _as_it_is if block.whole else replicas.in_order
    task = None if task is None else every(task)
    partner = permutation(every(block.uniform[:, at]), task)
    partner = partner if block.whole else replicas.own(partner)
    return lambda array: tf.gather(every(array), partner)


def _as_it_is(array):
    return array


def permutation(uniform, group=None):
    """A random permutation of rows, int32 `[N]`, in which every row stays in its group.

    Args:
      uniform: random numbers `[N]`.
      group: the group of each row, integers `[N]`; None for one group.
    """
    order = tf.argsort(uniform)
    if group is None:
        return order
    # Sorted by group, rows in their order and rows in random order have each group in the same places.
    place = tf.argsort(tf.argsort(group, stable=True))
    shuffled = tf.gather(order, tf.argsort(tf.gather(group, order), stable=True))
    return tf.gather(shuffled, place)
