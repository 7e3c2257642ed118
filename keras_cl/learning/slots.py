"""The state of an optimizer: which of its variables belong to which weight, and what they are when fresh."""

import contextlib

import numpy as np
import tensorflow as tf
import tf_keras as keras

LOSS_SCALED = keras.mixed_precision.LossScaleOptimizer


def inner(optimizer):
    """The optimizer that takes the steps, inside one that scales the loss."""
    return optimizer.inner_optimizer if isinstance(optimizer, LOSS_SCALED) else optimizer


def is_plain_sgd(optimizer):
    """Whether the steps of an optimizer are the gradient times the learning rate, and nothing else."""
    others = ("momentum", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema")
    optimizer = inner(optimizer)
    return isinstance(optimizer, keras.optimizers.SGD) and not any(getattr(optimizer, o) for o in others)


@contextlib.contextmanager
def undone(variables):
    """Gives variables back, after the `with` block, the values that they had before it."""
    before = [tf.identity(variable) for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def slots(optimizer, weights):
    """The slots of a built optimizer that have the shapes of its weights.

    Args:
      optimizer: a tf_keras optimizer that was built for `weights`.
      weights: list of variables.

    Returns:
      one list per kind of slot (momenta, averages, ...), each with one variable per weight.
    """
    # Keras keeps each kind in an attribute, a list in the order of the weights. The names of slots cannot
    # tell what they belong to: two weights may have the same name.
    lists = [kind for kind in vars(inner(optimizer)).values() if isinstance(kind, list)]
    return [kind for kind in lists if len(kind) == len(weights) and all(map(_alike, kind, weights))]


def _alike(slot, weight):
    return hasattr(slot, "assign") and (slot.shape, slot.dtype) == (weight.shape, weight.dtype)


class FreshState:
    """The state of an optimizer as Keras makes it, for the weights as they are when it is restored.

    Args:
      optimizer: a tf_keras optimizer, built for `weights` or not.
      weights: list of variables.
    """

    def __init__(self, optimizer, weights):
        used = bool(slots(optimizer, weights)) or int(optimizer.iterations.numpy()) > 0
        optimizer.build(weights)
        made = optimizer
        if used:  # what it was like before its steps is made once more
            made = type(inner(optimizer)).from_config(inner(optimizer).get_config())
            made.build(weights)
        kinds = zip(slots(optimizer, weights), slots(made, weights), strict=True)
        # Averages of the weights start from the weights, all others from values of their own.
        weight_of = {
            id(slot): theta
            for kind, fresh in kinds
            if all(map(_equal, fresh, weights))
            for slot, theta in zip(kind, weights, strict=True)
        }
        self._values = [
            (variable, weight_of.get(id(variable), _compact(fresh.numpy())))
            for variable, fresh in zip(optimizer.variables, made.variables, strict=True)
        ]

    def restore(self):
        """Makes the optimizer as if it had not taken a step; its learning rate stays."""
        for variable, value in self._values:
            variable.assign(tf.broadcast_to(value, variable.shape))


def _equal(one, other):
    return np.array_equal(one.numpy(), other.numpy())


def _compact(values):
    """The one value that all entries share, or all of them."""
    return values.flat[0] if values.size and (values == values.flat[0]).all() else values
