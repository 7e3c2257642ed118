r"""Sums over examples and signals of powers of gradients: of each, or by pairs of positions.

$$ \sum_m (P_n^\top \Delta_{nm})_{kf}^2 = \sum_{p, q} P_{npk} P_{nqk} \sum_m \Delta_{nmpf} \Delta_{nmqf} $$

The right side is one matrix product for all signals m, over pairs of positions. It is cheaper where positions
are few or signals many; with one position it is the formula of a dense layer.
"""

import numpy as np
import tensorflow as tf

from keras_cl.importance.rules import Contraction

# What the squares and the sum of one gradient of an example cost, in positions of its product.
SQUARED = 48
# Filters from which on a matrix product has its full speed.
FILTERS = 32


def summed(variable, uses, power, signals):
    """How the moments of a variable are summed over its uses.

    Args:
      variable, uses: what `uses` finds.
      power: 1 or 2.
      signals: at most so many.
    """
    rule = uses[0].rule if len(uses) == 1 and uses[0].reshaped else None
    if type(rule) is not Contraction or rule.groups > 1:
        return Gradients(variable, uses, power)
    if _by_pairs(rule, power, signals):
        return Pairs(variable, rule, power)
    if signals > 1 and rule.filters < FILTERS:
        return Together(variable, rule, power)
    return Gradients(variable, uses, power)


def _by_pairs(rule, power, signals):
    pairs = rule.positions * (rule.positions + 1) // 2
    cheaper = pairs <= signals * (rule.positions + SQUARED)
    memory = rule.positions * (rule.inputs + rule.filters) + rule.inputs * rule.filters
    return pairs == 1 or power == 2 and cheaper and pairs * rule.filters <= 2 * memory


def _powers(values, power):
    return tf.square(values) if power == 2 else tf.abs(values)


class Sum:
    """A sum over signals, which come one by one (`added`) and in groups (`together`).

    Attributes:
      variable: whose moments it gives at the `end`.
      outputs: tensors whose gradients it needs.
    """

    def __init__(self, variable, outputs, power):
        self.variable, self.outputs, self._power = variable, outputs, power

    def start(self):
        return tf.zeros(self.variable.shape)

    def added(self, total, tape, deltas):
        """The total with another signal, whose gradients of the outputs are `deltas`."""
        return total

    def together(self, total, parts):
        """The total with the signals of a group."""
        return total

    def end(self, total):
        return total


class Gradients(Sum):
    """Gradients of all examples of a block, for one signal at a time."""

    def __init__(self, variable, uses, power):
        super().__init__(variable, [use.rule.output for use in uses], power)
        self._uses, self._kept = uses, [use.rule.kept() for use in uses]

    def added(self, total, tape, deltas):
        if not self._uses:
            return total
        each = zip(self._uses, self._kept, self.outputs, strict=True)
        gradients = tf.add_n(
            [use.gradient(tape, self.variable, kept, deltas[id(y)]) for use, kept, y in each]
        )
        return total + tf.reduce_sum(_powers(gradients, self._power), axis=0)


class Together(Sum):
    """The same for a few signals at once: a matrix product for few filters alone is slow."""

    signals = 3

    def __init__(self, variable, rule, power):
        super().__init__(variable, [rule.output], power)
        self._rule, self._kept = rule, rule.kept()
        self.shape = [rule.rows, rule.positions, rule.filters]

    def part(self, deltas):
        """What a group needs of a signal, of the shape `shape`."""
        return self._rule.deltas(deltas[id(self.outputs[0])])

    def together(self, total, parts):
        rule = self._rule
        parts = tf.reshape(tf.transpose(parts, [1, 2, 0, 3]), [rule.rows, rule.positions, -1])
        gradients = tf.matmul(*self._kept, parts)
        moments = tf.reduce_sum(_powers(gradients, self._power), axis=0)
        moments = tf.reduce_sum(tf.reshape(moments, [rule.inputs, -1, rule.filters]), axis=1)
        return total + tf.reshape(rule.shaped(moments[tf.newaxis]), self.variable.shape)


class Pairs(Sum):
    """Products of pairs of positions; where there is one position, powers of it."""

    def __init__(self, variable, rule, power):
        super().__init__(variable, [rule.output], power)
        self._rule, self._alone = rule, rule.positions == 1
        self._one, self._other = np.triu_indices(rule.positions)

    def start(self):
        return tf.zeros([self._rule.rows, len(self._one), self._rule.filters])

    def added(self, total, tape, deltas):
        each = self._rule.deltas(deltas[id(self.outputs[0])])
        if self._alone:
            return total + _powers(each, self._power)
        return total + tf.gather(each, self._one, axis=1) * tf.gather(each, self._other, axis=1)

    def end(self, total):
        lines, moments = self._rule.lines(), tf.zeros([self._rule.inputs, self._rule.filters])
        total *= np.where(self._one == self._other, 1, 2)[:, np.newaxis].astype(np.float32)
        # Products of all pairs at once would be many times the lines.
        for p in range(self._rule.positions):
            own = _powers(lines, self._power) if self._alone else lines[:, p : p + 1] * lines[:, p:]
            first, behind = np.searchsorted(self._one, [p, p + 1])
            sums = total[:, first:behind]
            flat = (tf.reshape(part, [-1, part.shape[-1]]) for part in (own, sums))
            moments += tf.matmul(*flat, transpose_a=True)
        return tf.reshape(self._rule.shaped(moments[tf.newaxis]), self.variable.shape)
