r"""Elastic weight consolidation: penalises changes of weights in proportion to their Fisher information.

Kirkpatrick et al. 2017 (arXiv:1612.00796); online form: Schwarz et al. 2018 (arXiv:1805.06370); variants of
the Fisher information: van de Ven 2025 (arXiv:2502.11756). Not implemented: Kronecker-factored
approximations.

$$ \mathcal{L}(\theta) = \mathcal{L}_t(\theta) + \frac{\lambda}{2} \sum_{k < t} \sum_i
F_{k,i} \left(\theta_i - \theta^*_{k,i}\right)^2 \qquad \text{(eq. 3)} $$

$$ F_{k,i} = \mathbb{E}_{x \sim D_k}\, \mathbb{E}_{y \sim p(y \mid x; \theta^*_k)} \left[ \left(
\frac{\partial \log p(y \mid x; \theta)}{\partial \theta_i} \right)^2 \right]_{\theta = \theta^*_k} $$

$$ \text{online: } \mathcal{L} = \mathcal{L}_t + \frac{\lambda}{2} \sum_i \gamma \bar{F}_{t-1,i}
\left(\theta_i - \theta^*_{t-1,i}\right)^2, \qquad \bar{F}_t = \gamma \bar{F}_{t-1} + F_t $$
"""

from typing import Literal, get_args

from keras_cl.errors import pick, require
from keras_cl.importance.fisher import Fisher
from keras_cl.importance.moments import normalised
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.random import IMPORTANCE, seed_of

Kind = Literal["exact", "sample", "empirical", "argmax", "batched"]
Normalise = Literal["none", "max", "minmax", "mean1"]


class EWC(ContinualModel):
    """L = CE_t + strength/2 * sum_{k<t} sum_i F_{k,i} (theta_i - theta*_{k,i})^2   (eq. 3 of the paper)

    F_k is the diagonal of the Fisher information of task k at its end, theta*_k the weights at that point.
    The sum over earlier tasks is stored as one quadratic, so time and memory do not grow with the number of
    tasks.

    In the class-incremental scenario EWC alone is expected to forget nearly everything, because training
    never compares old classes with new ones.

    Args:
      network: raw images to logits.
      strength: lambda, weight of the penalty.
      online: keep one running Fisher and only the last anchor (Schwarz et al.) instead of all anchors.
      gamma: decay of the running Fisher in the online form, in (0, 1].
      fisher: how the Fisher is estimated: exact, expectation over all labels; sample, one label drawn from
        the predicted probabilities; empirical, the true label; argmax, the most likely label; batched,
        squared mean gradient of a batch (for comparison only: its scale depends on the batch size).
      n_samples: rows used for the Fisher; 0 for all, or for 500 if the network has layers whose gradients of
        single rows are slow: recurrent ones, embeddings, own operations on weights.
      fisher_batch: rows per batch of the batched Fisher.
      normalise: how the Fisher is scaled over all weights: none; max, divided by the largest entry; minmax,
        to [0, 1]; mean1, to mean 1.
      half_penalty: whether the penalty has the factor 1/2.
    """

    forgets_in = ("class",)
    search = {"strength": (10.0, 1e4)}
    own_loss = "weighs weights by the Fisher information of the softmax, whose loss is the cross entropy"

    def __init__(
        self,
        network,
        *,
        strength: float = 1000.0,
        online: bool = False,
        gamma: float = 1.0,
        fisher: Kind = "exact",
        n_samples: int = 0,
        fisher_batch: int = 128,
        normalise: Normalise = "none",
        half_penalty: bool = True,
        **base,
    ):
        require(0 < gamma <= 1, f"gamma is {gamma}; it must be above 0 and at most 1.")
        require(
            online or gamma == 1,
            f"gamma is {gamma}, but only the online form decays: give online too.",
        )
        require(n_samples >= 0, f"n_samples is {n_samples}; it must not be negative.")
        require(fisher_batch >= 1, f"fisher_batch is {fisher_batch}; it must be at least 1.")
        require(
            fisher != "batched" or not n_samples or n_samples >= fisher_batch,
            f"n_samples is {n_samples}, fewer than the {fisher_batch} rows of one fisher_batch.",
        )
        super().__init__(network, **base)
        self.online, self.gamma = online, gamma
        self.normalise = pick("normalise", normalise, get_args(Normalise))
        pick("fisher", fisher, get_args(Kind))
        self._rows_needed = fisher_batch if fisher == "batched" else 1
        self._fisher = Fisher(self.network, fisher, n_samples=n_samples, batch_size=fisher_batch)
        form = {"half": half_penalty, "merge": "anchors"}
        self.penalty = QuadraticPenalty(network.trainable_variables, strength, **form)

    def begin_task(self, task):
        super().begin_task(task)
        require(
            self._rows_needed <= len(task.train),
            f"fisher_batch is {self._rows_needed} and task {task.number} has only {len(task.train)} rows.",
        )

    def train_step(self, batch):
        logits, gradients = self.task_gradients(batch)
        self.fused(self._update, gradients)
        return self.results(batch, logits)

    def _update(self, gradients):
        self.apply(self.penalty.added_to(gradients))  # gradient of eq. 3

    def end_task(self, task):
        super().end_task(task)
        x, y = task.train.open()
        answering = task.stream.class_mask[task.index]
        seed = seed_of(self.seed, task.index, IMPORTANCE)
        F = self._fisher(x, y, answering, seed=seed, jit=self.jit, progress=self.progress)
        F = normalised(F, self.normalise)
        if self.online:  # Fbar_t = gamma Fbar_{t-1} + F_t; the penalty uses gamma Fbar_t, around theta
            running = [old.numpy() for old in self.penalty.importance]
            self.penalty.replace([self.gamma * (old + new) for old, new in zip(running, F, strict=True)])
        else:
            self.penalty.update(F)
