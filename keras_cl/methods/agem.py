r"""Averaged gradient episodic memory: projects gradients that would raise the loss on a draw from the memory.

Chaudhry et al. 2019 (arXiv:1812.00420).

$$ v = g - \frac{g^\top g_{\mathrm{ref}}}{g_{\mathrm{ref}}^\top g_{\mathrm{ref}}}\, g_{\mathrm{ref}}
\quad \text{where } g^\top g_{\mathrm{ref}} < 0, \quad \text{else } v = g \qquad \text{(eq. 11)} $$
"""

import tensorflow as tf

from keras_cl.methods.gem import Episodic


class AGEM(Episodic):
    """v = g - (g'g_ref / g_ref'g_ref) g_ref where g'g_ref < 0, else v = g   (eq. 11 of the paper)

    g is the gradient of CE_t and g_ref the gradient of the mean CE of rows drawn from the memory, both over
    all weights. To first order, a step along v does not raise the loss on the drawn rows. Use plain SGD:
    momentum and adaptive optimizers break this guarantee.

    Args:
      network: raw images to logits.
    """

    usual = {"memory": "ring"}
    generated = False
    needs_boundaries = ""
    plain_sgd = True
    search = {"replay_batch_size": [32, 64, 128, 256]}

    def train_step(self, batch):
        logits, g = self.task_gradients(batch.current)
        g_ref = self.memory_gradient(batch.replayed())
        self.apply(self._projected(g, g_ref))
        return self.results(batch.current, logits)

    def _projected(self, g, g_ref):
        """v, computed in float64, in which the square of a tiny gradient does not underflow to 0."""
        g, g_ref = ([tf.cast(part, tf.float64) for part in parts] for parts in (g, g_ref))
        inner, square = _inner(g, g_ref), _inner(g_ref, g_ref)
        violated = ~(inner >= 0)  # also true for NaN, which then reaches the weights
        self.count(violated)
        share = tf.where(violated, inner / square, 0.0)
        return [tf.cast(g_i - share * ref_i, tf.float32) for g_i, ref_i in zip(g, g_ref, strict=True)]


def _inner(one, other):
    return tf.math.add_n([tf.reduce_sum(a * b) for a, b in zip(one, other, strict=True)])
