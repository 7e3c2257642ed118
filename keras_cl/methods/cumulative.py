r"""Cumulative: trains on all data seen so far, starting from the previous weights; an upper bound.

$$ \mathcal{L}_t(\theta) = \frac{1}{\sum_{k \le t} N_k} \sum_{k \le t} \sum_{(x, y) \in D_k}
\mathrm{CE}(f_\theta(x), y), \qquad \theta \leftarrow \theta_{t-1} \text{ before task } t $$
"""

from keras_cl.methods.finetune import Finetune


class Cumulative(Finetune):
    """At task t, minimises the cross entropy of all rows of tasks 1 to t, from the weights after task t-1.

    The loss is the mean over rows, each with the class mask of its scenario. It needs all earlier data, so it
    is a bound, not a method.
    """

    needs_boundaries = "trains on all tasks so far"
    memories = ()

    def training_tasks(self, task):
        return list(task.seen)
