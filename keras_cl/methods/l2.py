r"""L2: every weight is held near its value at the end of the last task, all weights alike.

$$ \mathcal{L}(\theta) = \mathcal{L}_t(\theta) + \lambda \sum_i \left(\theta_i - \theta^*_i\right)^2 $$
"""

import numpy as np

from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.methods.base import ContinualModel


class L2(ContinualModel):
    """L = CE_t + strength * sum_i (theta_i - theta*_i)^2 with theta* the weights after the task before

    The control of importance-weighted penalties: what holding all weights alike is worth (Hsu et al. 2018,
    arXiv:1810.12488, table 1).

    Args:
      network: raw images to logits.
      strength: weight of the penalty.
    """

    forgets_in = ("class",)
    search = {"strength": (1e-3, 1.0)}

    def __init__(self, network, *, strength: float = 0.1, **base):
        super().__init__(network, **base)
        self.penalty = QuadraticPenalty(network.trainable_variables, strength, uniform=True)

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.fused(self._update, gradients)
        return self.results(batch, logits)

    def _update(self, gradients):
        self.apply(self.penalty.added_to(gradients))

    def end_task(self, task):
        super().end_task(task)
        self.penalty.update(np.ones(len(self.penalty.importance)))
