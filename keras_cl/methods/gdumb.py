r"""GDumb: stores rows in a balanced memory and trains a new network on the memory alone.

Prabhu et al. 2020 (ECCV). For colour images they crop, mirror and mix: `--augment=crop,mirror,cutmix`.

$$ \theta_t = \arg\min_\theta \frac{1}{|\mathcal{M}_t|} \sum_{(x, y) \in \mathcal{M}_t}
\mathrm{CE}(f_\theta(x), y), \qquad \theta \leftarrow \theta_0 \text{ before task } t $$
"""

import tensorflow as tf

from keras_cl.devices.state import integers
from keras_cl.errors import require
from keras_cl.learning.memory_passes import MemoryPassesMixin
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.schedules import warm_restarts


class GDumb(MemoryPassesMixin, ContinualModel):
    """Trains the network from its initial weights on the rows in the memory.

    First, all rows of the task are offered to the memory in one pass. An epoch is a pass over the memory. The
    learning rate falls as a cosine from --learning_rate to `low`, with warm restarts at epochs 1, 2, 4, 8 and
    so on; epoch 0 uses a tenth of it. Without tasks, the network is trained anew before each measurement.

    Args:
      network: raw images to logits.
      passes: passes over the memory before each measurement without tasks; with tasks, --epochs says it.
      low: lowest learning rate.
      weight_decay: factor of the weights that is added to the gradient.
      clip_norm: largest norm of the gradient.
    """

    usual = {"memory": "balanced"}
    memories = ("balanced", "reservoir", "ring")  # herding would select rows by a network that is discarded
    needs_boundaries = ""
    draws = 0
    own_schedule = True
    search = {"weight_decay": (1e-6, 1e-3), "clip_norm": [1.0, 10.0]}

    def __init__(
        self,
        network,
        *,
        passes: int = 10,
        low: float = 0.0005,
        weight_decay: float = 1e-6,
        clip_norm: float = 10.0,
        **base,
    ):
        require(passes >= 1, f"passes is {passes}; it must be at least 1.")
        for name, value in (("low", low), ("weight_decay", weight_decay)):
            require(value >= 0, f"{name} is {value}; it must not be negative.")
        require(clip_norm > 0, f"clip_norm is {clip_norm}; it must be above 0.")
        why = "gdumb starts again at every task, its optimizer too: reset_optimizer cannot be false."
        require(base.get("reset_optimizer", True), why)
        super().__init__(network, **base)
        require(self.memory is not None, "gdumb learns from a memory; give it one.")
        self.passes, self.low, self.weight_decay, self.clip_norm = passes, low, weight_decay, clip_norm
        self._initial_weights = self.network.get_weights()
        self.step, self.epoch = integers(), integers(1)  # steps taken since the start; steps per epoch

    def compile(self, optimizer="sgd", *losses, **kwargs):
        super().compile(optimizer, *losses, **kwargs)
        require(not self.regime.changes, "gdumb has a schedule of its own, and takes no other regime.")
        self.high = float(self.optimizer.learning_rate.numpy())
        require(self.low <= self.high, f"low is {self.low}, above the learning rate, which is {self.high}.")

    def begin_task(self, task):
        if not task.stream.every:
            self.memory.update(task)
        self.start_again()
        super().begin_task(task)

    def start_again(self, steps=1):
        """Puts the initial weights back; an epoch has so many steps."""
        self.network.set_weights(self._initial_weights)
        self.step.assign(0)
        self.epoch.assign(steps)

    def end_task(self, task):
        """Trains if there are no tasks and nothing was measured since the last row was stored; otherwise the
        memory received the rows in `begin_task`."""
        self.begin_measurement(task)

    def batches(self, task, batch_size=128, iterations=0, *more, **options):
        rows = len(self.memory)
        enough = batch_size <= rows or task.stream.every
        require(enough, f"batch_size is {batch_size} and the memory holds only {rows} rows.")
        self.epoch.assign(rows // batch_size + bool(rows % batch_size and not iterations))
        return super().batches(task, batch_size, iterations, *more, **options)

    def train_step(self, batch):
        self.optimizer.learning_rate = warm_restarts(self.step // self.epoch, self.high, self.low)
        logits, gradients = self.task_gradients(batch)
        clipped, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        self.apply(self._heads.decayed(clipped, self.trained, self.weight_decay))
        self.step.assign_add(1)
        return self.results(batch, logits)
