r"""Online generative memory: every step holds the outputs on generated images of earlier tasks.

An idea without a paper, of three parts: the look-ahead of MAML (Finn et al. 2017, arXiv:1703.03400), or
distillation (Hinton et al. 2015, arXiv:1503.02531), or a projection (Zeng et al. 2019, arXiv:1810.01256).

$$ \text{look-ahead: } \theta \leftarrow \theta - \beta \nabla_\theta\, d\left(\theta + \Delta(\theta)\right),
\text{ then } \theta \leftarrow \theta + \Delta(\theta) $$

$$ \text{distill: } \theta \leftarrow \theta + \Delta(\theta), \text{ then }
\theta \leftarrow \theta - \beta \nabla_\theta\, d(\theta) $$

$$ \text{project: } \theta_l \leftarrow \theta_l + (I - P_l)\, \Delta_l, \qquad
P_l = A_l^\top \left(A_l A_l^\top + \delta I\right)^{-1} A_l $$

$$ d(\theta) = T^2\, \mathrm{KL}\left( y_X \,\Vert\, \operatorname{softmax}(f_\theta(X) / T) \right) $$
"""

from typing import Literal, get_args

from keras_cl.errors import pick, require
from keras_cl.learning.held_outputs import HeldOutputsMixin
from keras_cl.learning.layers import frozen_copy
from keras_cl.learning.projection import Projection
from keras_cl.learning.slots import inner, is_plain_sgd
from keras_cl.methods.base import ContinualModel

Variant = Literal["look_ahead", "distill", "project"]
Teacher = Literal["global", "local"]


class OGM(HeldOutputsMixin, ContinualModel):
    """theta + Delta, where the outputs on rows X of the memory are held while the step Delta on CE_t is taken

    Delta is the step of the optimizer, whichever it is. d is the distance of the outputs on X from y_X, those
    of a teacher. A_l are the inputs of layer l on X, with a column of ones for the bias. From Python the
    memory can be None: X are the rows of the step then, as in `lwf`.

    Args:
      network: raw images to logits; a functional or sequential model, which is copied for a global teacher.
      variant: look_ahead, before the step the weights go down the slope that d has after it; distill, after
        the step they go down the slope of d; project, the part of the step that changes outputs of a layer on
        X is taken back.
      steps: k, how often the weights go down the slope of d in a step.
      step_size: beta, of these plain gradient steps; about the learning rate of sgd, less with adam.
      teacher: global, the network after the previous task; local, the network before the step.
      temperature: T of d.
      second_order: whether look_ahead follows how Delta depends on the weights; needs plain sgd.
      rows: largest number of rows of X in project; a layer with fewer inputs than that hardly learns.
      ridge: delta of project, for rows that are alike.
      tolerance: how much of the change of a layer's outputs on X project leaves in a step (Frobenius norm).
    """

    usual = {"memory": "vae", "optimizer": "sgd", "learning_rate": 0.1}
    search = {"variant": ["look_ahead", "distill", "project"], "step_size": (0.01, 1.0)}

    def __init__(
        self,
        network,
        *,
        variant: Variant = "look_ahead",
        steps: int = 1,
        step_size: float = 0.1,
        teacher: Teacher = "global",
        temperature: float = 2.0,
        second_order: bool = False,
        rows: int = 64,
        ridge: float = 1e-3,
        tolerance: float = 0.0,
        **base,
    ):
        least = {"steps": steps, "step_size": step_size, "rows": rows, "tolerance": tolerance}
        for name, value in least.items():
            require(value >= 0, f"{name} is {value}; it must not be negative.")
        for name, value in {"temperature": temperature, "ridge": ridge}.items():
            require(value > 0, f"{name} is {value}; it must be above 0.")
        super().__init__(network, **base)
        self.variant = pick("variant", variant, get_args(Variant))
        self.k, self.beta, self.T, self.second_order = steps, step_size, temperature, second_order
        taught = pick("teacher", teacher, get_args(Teacher)) == "global" and variant != "project"
        self.teacher, self._teach = frozen_copy(self.network) if taught else (None, lambda: None)
        projected = variant == "project" and rows
        self.projection = Projection(self.network, rows, ridge, tolerance) if projected else None

    def compile(self, *given, **options):
        super().compile(*given, **options)
        require(
            not self.second_order or (self.variant == "look_ahead" and is_plain_sgd(self.optimizer)),
            "second_order is for variant=look_ahead and steps that are the gradient times the learning rate: "
            "give sgd without momentum, weight decay, clipping and averages.",
        )
        require(
            self.projection is None or not inner(self.optimizer).use_ema,
            "project takes back a part of each step, which an optimizer with use_ema has averaged before; "
            "give use_ema=False.",
        )
        if self.projection is not None:
            self.projection.jit = self.jit

    def train_step(self, batch):
        X, current = self.held_rows(batch), batch.current
        if self.projection is not None and X is not None:
            with self.projection.held(X):
                return self.take_step(current)
        if X is None or self.variant == "project":
            return self.take_step(current)
        y = self.held_probabilities(X)
        for _ in range(self.k if self.variant == "look_ahead" else 0):
            self.descend(self.slope_ahead(current, X, y, self.second_order), self.beta)
        results = self.take_step(current)
        for _ in range(self.k if self.variant == "distill" else 0):
            self.descend(self.slope(X, y), self.beta)
        return results

    def end_task(self, task):
        super().end_task(task)
        self._teach()
