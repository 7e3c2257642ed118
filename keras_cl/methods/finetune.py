r"""Finetune: trains on each task in turn and does nothing against forgetting; the lower bound.

$$ \mathcal{L}_t(\theta) = \frac{1}{N_t} \sum_{(x, y) \in D_t} \mathrm{CE}(f_\theta(x), y),
\qquad \theta \leftarrow \theta_{t-1} \text{ before task } t $$
"""

from keras_cl.methods.base import ContinualModel


class Finetune(ContinualModel):
    """Minimises the cross entropy of the current task, starting from the weights of the previous task.

    It forgets earlier tasks: the lower bound that every method is compared with.
    """

    needs_boundaries = ""

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.apply(gradients)
        return self.results(batch, logits)
