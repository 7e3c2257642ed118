r"""Experience replay: adds rows of earlier tasks from a small memory to every training step.

Chaudhry et al. 2019 (arXiv:1902.10486); weighting by the number of tasks: van de Ven and Tolias 2018
(arXiv:1809.10635).

$$ \mathcal{L} = \frac{1}{|B_t| + |B_{\mathcal{M}}|} \sum_{(x, y) \in B_t \cup B_{\mathcal{M}}}
\mathrm{CE}(f_\theta(x), y), \qquad B_t \sim D_t, \quad B_{\mathcal{M}} \sim \mathcal{M}
\qquad \text{(algorithm 1)} $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.errors import pick, require
from keras_cl.learning.batches import total
from keras_cl.methods.base import ContinualModel

Weighting = Literal["mean", "share"]
Offers = Literal["step", "task"]


class ER(ContinualModel):
    """L = mean CE of the B rows of the current task and the rows drawn from the memory

    If the task is known, each row uses the classes of its own task. The B rows are offered to the memory
    after the step.

    Args:
      network: raw images to logits.
      weighting: mean, over all rows; share, CE_current / t + (1 - 1/t) CE_replayed at task t.
      offers: when rows are offered to the memory: step, after each step of every epoch, so that rows of the
        current task are replayed too; task, at the end of the task, each row once.
    """

    usual = {"memory": "reservoir"}
    generated = False
    needs_boundaries = ""
    search = {"weighting": ["mean", "share"]}

    def __init__(self, network, *, weighting: Weighting = "mean", offers: Offers = "step", **base):
        super().__init__(network, **base)
        require(self.memory is not None, "er replays from a memory; give it one.")
        self.online = pick("offers", offers, get_args(Offers)) == "step"
        require(
            self.memory.by_row or not self.online,
            "This memory chooses among all rows of a task, and er offers them as they come; give "
            "--method.offers=task.",
        )
        self.weighting = pick("weighting", weighting, get_args(Weighting))
        if weighting == "share":
            self.needs_boundaries = "weights rows by the number of tasks; give --method.weighting=mean"
        elif not self.online:
            self.needs_boundaries = "offers rows at the end of a task; give --method.offers=step"

    def train_step(self, batch):
        if self.weighting == "share":
            batch = self._shared(batch)
        logits, gradients = self.task_gradients(batch)
        self.apply(gradients)
        return self.results(batch, logits)

    def _shared(self, batch):
        """The batch with the weights of current rows summing to 1/t, of replayed rows to 1 - 1/t."""
        current, replayed = batch.current.weight, batch.replayed().weight
        t = tf.cast(self.task + 1, tf.float32)
        weight = [
            current / total(current) / t,
            tf.math.divide_no_nan(replayed, total(replayed)) * (1 - 1 / t),
        ]
        return batch._replace(weight=tf.concat(weight, axis=0))
