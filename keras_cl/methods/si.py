r"""Synaptic intelligence: penalises changes of weights in proportion to how much they lowered the loss.

Zenke, Poole and Ganguli 2017 (arXiv:1703.04200).

$$ w_i = -\int g_i\, d\theta_i \quad \text{(eq. 3)}, \qquad \Omega_i = \sum_{k < t}
\frac{w_{k,i}}{\Delta_{k,i}^2 + \xi} \quad \text{(eq. 5)} $$

$$ \mathcal{L} = \mathcal{L}_t + c \sum_i \Omega_i \left(\theta_i - \theta^*_i\right)^2
\qquad \text{(eq. 4)} $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.errors import pick, require
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.methods.base import ContinualModel

Clip = Literal["increment", "total", "none"]


class SI(ContinualModel):
    """L = CE_t + strength * sum_i Omega_i (theta_i - theta*_i)^2   (eq. 4 of the paper)

    w_i, the path integral of the gradient, is the contribution of weight i to the decrease of the loss during
    a task; Omega_i = sum over tasks of w_i / (Delta_i^2 + xi), with Delta_i the change of the weight (eq. 5).
    Unless `clip` is none, negative importances count as 0.

    Args:
      network: raw images to logits.
      strength: c, weight of the penalty.
      xi: keeps the importance finite for weights that hardly moved.
      clip: where negative importances are set to 0: increment, in each task's importance; total, in their
        sum; none.
    """

    forgets_in = ("class",)
    search = {"strength": (0.1, 100.0)}

    def __init__(self, network, *, strength: float = 30.0, xi: float = 0.1, clip: Clip = "increment", **base):
        require(xi > 0, f"xi is {xi}; it must be above 0.")
        super().__init__(network, **base)
        self.xi, self.clip = xi, pick("clip", clip, get_args(Clip))
        theta = network.trainable_variables
        self.penalty = QuadraticPenalty(theta, strength)
        self.w = [tf.Variable(tf.zeros_like(v), trainable=False) for v in theta]

    def begin_task(self, task):
        super().begin_task(task)
        if not self.penalty.tasks.numpy():
            self.penalty.move()  # weights may have been loaded since the model was created
        for w in self.w:
            w.assign(tf.zeros_like(w))

    def train_step(self, batch):
        logits, g = self.task_gradients(batch)  # of the unregularised loss
        self.fused(self._update, g)
        return self.results(batch, logits)

    def _update(self, g):
        before = [tf.identity(theta) for theta in self.network.trainable_variables]
        self.apply(self.penalty.added_to(g))  # gradient of eq. 4
        after = self.network.trainable_variables
        for w, g_i, theta, old in zip(self.w, g, after, before, strict=True):
            w.assign_sub(tf.math.multiply_no_nan(g_i, theta - old))  # eq. 3

    def end_task(self, task):
        super().end_task(task)
        theta, start = self.network.trainable_variables, self.penalty.anchor
        Omega = []
        for w, now, then, old in zip(self.w, theta, start, self.penalty.importance, strict=True):
            new = w / (tf.square(now - then) + self.xi)  # eq. 5
            new = tf.maximum(new, 0.0) if self.clip == "increment" else new
            total = old + new
            Omega.append(tf.maximum(total, 0.0) if self.clip == "total" else total)
        self.penalty.update(Omega)
