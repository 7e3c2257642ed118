"""Matrix products with one row per example, for which gradients of single examples are cheap.

They are found in the traced graph and not among the layers. So it does not matter which layer makes the
product, whether the model is functional or subclassed, and what else a layer does with its result.
"""

from typing import NamedTuple

import tensorflow as tf

READ = ("ReadVariableOp", "Identity", "Cast")  # steps between a variable and its use
ROWS = 3  # examples in the trace that looks for products


class Product(NamedTuple):
    """output = a @ kernel + bias, the only use of its variables.

    Attributes:
      variables: the kernel, and the bias if there is one.
      a: tensor `[n, in]`, one row per example.
      output: tensor `[n, out]`.
    """

    variables: list
    a: tf.Tensor
    output: tf.Tensor


@tf.autograph.experimental.do_not_convert  # it reads a graph and adds nothing to it
def products(variables, rows):
    """Products in the graph that is being traced, after a forward pass of `rows` examples.

    A variable that is used anywhere else (a tied kernel, a layer called twice) is in none of them: its
    gradient is a sum over its uses, and the square of a sum is not the sum of the squares.
    """
    inner = {id(outer): tensor for outer, tensor in tf.compat.v1.get_default_graph().captures}
    uses = [_only_use(_captured(variable, inner)) for variable in variables]
    biases = {op.name: (variable, value) for variable, (op, value) in zip(variables, uses, strict=True) if op}
    found = []
    for kernel, (op, value) in zip(variables, uses, strict=True):
        if not op or not _is_product(op, value, rows):
            continue
        a, output = op.inputs[0], op.outputs[0]
        add = _only_consumer(output)
        bias, added = biases.get(add.name, (None, None)) if add else (None, None)
        if bias is not None and _is_bias(add, added, output):
            found.append(Product([kernel, bias], a, add.outputs[0]))
        else:
            found.append(Product([kernel], a, output))
    return found


def in_products(network, variables, x):
    """Those of the variables of a network that are in products, found by tracing one forward pass.

    Args:
      network: raw images to logits.
      variables: trainable variables of it.
      x: raw images `[n, ...]`, numpy; only their shape and type count.
    """
    found = []

    def forward(images):
        network(images, training=False)
        found.extend(v for product in products(variables, ROWS) for v in product.variables)

    tf.function(forward).get_concrete_function(tf.TensorSpec([ROWS, *x.shape[1:]], x.dtype))
    return found


def _captured(variable, inner):
    """The tensor in the graph that stands for a variable; None if the graph does not use it."""
    copies = getattr(variable, "values", None) or (variable,)  # of a variable that lies on several devices
    tensors = [inner[id(copy.handle)] for copy in copies if id(copy.handle) in inner]
    return tensors[0] if len(tensors) == 1 else None


def _only_use(tensor):
    """`(operation, its input)` where a variable is used; `(None, None)` if it is not used exactly once."""
    op = None if tensor is None else _only_consumer(tensor)
    while op is not None and op.type in READ:
        tensor = op.outputs[0]
        op = _only_consumer(tensor)
    return (None, None) if op is None else (op, tensor)


def _only_consumer(tensor):
    consumers = tensor.consumers()
    return consumers[0] if len(consumers) == 1 else None


def _is_product(op, kernel, rows):
    if op.type != "MatMul" or op.get_attr("transpose_a") or op.get_attr("transpose_b"):
        return False
    a, b = op.inputs
    # On sequences there are more rows than examples, and an example's gradient is a sum over its rows.
    return b.name == kernel.name != a.name and a.shape[0] == rows


def _is_bias(op, bias, output):
    if op.type not in ("BiasAdd", "Add", "AddV2") or bias.shape.rank != 1:
        return False
    return {part.name for part in op.inputs} == {bias.name, output.name} and bias.shape == output.shape[1:]
