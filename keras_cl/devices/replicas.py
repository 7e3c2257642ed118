"""A step on several devices: every replica takes its share of the rows, and all come to the same weights.

The replicas of a `tf.distribute` strategy are given the same batch, and each takes every n-th row of it.
What is summed over rows is summed over replicas too, so that a loss is that of the whole batch on each of
them. Its gradient there is n times the part that comes from the replica's own rows, and once what no row
enters, such as weight decay: the mean over replicas is the gradient of the loss, whatever it is made of. From
there on all replicas compute the same numbers, and a method needs to know of none.

With one device, and outside of a step, every function here does what it does for all rows.
"""

import contextlib

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require


def require_shares(rows, replicas, name="A step's number of rows"):
    """Refuses a number of rows, called `name`, that cannot be shared out evenly."""
    require(
        rows % replicas == 0,
        f"{name} is {rows}, and each of {replicas} devices takes as many rows of a step: give a multiple of "
        f"{replicas}.",
    )


def own(rows):
    """This replica's share of what has an entry for each row of a step: `[B, ...]` to `[B / n, ...]`."""
    context = _several()
    if context is None:
        return rows
    require_shares(rows.shape[0], context.num_replicas_in_sync)
    return tf.gather(rows, places(rows.shape[0] // context.num_replicas_in_sync))


def places(count):
    """Which rows of the whole step this replica's `count` rows are, int32 `[count]`."""
    context = _several()
    if context is None:
        return tf.range(count)
    return tf.range(count) * context.num_replicas_in_sync + context.replica_id_in_sync_group


def drawn(draw, shape, axis=0):
    """Random numbers `draw(shape)` of this replica's rows, which lie along `axis`: those that the same rows
    have where one device takes the whole step."""
    context = _several()
    if context is None:
        return draw(shape)
    shape = tf.convert_to_tensor(shape)
    whole = shape * (
        1 + (context.num_replicas_in_sync - 1) * tf.one_hot(axis, shape.shape[0], dtype=tf.int32)
    )
    return tf.gather(draw(whole), places(shape[axis]), axis=axis)


def summed(part):
    """Sum over the replicas of what each has of it; it can be differentiated."""
    context = _several()
    if context is None:
        return part
    number = tf.cast(part, tf.float32) if part.dtype.is_integer else part
    return tf.cast(context.all_reduce(tf.distribute.ReduceOp.SUM, number), part.dtype)


def agreed(values):
    """One value for all replicas of what each computed from the same rows: their mean. Batch statistics, of
    which each device has its own, make them differ."""
    context = _several()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def gathered(rows):
    """What all replicas have for their rows, `[B / n, ...]` to `[B, ...]`; the same order for all `rows`."""
    context = _several()
    return rows if context is None else context.all_gather(rows, axis=0)


@contextlib.contextmanager
def held_once():
    """Variables made inside belong to no strategy: there is one of each, not one a device, and steps only
    read it. Those of a strategy are broadcast from the first worker, and TensorFlow cannot broadcast bytes.
    """
    # A strategy is known to the graph that its scope was entered in, although nothing is put into the graph.
    with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():
        yield


def gradients(tape, loss, variables, optimizer, whole=False):
    """Gradient of the loss of a step by `variables`; zero where it does not depend on one.

    Args:
      tape: of the loss.
      loss: a scalar.
      variables: list of trainable ones.
      optimizer: the one that is going to follow the gradient; tells whether the loss is to be scaled.
      whole: whether every replica has all the rows, and so the whole gradient already.
    """
    scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    if scaled:
        with tape:
            loss = optimizer.get_scaled_loss(loss)
    parts = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    parts = optimizer.get_unscaled_gradients(parts) if scaled else parts
    context = None if whole else _several()
    return parts if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, parts)


def results(metrics):
    """`{name: value}` of Keras metrics; none inside of a step of several devices: the loop reads them then,
    when all its steps are taken."""
    return {} if _several() else {metric.name: metric.result() for metric in metrics}


def apply(optimizer, gradients, variables):
    """Lets an optimizer follow the gradient of the whole step, which all replicas have."""
    pairs = zip(gradients, variables, strict=True)
    optimizer.apply_gradients(pairs, skip_gradients_aggregation=_several() is not None)


def _several():
    """The replica that this is, where there are several; None otherwise."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
