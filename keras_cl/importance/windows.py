"""Windows of convolutions: what each output of a convolution is computed from."""

import itertools
import math
from typing import NamedTuple

import tensorflow as tf


class Windows(NamedTuple):
    """Windows along the axes between examples and channels; that of a matrix product is one point.

    Attributes:
      size, strides, dilations, before, count: for each axis the points of a window, the distance of windows,
        the distance of points, the padding in front, and the number of windows.
    """

    size: tuple = ()
    strides: tuple = ()
    dilations: tuple = ()
    before: tuple = ()
    count: tuple = ()

    @classmethod
    def of(cls, op, size, sides, count):
        """Windows of a convolution from `sides` points to `count` windows."""
        strides, dilations = (tuple(op.get_attr(name)[1:-1]) for name in ("strides", "dilations"))
        before = (0,) * len(size)
        if op.get_attr("padding") == b"SAME":
            lengths = _lengths(size, strides, dilations, count)
            before = tuple(max(n - side, 0) // 2 for n, side in zip(lengths, sides, strict=True))
        elif op.get_attr("padding") == b"EXPLICIT":
            before = tuple(op.get_attr("explicit_paddings")[2:-2:2])
        return cls(tuple(size), strides, dilations, before, tuple(count))

    @property
    def points(self):
        """Number of points of a window."""
        return math.prod(self.size)

    def unfold(self, h, first):
        """The points of all windows, `[..., points, *count]` stacked before or after other axes.

        Args:
          h: `[rows, C, *sides]` or `[rows, *sides, C]`.
          first: place of the first side, 2 or 1. The result is `[rows, points, C, *count]` or
            `[rows, *count, points, C]`.
        """
        axis = 1 if first == 2 else 1 + len(self.size)
        if not self.size:
            return tf.expand_dims(h, axis)
        sides = h.shape[first : first + len(self.size)]
        lengths = _lengths(self.size, self.strides, self.dilations, self.count)
        after = [max(n - b - side, 0) for n, b, side in zip(lengths, self.before, sides, strict=True)]
        padding = [*zip(self.before, after, strict=True)]
        if any(map(sum, padding)):
            h = tf.pad(h, [(0, 0)] * first + padding + [(0, 0)] * (2 - first))
        points = [
            h[(slice(None),) * first + self._cut(at)] for at in itertools.product(*map(range, self.size))
        ]
        return tf.stack(points, axis)

    def _cut(self, at):
        """What the point `at` of all windows reads."""
        each = zip(at, self.dilations, self.count, self.strides, strict=True)
        return tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in each)


def _lengths(size, strides, dilations, count):
    """Points from the first to the last that windows read, along each axis."""
    each = zip(size, strides, dilations, count, strict=True)
    return [(n - 1) * s + (k - 1) * d + 1 for k, s, d, n in each]
