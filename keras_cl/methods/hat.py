r"""Hard attention to the task: learns gates on the units for every task and protects the units in use.

Serra et al. 2018 (arXiv:1801.01423). Not implemented: gates of convolutions, and the paper's plateau
schedule.

$$ h'_l = a^t_l \odot h_l, \quad a^t_l = \sigma(s\, e^t_l) \quad \text{(eq. 1)}, \qquad
\Delta'_{l,ij} = \left[ 1 - \min\left(m_{l,i}, m_{l-1,j}\right) \right] \Delta_{l,ij} \quad \text{(eq. 2)} $$

$$ \mathcal{L} = \mathcal{L}_t + c\, \frac{\sum_l \sum_i a^t_{l,i} (1 - m_{l,i})}{\sum_l \sum_i (1 - m_{l,i})}
\quad \text{(eqs. 5, 6)} $$

$$ s = \frac{1}{s_{\max}} + \left(s_{\max} - \frac{1}{s_{\max}}\right) \frac{b-1}{B-1} \quad \text{(eq. 3)} $$
"""

import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import require
from keras_cl.learning.gates import WIDEST, share_used, sharpness
from keras_cl.learning.layers import gated
from keras_cl.methods.base import ContinualModel


class HAT(ContinualModel):
    """L = CE_t + sparsity * R with R = sum_l sum_i a_i (1 - m_i) / sum_l sum_i (1 - m_i)   (eqs. 5, 6)

    a = sigmoid(s e^t) gates the units of every hidden layer (eq. 1); m is the maximum of the gates of earlier
    tasks. A weight between units i and j changes by 1 - min(m_i, m_j) times the optimizer's step (eq. 2), and
    s rises from 1/s_max to s_max in every epoch (eq. 3). The factor applies to the step, not to the gradient,
    so that it also holds for momentum and adaptive optimizers.

    Args:
      network: a chain of dense layers, from raw images to logits.
      tasks: number of tasks, which is the number of gates per unit.
      sparsity: c, cost of using units that no earlier task uses.
      s_max: sharpness of the gates in evaluation and at the end of an epoch.
    """

    scenarios = ("task",)
    memories = ()
    no_curvature = "has gates whose gradient is not that of the loss"

    def __init__(self, network, *, tasks: int = 5, sparsity: float = 0.75, s_max: float = 400.0, **base):
        require(sparsity >= 0, f"sparsity is {sparsity}; it must not be negative.")
        require(s_max > 1, f"s_max is {s_max}; it must be above 1.")
        network, dense, gates = gated(network, tasks, s_max, base.get("seed", 0))
        super().__init__(network, **base)
        self.tasks, self.c, self.s_max, self.dense, self.gates = tasks, sparsity, s_max, dense, gates
        self.m = [tf.Variable(tf.zeros(gate.embedding.shape[1]), trainable=False) for gate in gates]
        self.step = integers()  # steps taken in this task
        self.epoch = integers(1)  # B, steps per epoch

    def begin_task(self, task):
        require(task.index < self.tasks, f"hat has gates for {self.tasks} tasks; this is task {task.number}.")
        super().begin_task(task)
        self.step.assign(0)

    def batches(self, task, batch_size=128, iterations=0, *more, **options):
        data = super().batches(task, batch_size, iterations, *more, **options)
        whole, rest = divmod(len(task.train), batch_size)
        self.epoch.assign(whole + bool(rest and not iterations))
        return data

    def train_step(self, batch):
        s = self._sharpness()
        before = {id(theta): tf.identity(theta) for theta in self.network.trainable_variables}
        with tf.GradientTape() as tape:
            logits = self.logits(batch)
            loss = self.task_loss(batch, logits) + self.c * self._used(s)  # eq. 5
        self.apply(self.gradients(tape, loss))  # eq. 4 is part of the gradient of the gates
        self._block(before)
        self.step.assign_add(1)
        return self.results(batch, logits)

    def end_task(self, task):
        super().end_task(task)
        for m, gate in zip(self.m, self.gates, strict=True):
            m.assign(tf.maximum(m, gate.gates(self.s_max)[task.index]))

    def report(self):
        used = tf.concat(self.m, axis=0)
        return {"capacity_used": float(tf.reduce_mean(used))}

    def _sharpness(self):
        """Sets s of this step in all gates and returns it."""
        b, B = tf.cast(self.step % self.epoch, tf.float32), tf.cast(self.epoch, tf.float32)  # b from 0
        s = sharpness(tf.where(B > 1, b / (B - 1), 1.0), self.s_max)  # eq. 3
        for gate in self.gates:
            gate.sharpness.assign(s)
        return s

    def _used(self, s):
        """R: the share of the capacity left by earlier tasks that this task's gates use."""
        gates = [gate.gates_of(self.task, s) for gate in self.gates]
        return share_used(gates, [1 - m for m in self.m])  # eq. 6

    def _block(self, before):
        """Reverts the optimizer's step on weights that earlier tasks use (eq. 2)."""

        def keep(theta, share):
            old = before.get(id(theta), theta)  # frozen weights have not changed
            theta.assign(tf.where(share == 1, theta, old + share * (theta - old)))

        others = 1 - tf.cast(tf.gather(self._class_mask, self.task), tf.float32)  # outputs of other tasks
        inputs = [tf.ones(1), *self.m[:-1], tf.ones(1)]  # images and inputs of the output layer count as used
        for layer, m_in, m_out in zip(self.dense, inputs, [*self.m, others], strict=True):
            keep(layer.kernel, 1 - tf.minimum(m_in[:, tf.newaxis], m_out))
            if layer.use_bias:
                keep(layer.bias, 1 - m_out)
        for gate in self.gates:
            keep(gate.embedding, tf.one_hot(self.task, self.tasks)[:, tf.newaxis])
            gate.embedding.assign(tf.clip_by_value(gate.embedding, -WIDEST, WIDEST))
