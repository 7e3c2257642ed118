r"""Joint: trains from scratch on all data seen so far; the upper bound.

$$ \mathcal{L}_t(\theta) = \frac{1}{\sum_{k \le t} N_k} \sum_{k \le t} \sum_{(x, y) \in D_k}
\mathrm{CE}(f_\theta(x), y), \qquad \theta \leftarrow \theta_0 \text{ before task } t $$
"""

from keras_cl.errors import require
from keras_cl.methods.cumulative import Cumulative


class Joint(Cumulative):
    """At task t, trains from the initial weights on all rows of tasks 1 to t.

    The last row of its accuracy matrix is offline training on the whole stream; the diagonal is the reference
    a*_k of intransigence (Chaudhry et al. 2018, arXiv:1801.10112). It needs all earlier data, so it is a
    bound, not a method.

    Args:
      network: raw images to logits.
      offline: train only once, at the last task, to get the last row of the matrix; the rows of the tasks
        before it are empty.
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
