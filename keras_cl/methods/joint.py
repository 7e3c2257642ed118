"""Joint: forget the order of tasks and train on everything at once. The upper bound."""

from keras_cl.errors import require
from keras_cl.methods.cumulative import Cumulative


class Joint(Cumulative):
    """At task t, starts again from the initial weights and trains on all rows of tasks 1 to t.

    The last row of its matrix is offline training on the whole stream, the diagonal the reference a*_k of
    intransigence (Chaudhry et al. 2018, arXiv:1801.10112). Needs all earlier data: a bound, not a method.

    Args:
      network: raw images to logits.
      offline: train after the last task only, for the last row of the matrix at the price of one training;
        the rows before it are those of the untrained network.
    """

    memories = ()

    def __init__(self, network, *, offline: bool = False, **base):
        require(
            base.get("reset_optimizer", True),
            "joint starts again at every task, its optimizer too: reset_optimizer cannot be false.",
        )
        super().__init__(network, **base)
        self.offline = offline
        self._initial_weights = network.get_weights()

    def begin_task(self, task):
        self.network.set_weights(self._initial_weights)
        super().begin_task(task)

    def training_tasks(self, task):
        waits = self.offline and task.number < len(task.stream)
        return [] if waits else super().training_tasks(task)
