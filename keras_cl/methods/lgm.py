r"""Latent generative memory: replays features of earlier classes, generated in front of the last layer.

There is no paper: models of features by a GAN or a VAE are from the released code of Skorokhodov and
Elhoseiny 2021 (arXiv:2006.11328), in its early history; Gaussians and the transport of features are our own.

$$ \mathcal{L}_t = \frac{1}{t} \mathrm{CE}(h(f(x)), y) + \left(1 - \frac{1}{t}\right) \mathrm{CE}(h(v'), c)
+ \lambda_f \lVert f(x) - f_{t-1}(x) \rVert^2, \qquad v' \sim p_{t-1}(v \mid c) $$

$$ v' \to v' A + b, \quad (A, b) = \arg\min \sum_{x \in D_t} \lVert f_{t-1}(x) A + b - f_t(x) \rVert^2
+ \rho \left( \lVert A - I \rVert^2 + \lVert b \rVert^2 \right) $$
"""

import tensorflow as tf

from keras_cl.errors import require
from keras_cl.generators.features import affine_change, relative_change
from keras_cl.generators.trained_features import Backend, feature_memory
from keras_cl.importance.embedder import HeldEmbedder, Mode
from keras_cl.learning.batches import total
from keras_cl.learning.features import embedder_and_head
from keras_cl.methods.base import ContinualModel
from keras_cl.numerics.random import IMPORTANCE, seed_of


class LGM(ContinualModel):
    """L = 1/t CE(h(f(x)), y) + (1 - 1/t) CE(h(v'), c) + distill_weight ||f(x) - f_{t-1}(x)||^2

    v' are as many generated features as rows, each old class c with equal probability; only the head h learns
    from them. When a task ends, the model of old features follows what the task did to f, by an affine map
    fitted on its images, and learns the new features. A first task of few classes leaves f poor features.

    Args:
      network: raw images to logits; f is all up to the input of its last dense layer, h the rest.
      backend: what models old features: gauss, a mean and a covariance of each class; cvae or cgan, a
        conditional VAE or GAN, trained after the task.
      embedder: what f may do after the first task: frozen, nothing; distill, stay near its features of the
        task's images; ewc, stay near by the Fisher information of the features; free, anything.
      distill_weight: lambda_f, weight of the squared distance of distill.
      ewc_weight: weight of the penalty of ewc.
      transport: whether old features are moved along with f.
      ridge: rho, pulls the map of the transport towards the identity.
      hidden: widths of the hidden layers of cvae and cgan.
      latent: length of the codes of cvae and cgan.
      memory_iterations: steps of cvae and cgan on the features of a task, in whole passes over them.
      align: weight of the squared distance of what cvae and cgan generate from what they generated before the
        task, moved along with f, for the same codes; beside their replay.
    """

    usual = {"network.hidden": (256, 64)}
    memories = ()
    draws = 0  # generated features are no rows of the pipeline
    no_mixing = "learns from generated features of single classes"
    search = {"embedder": ["frozen", "distill", "ewc", "free"], "distill_weight": (0.1, 10.0)}

    def __init__(
        self,
        network,
        *,
        backend: Backend = "gauss",
        embedder: Mode = "distill",
        distill_weight: float = 1.0,
        ewc_weight: float = 10.0,
        transport: bool = True,
        ridge: float = 0.1,
        hidden: tuple[int, ...] = (256,),
        latent: int = 32,
        memory_iterations: int = 2000,
        align: float = 0.0,
        **base,
    ):
        require(ridge >= 0, f"ridge is {ridge}; it must not be negative.")
        super().__init__(network, **base)
        f, self.head = embedder_and_head(self.network)
        self.embedder = HeldEmbedder(f, embedder, distill_weight, ewc_weight, self.task)
        options = {"hidden": hidden, "latent": latent, "iterations": memory_iterations, "align": align}
        self.memory = feature_memory(backend, f, self.head, seed=self.seed, **options)
        self.transport, self.ridge = transport, ridge
        self.drift = tf.Variable(0.0, trainable=False, name="drift")

    def _bind(self, stream):
        super()._bind(stream)
        self.memory.bind(stream)

    def begin_task(self, task):
        super().begin_task(task)
        self._before = self.features(task.train.open()[0]) if task.index else None

    def train_step(self, batch):
        B = batch.x.shape[0]
        v_old, c, task = self.memory.drawn(B)
        # All v' together weigh t - 1 times as much as the rows of the task.
        weight = tf.cast(self.task, tf.float32) * total(batch.weight) / total(tf.ones(B))
        rows = (batch.y, c), (batch.task, task), (batch.weight, tf.fill([B], weight))
        y, task, weight = (tf.concat(pair, axis=0) for pair in rows)
        with tf.GradientTape() as tape:
            v = self.embedder(batch.x)
            z = [self.head(part, training=True) for part in (v, tf.cast(v_old, v.dtype))]
            logits = self._masked(tf.concat(z, axis=0), task)
            loss = self.task_loss(batch._replace(y=y, task=task, weight=weight), logits)
            loss += self.embedder.penalty(batch, v)
        with self.embedder.kept(self.optimizer, self.trained):
            self.apply(self.gradients(tape, loss))
        return self.results(batch, logits[:B])

    def end_task(self, task):
        super().end_task(task)
        x, y = task.train.open()
        V = self.features(x)
        if self._before is not None:
            self.drift.assign(relative_change(self._before, V))
            if self.transport and (self._before != V).any():
                self.memory.move(*affine_change(self._before, V, self.ridge))
        self.memory.learned(task, V, y)
        self.embedder.end_task(x, seed_of(self.seed, task.index, IMPORTANCE), self.jit, self.progress)
        del self._before

    def report(self):
        """How much a task changed the features of its images, and the part of generated ones h gets right."""
        right = self.memory.accuracy(int(self.task.numpy()) + 1) if self.begun else 0.0
        return {"drift": float(self.drift.numpy()), "replay_accuracy": right}
