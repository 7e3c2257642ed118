r"""What keeps the features of images, v = f(x), near those of the network of the previous task.

$$ \text{distill: } \lVert f(x) - f_{t-1}(x) \rVert^2, \qquad
\text{ewc: } \sum_i F_i \left(\theta_i - \theta^*_i\right)^2, \quad
F_i = \sum_{k < t} \mathbb{E}_{x \sim D_k} \sum_j
\left( \frac{\partial f_j(x)}{\partial \theta_i} \right)^2 $$

F is the Fisher information of N(f(x), I), so that to second order both measure the same change of features:
distill on the images of the task, ewc on those of the tasks before.
"""

import contextlib
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from keras_cl.errors import pick, require
from keras_cl.importance.moments import Moments, Signals, drawn
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.learning.batches import weighted_mean
from keras_cl.learning.layers import frozen_copy
from keras_cl.learning.network import layers_of
from keras_cl.learning.progress import QUIET
from keras_cl.learning.slots import slots
from keras_cl.sources.lazy import selected

Mode = Literal["frozen", "distill", "ewc", "free"]


class HeldEmbedder(tf.Module):
    """f, and what holds it after the first task.

    Args:
      embedder: model from raw images to features `[B, d]`, f.
      mode: frozen, its weights do not change; distill and ewc, as above; free, nothing holds it.
      distill_weight, ewc_weight: factors of what these add to the loss.
      task: variable with the index of the current task.
    """

    def __init__(self, embedder, mode, distill_weight, ewc_weight, task):
        super().__init__()
        for name, weight in (("distill", distill_weight), ("ewc", ewc_weight)):
            require(weight >= 0, f"{name}_weight is {weight}; it must not be negative.")
        self.embedder, self.distill_weight, self.task = embedder, distill_weight, task
        self.mode = pick("embedder", mode, get_args(Mode))
        for layer in layers_of(embedder) if mode == "frozen" else ():
            require(
                not getattr(layer, "activity_regularizer", None),
                f"A frozen embedder has no loss after the first task, and the layer {layer.name} regularises "
                f"its activity; give it no activity_regularizer, or another embedder mode.",
            )
        if mode == "distill":
            self.teacher, self._teach = frozen_copy(embedder)
        if mode == "ewc":
            self._squares = Moments(embedder, _signed, power=2)
            self.quadratic = QuadraticPenalty(embedder.trainable_variables, ewc_weight, merge="sum")

    def __call__(self, x):
        """Features of raw images in training mode; of a frozen f, as they are outside of training."""
        if self.mode != "frozen":
            return self.embedder(x, training=True)

        def trained():
            return self.embedder(x, training=True)

        def fixed():
            return tf.stop_gradient(self.embedder(x, training=False))

        return tf.cond(self.task > 0, fixed, trained)

    def penalty(self, batch, v):
        """What is added to the loss of a step, whose images have the features `v` `[B, d]`."""
        if self.mode == "ewc":
            return self.quadratic.value()  # 0 in the first task: no weight is important yet
        if self.mode != "distill":
            return 0.0
        change = tf.cast(v, tf.float32) - tf.cast(self.teacher(batch.x, training=False), tf.float32)
        distance = weighted_mean(tf.reduce_sum(change**2, axis=1), batch.weight)
        return tf.where(self.task > 0, self.distill_weight * distance, 0.0)

    @contextlib.contextmanager
    def kept(self, optimizer, weights):
        """Around the update of `weights` by an optimizer: a frozen f keeps its own, and their state in it."""
        own = {id(v) for v in self.embedder.trainable_variables if self.mode == "frozen"}
        kinds = [weights, *slots(optimizer, weights)]
        held = [v for kind in kinds for v, theta in zip(kind, weights, strict=True) if id(theta) in own]
        before = [tf.identity(variable) for variable in held]
        yield
        for variable, value in zip(held, before, strict=True):
            variable.assign(tf.where(self.task > 0, value, variable))

    def end_task(self, x, seed, jit=True, progress=QUIET):
        """Remembers f as it is after a task with the raw images `x`.

        Args:
          x: `[n, ...]`, numpy.
          seed: seed of the draws for the Fisher information.
          jit: whether XLA compiles its pass.
          progress: the `Progress` that shows it.
        """
        if self.mode == "distill":
            self._teach()
        if self.mode == "ewc":
            rng = np.random.default_rng(seed)
            x = selected(x, drawn(rng, len(x), self._squares.usual_samples(x)))
            # The mean over signs s of (d s.f / d theta)^2 is the sum over j of (d f_j / d theta)^2.
            signs = rng.choice(np.float32([-1, 1]), (len(x), self.embedder.output_shape[-1]))
            self.quadratic.update(self._squares(x, of_rows=(signs,), jit=jit, progress=progress))


def _signed(v, signs):
    return Signals(lambda m: (tf.cast(signs, v.dtype), tf.ones(tf.shape(v)[0])), tf.constant(1))
