"""Gradients of single examples where a weight q meets them: y = op(h, q), with a gradient Delta of y.

A convolution or matrix product has the gradient g_n = P_n^T Delta_n of example n, with the unfolded input P_n
`[positions, window x channels]` and Delta_n `[positions, filters]`; a bias has the sum of Delta_n over
positions, a scale that of Delta_n h_n. Rochette, Manoel and Tramel 2019 (arXiv:1912.06015) compare ways to
gradients of single examples of convolutions.
"""

import tensorflow as tf

from keras_cl.importance.windows import Windows


def rule(op, place, rows):
    """The rule for q, input `place` of an operation on `rows` examples; None if there is none.

    A rule has the tensor `output`, y; `kept()`, what the gradients of all signals need;
    `gradient(kept, delta)`, float32 `[rows, *q.shape]`; and `numbers`, how many it keeps for an example.
    """
    make = RULES.get(op.type)
    shapes = [tensor.shape for tensor in (*op.inputs, *op.outputs[:1])]
    if make is None or not all(shape.is_fully_defined() for shape in shapes):
        return None
    y = op.outputs[0].shape
    return make(op, place, rows) if y.rank and y[0] and y[0] % rows == 0 else None


# ---- element by element ----------------------------------------------------------------------------------


class Shift:
    """y = h + q, or h - q."""

    numbers = 0

    def __init__(self, op, place, rows):
        self.output, self._shape, self.rows = op.outputs[0], op.inputs[place].shape, rows
        self._sign = -1.0 if (op.type, place) == ("Sub", 1) else 1.0

    def kept(self):
        return ()

    def gradient(self, kept, delta):
        return self._sign * _summed(delta, self._shape, self.rows)


class Scale:
    """y = h q."""

    def __init__(self, op, place, rows):
        self.output, self._shape, self.rows = op.outputs[0], op.inputs[place].shape, rows
        self._h = op.inputs[1 - place]
        self.numbers = self._h.shape.num_elements() // rows

    def kept(self):
        return (tf.cast(self._h, tf.float32),)

    def gradient(self, kept, delta):
        return _summed(delta * kept[0], self._shape, self.rows)


class NormScale:
    """y = q (h - mean) / sqrt(variance + epsilon) + shift, with moments that are given."""

    def __init__(self, op, place, rows):
        self.output, self._op, self.rows = op.outputs[0], op, rows
        self.numbers = self.output.shape.num_elements() // rows

    def kept(self):
        h, _, _, mean, variance = (tf.cast(tensor, tf.float32) for tensor in self._op.inputs)
        return (self._positions((h - mean) * tf.math.rsqrt(variance + self._op.get_attr("epsilon"))),)

    def gradient(self, kept, delta):
        return tf.reduce_sum(self._positions(delta) * kept[0], axis=1)

    def _positions(self, of_channels):
        return tf.reshape(of_channels, [self.rows, -1, of_channels.shape[-1]])


def _summed(delta, shape, rows):
    """Sums over all axes along which q `shape` is the same; an axis of y may hold the parts of an example."""
    delta = tf.reshape(delta, [rows, -1, *delta.shape[1:]])
    missing = delta.shape.rank - 1 - shape.rank
    same = [missing + 1 + axis for axis, side in enumerate(shape) if side == 1]
    axes = sorted({1, *range(2, missing + 1), *same})
    return tf.reshape(tf.reduce_sum(delta, axes), [rows, *shape])


def _elementwise(make):
    def made(op, place, rows):
        q, h, y = op.inputs[place].shape, op.inputs[1 - place].shape, op.outputs[0].shape
        # An axis of q beside the examples would have a value for each of them.
        shared = q.rank < y.rank or q[0] == 1
        return make(op, place, rows) if shared and h.rank == y.rank and h[0] == y[0] else None

    return made


def _bias(op, place, rows):
    return Shift(op, place, rows) if place == 1 and _channels_last(op) else None


def _norm(op, place, rows):
    if op.get_attr("is_training") or not _channels_last(op):
        return None
    return {1: NormScale, 2: Shift}.get(place, lambda *_: None)(op, place, rows)


def _channels_last(op):
    return op.get_attr("data_format") in (b"NHWC", b"NDHWC")


# ---- sums of products ------------------------------------------------------------------------------------


class Contraction:
    """y = sum over the points of a window of h q: convolutions, also depthwise, and matrix products.

    Args:
      q, h, y: the tensors.
      rows: number of examples.
      windows: those of h.
      groups: number of groups of channels with filters of their own, g.
      turned: whether q is `[filters, channels]`.

    Attributes:
      output: y.
      rows, groups: as above.
      positions: outputs of one filter in one example, P.
      inputs: inputs of one filter, k.
      filters: filters of one group, f.
    """

    def __init__(self, q, h, y, rows, windows, groups=1, turned=False):
        self.output, self.groups = y, groups
        self._h, self._windows, self.rows, self._turned = h, windows, rows, turned
        self._shape, self._channels = q.shape, h.shape[-1] // groups
        self.inputs = windows.points * self._channels
        self.filters = y.shape[-1] // groups
        self.positions = y.shape.num_elements() // (rows * y.shape[-1])
        self._parts_first = _in_parts(h)

    @property
    def numbers(self):
        return self.groups * self.positions * (self.inputs + self.filters)

    def kept(self):
        return (self.columns(self._h),)

    def gradient(self, kept, delta):
        return self.shaped(tf.matmul(kept[0], self.deltas(delta)))

    def columns(self, h):
        """P^T of each example and group, `[n g, k, P]`."""
        h = tf.transpose(tf.cast(h, tf.float32), [0, h.shape.rank - 1, *range(1, h.shape.rank - 1)])
        points = self._windows.unfold(h, 2)
        points = tf.reshape(points, [*points.shape[:2], self.groups, self._channels, -1])
        # From examples, their parts, points, groups, channels, positions.
        points = tf.transpose(self._of_examples(points), [0, 3, 2, 4, 1, 5])
        return tf.reshape(points, [-1, self.inputs, self.positions])

    def lines(self):
        """P of each example, `[n, P, k]`, where there is one group."""
        points = self._windows.unfold(tf.cast(self._h, tf.float32), 1)
        return tf.reshape(self._of_examples(points), [self.rows, self.positions, self.inputs])

    def deltas(self, delta):
        """Delta of each example and group, `[n g, P, f]`."""
        each = [self.rows, self.positions, self.groups, self.filters]
        delta = tf.reshape(self._of_examples(tf.cast(delta, tf.float32)), each)
        delta = tf.transpose(delta, [0, 2, 1, 3]) if self.groups > 1 else delta
        return tf.reshape(delta, [-1, self.positions, self.filters])

    def shaped(self, gradients):
        """Gradients `[n g, k, f]` in the shape of q, `[n, *q.shape]`."""
        each = [-1, self.groups, self._windows.points, self._channels, self.filters]
        gradients = tf.reshape(gradients, each)
        if self._turned:
            return tf.transpose(gradients[:, 0, 0], [0, 2, 1])
        if self.groups > 1:
            gradients = tf.transpose(gradients, [0, 2, 3, 1, 4])
        return tf.reshape(gradients, [-1, *self._shape])

    def _of_examples(self, parts):
        """`[n, parts of an example, ...]`: a dilated convolution is one of parts of the images."""
        if self._parts_first:  # all first parts come before all second ones
            parts = tf.reshape(parts, [-1, self.rows, *parts.shape[1:]])
            return tf.transpose(parts, [1, 0, *range(2, parts.shape.rank)])
        return tf.reshape(parts, [self.rows, -1, *parts.shape[1:]])


def _in_parts(h):
    while h.op.type in ("Cast", "ExpandDims", "Identity"):
        h = h.op.inputs[0]
    return h.op.type == "SpaceToBatchND"


class Transposed(Contraction):
    """A convolution from y to h read backwards: h is the result, and its gradient is what is unfolded."""

    def __init__(self, *args):
        super().__init__(*args)
        self.output, self._y = self._h, self.output

    def kept(self):
        return (self.deltas(self._y),)

    def gradient(self, kept, delta):
        return self.shaped(tf.matmul(self.columns(delta), kept[0]))


def _convolution(op, place, rows):
    if place != 1 or not _channels_last(op):
        return None
    h, q, y = *op.inputs[:2], op.outputs[0]
    groups = h.shape[-1] if op.type == "DepthwiseConv2dNative" else h.shape[-1] // q.shape[-2]
    return Contraction(q, h, y, rows, _windows(op, q, h, y), groups)


def _transposed(op, place, rows):
    if place != 1 or not _channels_last(op):
        return None
    q, y, h = *op.inputs[1:3], op.outputs[0]
    one_group = q.shape[-2] == h.shape[-1]
    return Transposed(q, h, y, rows, _windows(op, q, h, y)) if one_group else None


def _windows(op, q, h, y):
    return Windows.of(op, q.shape[:-2], h.shape[1:-1], y.shape[1:-1])


def _product(turned, as_is):
    """Maker of the rule for products whose first input is not turned round."""

    def made(op, place, rows):
        h, q = op.inputs
        if place != 1 or op.get_attr(as_is) or q.shape.rank != 2:
            return None
        return Contraction(q, h, op.outputs[0], rows, Windows(), turned=op.get_attr(turned))

    return made


_CONVOLUTIONS = dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), _convolution)
_TRANSPOSED = dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed)
_SHIFTS = dict.fromkeys(("Add", "AddV2", "Sub"), _elementwise(Shift))

RULES = {
    **_CONVOLUTIONS,
    **_TRANSPOSED,
    **_SHIFTS,
    "BatchMatMulV2": _product("adj_y", "adj_x"),
    "BiasAdd": _bias,
    "FusedBatchNormV3": _norm,
    "MatMul": _product("transpose_b", "transpose_a"),
    "Mul": _elementwise(Scale),
}
