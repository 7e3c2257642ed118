r"""Dark experience replay: stores the logits of each row in the memory and penalises changes of them.

Buzzega et al. 2020 (arXiv:2004.07211).

$$ \mathcal{L} = \mathcal{L}_t + \alpha\, \mathbb{E}_{(x', z') \sim \mathcal{M}}
\left[ \lVert z' - h_\theta(x') \rVert_2^2 \right] \qquad \text{(eq. 5)} $$
"""

from typing import Literal, get_args

import tensorflow as tf

from keras_cl.devices.replicas import gathered
from keras_cl.errors import pick, require
from keras_cl.learning.batches import total
from keras_cl.learning.layers import logits_of
from keras_cl.methods.base import ContinualModel

Reduction = Literal["mean", "sum"]
Head = Literal["all", "seen"]


class DER(ContinualModel):
    """L = CE_t + alpha * mean over rows x' of the memory of ||z' - h(x')||^2   (eq. 5 of the paper)

    z' are the logits of x' when it was stored: in the step that trained on it, before the update.

    Args:
      network: raw images to logits.
      alpha: weight of the loss on stored logits.
      reduction: how the squared differences of a row are reduced over classes: mean, as in the released code,
        for which the published hyperparameters hold; sum, as in the paper.
      head: classes of the cross entropy in the class-incremental scenario: all, including future classes, so
        that replayed logits keep suppressing them; seen, as in the other methods here.
    """

    usual = {"memory": "reservoir"}
    generated = False
    needs_boundaries = ""
    online = True
    no_mixing = "keeps the logits of each image beside it"
    search = {"alpha": (0.1, 10.0)}

    def __init__(
        self, network, *, alpha: float = 0.5, reduction: Reduction = "mean", head: Head = "all", **base
    ):
        require(alpha >= 0, f"alpha is {alpha}; it must not be negative.")
        super().__init__(network, **base)
        require(self.memory is not None, "Dark experience replay replays from a memory; give it one.")
        require(
            self.memory.by_row,
            "This memory chooses among all rows of a task, and dark experience replay offers them as they "
            "come; give it a reservoir, ring or balanced.",
        )
        self.alpha, self.reduction = alpha, pick("reduction", reduction, get_args(Reduction))
        self.head = pick("head", head, get_args(Head))
        # One extra row, for rows that the memory does not store.
        shape = [self.memory.capacity + 1, self.network.output_shape[-1]]
        self.z = tf.Variable(tf.zeros(shape), trainable=False, name="z")

    def train_step(self, batch):
        current = batch.current
        with tf.GradientTape() as tape:
            h = logits_of(self.network, batch.x, batch.task, training=True)
            full = self._scenario == "class" and self.head == "all"
            logits = h if full else self._masked(h, batch.task)
            loss = self.objective(batch, h, logits)
        self.apply(self.gradients(tape, loss))
        B = current.x.shape[0]
        self._remember(batch.stored, h[:B])
        return self.results(current, logits[:B])

    def objective(self, batch, h, logits):
        """L; `h` are the unmasked logits of all rows, `logits` those of the cross entropy."""
        current, replayed = batch.current, batch.replayed(0, self.draws)
        B, R = current.x.shape[0], replayed.x.shape[0]
        z = tf.gather(self.z, tf.maximum(batch.drawn[:R], 0))
        reduce = tf.reduce_mean if self.reduction == "mean" else tf.reduce_sum
        difference = reduce(tf.square(z - h[B : B + R]), axis=1)
        replay = tf.math.divide_no_nan(total(difference * replayed.weight), total(replayed.weight))
        return self.task_loss(current, logits[:B]) + self.alpha * replay  # eq. 5

    def _remember(self, stored, h):
        """Stores the logits of the rows that the memory stores."""
        stored, h = gathered(stored), gathered(h)
        kept = stored >= 0
        slots = tf.where(kept, stored, self.memory.capacity)
        self.z.scatter_update(tf.IndexedSlices(tf.where(kept[:, tf.newaxis], h, 0.0), slots))
