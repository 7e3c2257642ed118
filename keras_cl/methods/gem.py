r"""Gradient episodic memory: projects gradients that would raise the loss on stored rows of an earlier task.

Lopez-Paz and Ranzato 2017 (arXiv:1706.08840), with the lower bound of the dual as in their released code.

$$ v = \arg\min_v \tfrac12 \lVert v - g \rVert^2 \text{ subject to } \langle v, g_k \rangle \ge 0, \; k < t $$

$$ u = \arg\min_{u \ge \gamma} \tfrac12 u^\top G G^\top u + (G g)^\top u, \qquad
v = g + G^\top u \qquad \text{(eq. 11)} $$
"""

import tensorflow as tf

from keras_cl.devices.replicas import agreed
from keras_cl.devices.state import integers
from keras_cl.errors import require
from keras_cl.learning.batches import total
from keras_cl.learning.layers import logits_of
from keras_cl.memories.ring import Ring
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.nnls import nnls_gram


class Episodic(ContinualModel):
    """Base class of GEM and A-GEM: gradients on a memory, and a count of violated constraints."""

    def __init__(self, network, **base):
        super().__init__(network, **base)
        require(self.memory is not None, f"{self.name} keeps to what its memory allows; give it one.")
        self.steps, self.violations = integers(name="steps"), integers(name="violations")

    def begin_task(self, task):
        super().begin_task(task)
        self.steps.assign(0)
        self.violations.assign(0)

    def memory_gradient(self, rows):
        """Gradient of the mean loss on rows of the memory, 0 if there are none. The forward pass is in
        inference mode: it leaves dropout masks and batch statistics unchanged."""
        with tf.GradientTape() as tape:
            logits = self._masked(logits_of(self.network, rows.x, rows.task), rows.task)
            loss = self.task_loss(rows, logits)
        # The mean over no rows is NaN.
        some = tf.cast(total(rows.weight, rows.whole) > 0, tf.float32)
        return [tf.math.multiply_no_nan(part, some) for part in self.gradients(tape, loss, rows.whole)]

    def count(self, violated):
        """Counts a step and whether it violated a constraint."""
        self.steps.assign_add(1)
        self.violations.assign_add(tf.cast(violated, tf.int64))

    def report(self):
        share = int(self.violations.numpy()) / max(1, int(self.steps.numpy()))  # of the task's steps
        return {"violations": share}


class GEM(Episodic):
    """v = argmin 1/2 ||v - g||^2 subject to <v, g_k> >= 0 for all tasks k < t

    g is the gradient of CE_t and g_k, a row of G, that of the mean CE of all stored rows of task k. The dual
    (eq. 11) is solved only if some <g, g_k> < 0. Use plain SGD: momentum and adaptive optimizers break this.

    Args:
      network: raw images to logits.
      margin: gamma, memory strength: lower bound of u, so that a projected gradient also turns towards the
        gradients of all earlier tasks; 0 gives the nearest v that is allowed.
      ridge: share of the diagonal of GG' that is added to it; above 0 the solution is unique.
      absolute_ridge: add the ridge itself, as the released code does with 1e-3. Gradients on a memory have
        norms of a few hundredths, and projected gradients then still violate constraints.
    """

    usual = {"memory": "ring"}
    plain_sgd = True
    memories = ("ring",)
    draws = 0
    reads_memory = True
    search = {"margin": [0.0, 0.5, 1.0]}

    def __init__(
        self, network, *, margin: float = 0.5, ridge: float = 1e-8, absolute_ridge: bool = False, **base
    ):
        require(margin >= 0, f"margin is {margin}; it must not be negative.")
        require(ridge >= 0, f"ridge is {ridge}; it must not be negative.")
        super().__init__(network, **base)
        require(isinstance(self.memory, Ring), "gem needs all rows of a task together: give it a ring.")
        self.gamma, self.ridge, self.absolute = margin, ridge, absolute_ridge

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        v = self._projected(_flat(gradients), self._memory_gradients())  # algorithm 1, PROJECT
        parts = tf.split(v, [part.shape.num_elements() for part in gradients])
        self.apply([tf.reshape(v_i, g_i.shape) for v_i, g_i in zip(parts, gradients, strict=True)])
        return self.results(batch, logits)

    def _memory_gradients(self):
        """G `[T, P]`: g_k of all earlier tasks at the current weights; 0 for the other tasks."""
        size = sum(theta.shape.num_elements() for theta in self.network.trainable_variables)
        k, G = tf.constant(0, tf.int64), tf.zeros([len(self._class_mask), size])
        while k < self.task:  # not `tf.range`: XLA would need a constant length inside a loop
            rows = self.augment.read(self.memory.of_task(k), k, len(G))
            k, G = k + 1, tf.tensor_scatter_nd_update(G, [[k]], [_flat(self.memory_gradient(rows))])
        return agreed(G)

    def _projected(self, g, G):
        """v `[P]`, computed in float64, because GG' loses too many digits in float32."""
        g, G = tf.cast(g, tf.float64), tf.cast(G, tf.float64)
        Gg = tf.linalg.matvec(G, g)
        violated = ~tf.reduce_all((Gg >= 0) & tf.math.is_finite(Gg))  # also for NaN: it reaches the weights
        self.count(violated)
        if violated:
            Q = tf.matmul(G, G, transpose_b=True)
            scale = tf.ones_like(Gg) if self.absolute else tf.linalg.diag_part(Q)
            Q += tf.linalg.diag(self.ridge * scale)
            past = tf.range(len(G), dtype=tf.int64) < self.task
            u = nnls_gram(Q, Gg, past, self.gamma)  # eq. 11
            g = g + tf.linalg.matvec(G, u, transpose_a=True)
        return tf.cast(g, tf.float32)


def _flat(gradients):
    return tf.concat([tf.reshape(part, [-1]) for part in gradients], axis=0)
