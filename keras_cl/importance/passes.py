"""Passes over rows that sum powers of per-example gradients: by products, by a vectorised map, row by row.

For a product with input a_n and gradient Delta_n of its output, the gradient of one example is a_n Delta_n^T,
hence sum_n (grad_n)^2 = (A*A)^T (Delta*Delta): one matrix product per layer replaces a backward pass per
example (other operations: `by_uses.py`). What has no formula uses a vectorised map over single examples, or a
loop over them where TensorFlow has no vectorised form of a layer. The network is always in inference mode.
"""

import functools

import numpy as np
import tensorflow as tf

from keras_cl.importance.products import in_products, products

DENSE_ROWS = 1024  # rows per pass through products
MAPPED_ROWS = 16  # rows per map, which holds one gradient per row
ZERO = tf.UnconnectedGradients.ZERO


class Pass:
    """Sums over all rows, in blocks of equal size; the last block repeats a row with weight 0."""

    compiled = False  # whether XLA may compile the pass

    def __init__(self, network, variables, signals, power, jit):
        self.network, self.variables, self.signals, self.power = network, variables, signals, power

        def accumulate(*block):
            for total, value in zip(self._totals, self.step(*block), strict=True):
                total.assign_add(value)

        self.accumulate = tf.function(accumulate, jit_compile=jit and self.compiled, reduce_retracing=True)

    @classmethod
    def possible(cls, network, variables, x):
        """Those of the variables that such a pass could be right for."""
        return variables

    def step(self, x, real, *extra):
        """Sums over a block of rows with the weights `real`, in the order of the variables."""
        raise NotImplementedError

    @functools.cached_property
    def block(self):
        """Rows per block."""
        return MAPPED_ROWS

    @functools.cached_property
    def _totals(self):  # created on first use: on one device, even if the model is on several
        return [tf.Variable(tf.zeros(v.shape)) for v in self.variables]

    def sums(self, x, of_rows, of_task, advance=lambda rows: None):
        """Sums over all rows; `advance` is told the number of rows of each block that is done."""
        return self.sums_of(blocks(len(x), self.block), x, of_rows, of_task, advance)

    def sums_of(self, parts, x, of_rows, of_task, advance=lambda rows: None):
        """Sums over the rows of some blocks."""
        for total in self._totals:
            total.assign(tf.zeros_like(total))
        for rows, real in parts:
            x_block, *others = (part[rows] for part in (x, *of_rows))
            self._run(*map(tf.constant, (x_block, real, *others, *of_task)))
            advance(int(real.sum()))
        return [total.numpy() for total in self._totals]

    def _run(self, *block):
        if tf.config.functions_run_eagerly():  # products are found in a graph, and maps are made in one
            self.accumulate.get_concrete_function(*block)(*block)
        else:
            self.accumulate(*block)


class ByProducts(Pass):
    """Variables of matrix products with one row per example."""

    compiled = True
    possible = staticmethod(in_products)

    @functools.cached_property
    def block(self):
        return DENSE_ROWS

    def step(self, x, real, *extra):
        with tf.GradientTape(persistent=True) as tape:
            logits = self.network(x, training=False)
        found = products(self.variables, x.shape[0])
        outputs = [product.output for product in found]
        of, count, _ = self.signals(logits, *extra)
        sums = [tf.zeros_like(output, tf.float32) for output in outputs]
        m = 0
        # Only backward signals are propagated; their squares are summed before the product. The loop is not
        # over `tf.range`, whose length XLA would compile in.
        while m < count:
            cotangent, weight = of(m)
            deltas = tape.gradient(logits, outputs, cotangent, ZERO)
            weight = (weight * real)[:, tf.newaxis]
            sums = [
                total + weight * tf.abs(tf.cast(delta, tf.float32)) ** self.power
                for total, delta in zip(sums, deltas, strict=True)
            ]
            m += 1
        moments = {}
        for (variables, a, _), total in zip(found, sums, strict=True):
            a = tf.abs(tf.cast(a, tf.float32)) ** self.power
            of_bias = [tf.reduce_sum(total, axis=0)] * (len(variables) - 1)
            each = [tf.matmul(a, total, transpose_a=True), *of_bias]
            moments.update((id(v), moment) for v, moment in zip(variables, each, strict=True))
        return [moments[id(v)] for v in self.variables]


class ByMap(Pass):
    """Variables of any layer that TensorFlow can vectorise: all gradients of a block of rows at once."""

    def step(self, x, real, *extra):
        of, count, _ = self.signals(self.network(x, training=False), *extra)

        def gradient(row):
            image, cotangent = row
            with tf.GradientTape() as tape:
                logits = self.network(image[tf.newaxis], training=False)
            return tape.gradient(logits, self.variables, cotangent[tf.newaxis], ZERO)

        sums = [tf.zeros(v.shape) for v in self.variables]
        for m in tf.range(count):
            cotangent, weight = of(m)
            rows = self.each(gradient, (x, cotangent))
            sums = [
                total + tf.tensordot(weight * real, tf.abs(tf.cast(g, tf.float32)) ** self.power, 1)
                for total, g in zip(sums, rows, strict=True)
            ]
        return sums

    def each(self, gradient, rows):
        return tf.vectorized_map(gradient, rows, fallback_to_while_loop=False)


class ByLoop(ByMap):
    """Variables of any layer: one backward pass after the other."""

    def each(self, gradient, rows):
        like = [tf.TensorSpec(v.shape, v.dtype) for v in self.variables]

        def dense(row):
            return [tf.convert_to_tensor(g) for g in gradient(row)]  # of an embedding it is sparse

        return tf.map_fn(dense, rows, fn_output_signature=like)


def blocks(count, size):
    """`(indices [size], weights [size])` of `count` rows in blocks; rows of weight 0 pad the last one."""
    for start in range(0, count, size):
        rows = np.arange(start, start + size)
        # Padding repeats a real row, because a row of zeros may have no gradient.
        yield np.minimum(rows, count - 1), (rows < count).astype(np.float32)
