"""Averaged gradient episodic memory: no step may, to first order, raise the loss on a draw from the memory.

Chaudhry et al. 2019 (arXiv:1812.00420).
"""

import tensorflow as tf

from keras_cl.methods.gem import Episodic


class AGEM(Episodic):
    """v = g - (g'g_ref / g_ref'g_ref) g_ref where g'g_ref < 0, else v = g   (eq. 11 of the paper)

    g is the gradient of CE_t and g_ref that of the mean CE of rows drawn from the memory, over all weights at
    once. Momentum and adaptive optimizers void the guarantee: use plain sgd.

    Args:
      network: raw images to logits.
    """

    usual = {"memory": "ring"}
    generated = False
    plain_sgd = True

    def train_step(self, batch):
        logits, g = self.task_gradients(batch.current)
        g_ref = self.memory_gradient(batch.replayed())
        self.apply(self._projected(g, g_ref))
        return self.results(batch.current, logits)

    def _projected(self, g, g_ref):
        """v; in float64, in which the square of a gradient that is all but 0 is not 0."""
        g, g_ref = ([tf.cast(part, tf.float64) for part in parts] for parts in (g, g_ref))
        inner, square = _inner(g, g_ref), _inner(g_ref, g_ref)
        violated = ~(inner >= 0)  # also where it is no number, so that the step shows it
        self.count(violated)
        share = tf.where(violated, inner / square, 0.0)
        return [tf.cast(g_i - share * ref_i, tf.float32) for g_i, ref_i in zip(g, g_ref, strict=True)]


def _inner(one, other):
    return tf.math.add_n([tf.reduce_sum(a * b) for a, b in zip(one, other, strict=True)])
