"""A step on several devices: every replica takes its share of the rows, and all get the same weights.

All replicas of a `tf.distribute` strategy get the same batch, and each takes every n-th row of it. Sums over
rows are also summed over replicas, so that each replica has the loss of the whole batch. The gradient of that
loss on a replica contains n times the part of the replica's own rows, and once the part of terms without
rows, such as weight decay. The mean over replicas is therefore the gradient of the loss, whatever its terms.
From there on all replicas compute the same numbers, and methods need no code for replicas.

With one device, and outside of a step, every function here handles all rows.
"""

import contextlib

import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import require


def require_shares(rows, replicas, name="A step's number of rows"):
    """Raises `InputError` if a number of rows, called `name`, cannot be divided evenly."""
    require(
        rows % replicas == 0,
        f"{name} is {rows}, and each of {replicas} devices takes as many rows of a step: give a multiple of "
        f"{replicas}.",
    )


def own(rows):
    """This replica's share of an array with one entry per row of a step: `[B, ...]` to `[B / n, ...]`."""
    context = _several()
    if context is None:
        return rows
    require_shares(rows.shape[0], context.num_replicas_in_sync)
    return tf.gather(rows, places(rows.shape[0] // context.num_replicas_in_sync))


def places(count):
    """Indices of this replica's `count` rows in the whole step, int32 `[count]`."""
    context = _several()
    if context is None:
        return tf.range(count)
    return tf.range(count) * context.num_replicas_in_sync + context.replica_id_in_sync_group


def drawn(draw, shape, axis=0):
    """Random numbers `draw(shape)` for this replica's rows, which lie along `axis`: the same numbers that
    these rows get when one device takes the whole step."""
    context = _several()
    if context is None:
        return draw(shape)
    shape = tf.convert_to_tensor(shape)
    whole = shape * (
        1 + (context.num_replicas_in_sync - 1) * tf.one_hot(axis, shape.shape[0], dtype=tf.int32)
    )
    return tf.gather(draw(whole), places(shape[axis]), axis=axis)


def summed(part):
    """Sum of `part` over the replicas; differentiable."""
    context = _several()
    if context is None:
        return part
    number = tf.cast(part, tf.float32) if part.dtype.is_integer else part
    return tf.cast(context.all_reduce(tf.distribute.ReduceOp.SUM, number), part.dtype)


def agreed(values):
    """Mean over replicas of values that each replica computed from the same rows. Batch statistics, which are
    local to a device, make the values differ."""
    context = _several()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def in_order(rows):
    """The rows of the whole step in their order, from this replica's share of them, as `own` gives it."""
    context = _several()
    if context is None:
        return rows
    share, n = rows.shape[0], context.num_replicas_in_sync
    place = tf.range(share * n)
    # TensorFlow gathers no bytes.
    number = tf.cast(rows, tf.int32) if rows.dtype.is_integer else rows
    return tf.cast(tf.gather(gathered(number), place % n * share + place // n), rows.dtype)


def gathered(rows):
    """The rows of all replicas, `[B / n, ...]` to `[B, ...]`; the same order for all `rows`."""
    context = _several()
    return rows if context is None else context.all_gather(rows, axis=0)


@contextlib.contextmanager
def held_once():
    """Variables created inside belong to no strategy: there is one copy, not one per device, and steps only
    read it. A strategy would broadcast them from the first worker, and TensorFlow cannot broadcast bytes."""
    # A strategy belongs to the graph in which its scope was entered: a new graph leaves it, and stays empty.
    with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():
        yield


def gradients(tape, loss, variables, optimizer, whole=False):
    """Gradient of the loss of a step with respect to `variables`; zero for those it does not depend on.

    It waits for the loss. TensorFlow's graph optimizer drops the order in which a variable is read and then
    updated if what was read does not reach the update as a value, as the score of a Wasserstein critic, in
    which its loss is linear. The loss could then be that of weights that are updated already.

    Args:
      tape: tape of the loss.
      loss: a scalar.
      variables: list of trainable variables.
      optimizer: the optimizer that will apply the gradient; determines whether the loss is scaled.
      whole: whether every replica has all the rows, and so the whole gradient already.
    """
    scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    if scaled:
        with tape:
            loss = optimizer.get_scaled_loss(loss)
    parts = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    parts = optimizer.get_unscaled_gradients(parts) if scaled else parts
    with tf.control_dependencies([loss]):
        parts = [tf.identity(part) for part in parts]
    context = None if whole else _several()
    return parts if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, parts)


def results(metrics):
    """`{name: value}` of Keras metrics; empty inside a step on several devices, because the loop reads the
    metrics after its steps."""
    return {} if _several() else {metric.name: metric.result() for metric in metrics}


def apply(optimizer, gradients, variables):
    """Applies the gradient of the whole step, which all replicas have; None leaves a variable alone."""
    pairs = [pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None]
    optimizer.apply_gradients(pairs, skip_gradients_aggregation=_several() is not None)


def several():
    """Whether several replicas take the step together: then they wait for each other wherever rows are
    summed, and cannot do so in a branch or a loop that depends on a number."""
    return _several() is not None


def count():
    """Number of replicas that take the step."""
    context = _several()
    return 1 if context is None else context.num_replicas_in_sync


def _several():
    """The context of this replica if there are several replicas, else None."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
