"""Sums of powers of per-example gradients by a formula for each operation that a weight is used in."""

import tensorflow as tf

from keras_cl.importance.passes import ZERO, Pass
from keras_cl.importance.summed import Together, summed
from keras_cl.importance.uses import uses

MOST_ROWS = 64  # per pass
MEMORY = 2**29  # bytes that unfolded inputs and gradients of examples may take


class ByUses(Pass):
    """Variables of convolutions, products, normalisations and biases, however often they are used.

    Args:
      rows: rows per block.
    """

    def __init__(self, *args, rows):
        super().__init__(*args)
        self.block = rows

    def step(self, x, real, *extra):
        with tf.GradientTape(persistent=True) as tape:
            logits = self.network(x, training=False)
        signals = self.signals(logits, *extra)
        of, count = signals.fewer() if signals.fewer and self.power == 2 else signals[:2]
        found = uses(self.variables, x, x.shape[0])
        most = tf.get_static_value(count) or logits.shape[-1]
        sums = [summed(v, found[id(v)], self.power, most) for v in self.variables]
        outputs = list({id(output): output for one in sums for output in one.outputs}.values())

        def deltas(m):
            cotangent, weight = of(m)
            # w |g|^power is |w^(1 / power) g|^power.
            cotangent *= tf.cast((weight * real) ** (1 / self.power), cotangent.dtype)[:, tf.newaxis]
            each = zip(outputs, tape.gradient(logits, outputs, cotangent, ZERO), strict=True)
            # Some operations have gradients whose shape TensorFlow does not know.
            return {id(y): tf.reshape(tf.cast(delta, tf.float32), y.shape) for y, delta in each}

        totals = self._over_signals(sums, deltas, count, tape)
        return [one.end(total) for one, total in zip(sums, totals, strict=True)]

    def _over_signals(self, sums, deltas, count, tape):
        """Totals of all sums. Some of them take several signals at once."""
        totals = [one.start() for one in sums]
        wide = [one for one in sums if isinstance(one, Together)]
        m = 0
        while m < count:
            size = tf.minimum(count - m, Together.signals)
            stacks = [tf.TensorArray(tf.float32, size, element_shape=one.shape) for one in wide]
            j = 0
            while j < size:
                each = deltas(m + j)
                stacks = [stack.write(j, one.part(each)) for one, stack in zip(wide, stacks, strict=True)]
                totals = [one.added(total, tape, each) for one, total in zip(sums, totals, strict=True)]
                j += 1
            parts = {id(one): stack.stack() for one, stack in zip(wide, stacks, strict=True)}
            totals = [
                one.together(total, parts.get(id(one))) for one, total in zip(sums, totals, strict=True)
            ]
            m += size
        return totals
