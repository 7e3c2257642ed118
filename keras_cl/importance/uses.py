"""Where the weights of a network meet its examples, found in the traced graph and not among the layers.

A use of a variable is an operation y = op(h, q): h depends on the examples, q on variables alone. The
gradient of one example is the sum over all uses of the variable.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_cl.importance.rules import rule

RESHAPED = ("ReadVariableOp", "Identity", "Cast", "Reshape", "ExpandDims", "Squeeze")


class Use(NamedTuple):
    """A use whose gradients of single examples are known.

    Attributes:
      rule: see `rules.rule`.
      q: the tensor that meets the examples.
      reshaped: whether q is the variable in another shape or type.
    """

    rule: object
    q: tf.Tensor
    reshaped: bool

    def gradient(self, tape, variable, kept, delta):
        """Gradients of single examples, `[n, *variable.shape]`."""
        of_q = self.rule.gradient(kept, delta)
        if self.reshaped:
            return tf.reshape(of_q, [-1, *variable.shape])

        def back(one):
            return tape.gradient(self.q, variable, tf.cast(one, self.q.dtype), tf.UnconnectedGradients.ZERO)

        return tf.cast(tf.vectorized_map(back, of_q), tf.float32)


@tf.autograph.experimental.do_not_convert  # it reads a graph and adds nothing to it
def uses(variables, x, rows):
    """Uses in the graph that is being traced, after a forward pass of `rows` examples.

    Args:
      variables: trainable variables of the network.
      x: tensor of the examples.
      rows: number of them.

    Returns:
      `{id(variable): list of Use}`, without variables that have a use of another kind.
    """
    of_tensor, examples = _captured(variables), {x.name}
    found, unknown = {id(v): [] for v in variables}, set()
    for op in x.graph.get_operations():
        theirs = [of_tensor.get(tensor.name, frozenset()) for tensor in op.inputs]
        if examples.isdisjoint(tensor.name for tensor in op.inputs):
            of_tensor.update(
                (tensor.name, frozenset().union(*theirs)) for tensor in op.outputs if any(theirs)
            )
            continue
        examples.update(tensor.name for tensor in op.outputs)
        for place, own in enumerate(theirs):
            known = rule(op, place, rows) if own else None
            unknown.update(own if known is None else ())
            for one in own if known else ():
                found[one].append(Use(known, op.inputs[place], _is_reshaped(op.inputs[place])))
    return {one: theirs for one, theirs in found.items() if one not in unknown}


def _captured(variables):
    """`{name of a tensor: ids of the variables it depends on}`, of the variables that the graph uses."""
    inner = {id(outer): tensor.name for outer, tensor in tf.compat.v1.get_default_graph().captures}
    copies = [
        (v, getattr(v, "values", None) or (v,)) for v in variables
    ]  # of one that lies on several devices
    handles = [(v, copy.handle) for v, each in copies for copy in each]
    return {inner[id(handle)]: frozenset([id(v)]) for v, handle in handles if id(handle) in inner}


def _is_reshaped(tensor):
    while tensor.dtype.is_floating and tensor.op.type in RESHAPED:
        tensor = tensor.op.inputs[0]
    return tensor.dtype == tf.resource
