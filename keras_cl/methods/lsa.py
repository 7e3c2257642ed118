r"""Latent space alignment: learned bridges lead from the features of a task back to those of earlier tasks.

An idea of a course on generative memories, without a paper; algorithm and settings are ours.

$$ p(y \mid x, k) = h_k(g_k \circ \dots \circ g_{T-1}(f_T(x))) $$

$$ g_{t-1} = \arg\min_g\;
\mathbb{E}_{x \sim A} \lVert g(f_t(x)) - f_{t-1}(x) \rVert^2
+ \lambda\, \mathrm{KL}\left(p_{t-1}(x) \,\Vert\, p_{t-1}^g(x)\right) $$
"""

from typing import Literal, get_args

from keras_cl.errors import pick, require
from keras_cl.learning.bridges import Alignment, bridged, bridges_of, redrawn
from keras_cl.methods.base import ContinualModel

Init = Literal["sequential", "independent"]
Bridge = Literal["mlp", "linear"]


class LSA(ContinualModel):
    """Trains f_t and head h_t by CE_t; then a bridge, g: E ||g(f_t(x)) - f_{t-1}(x)||^2 + distillation * KL

    Nothing keeps the features f from drifting. Head k of an earlier task gets g_k(...(g_{t-1}(f_t(x)))). The
    bridge is fitted at the end of a task, to the rows of the task, or to what `memory` gives: images of a
    generator, or stored rows. The network learns from the rows of the task alone. f_{t-1} is then dropped.

    Args:
      network: raw images to logits; f is the input of its last dense layer, h_k are its outputs for task k.
      tasks: number of tasks, one more than bridges.
      init: weights of f_t before task t: sequential, those of f_{t-1}; independent, new initial weights.
      bridge: mlp, with one hidden layer; linear, affine, fitted from the identity.
      hidden: units of the hidden layer of the bridge mlp.
      bridge_iterations: steps in which a bridge is fitted, with the batch size of the method.
      bridge_learning_rate: learning rate of Adam in these steps.
      distillation: lambda, weight of the divergence between the answers of head t-1 before and after g.
      temperature: divides the logits in this divergence.
    """

    scenarios = ("task",)
    usual = {"network.hidden": (256, 64)}
    answers_at_end = True
    no_curvature = "answers earlier tasks through bridges"
    search = {"bridge": ["mlp", "linear"], "distillation": [0.0, 1.0]}

    def __init__(
        self,
        network,
        *,
        tasks: int = 5,
        init: Init = "sequential",
        bridge: Bridge = "mlp",
        hidden: int = 128,
        bridge_iterations: int = 300,
        bridge_learning_rate: float = 1e-3,
        distillation: float = 0.0,
        temperature: float = 2.0,
        **base,
    ):
        require(hidden >= 1, f"hidden is {hidden}; a bridge needs at least one hidden unit.")
        require(bridge_iterations >= 1, f"bridge_iterations is {bridge_iterations}; give at least 1.")
        require(
            base.get("isolate_heads", True),
            "lsa leaves earlier heads as they are: isolate_heads cannot be false.",
        )
        self._independent = pick("init", init, get_args(Init)) == "independent"
        require(
            base.get("reset_optimizer", True) or not self._independent,
            "init=independent begins anew at every task, its optimizer too: reset_optimizer cannot be false.",
        )
        linear = pick("bridge", bridge, get_args(Bridge)) == "linear"
        super().__init__(bridged(network, tasks, 0 if linear else hidden), **base)
        self.tasks, self.iterations, self._r2 = tasks, bridge_iterations, 1.0
        fitted = {"distillation": distillation, "temperature": temperature, "seed": self.seed}
        self._alignment = Alignment(self.network, learning_rate=bridge_learning_rate, **fitted)

    def begin_task(self, task):
        there, stream = self.tasks, task.stream
        require(
            len(stream) <= there, f"lsa has heads for {there} tasks, and {stream.name} has {len(stream)}."
        )
        if task.index:
            self._alignment.keep()
            if self._independent:
                f = self._alignment.features
                f.set_weights(redrawn(f, self.seed, task.index))
        super().begin_task(task)
        bridges_of(self.network).owner.assign((task.stream.labels >= 0).argmax(axis=0))

    def batches(self, *given, **options):
        self._alignment.data = super().batches(*given, **options)
        return self._alignment.data

    def train_step(self, batch):
        batch = batch.current
        with self._heads.step(batch):  # not those of replayed rows
            logits, gradients = self.task_gradients(batch)
            self.apply(gradients)
        return self.results(batch, logits)

    def end_task(self, task):
        if task.index:
            self._align(task)
        self._alignment.data = None
        super().end_task(task)

    def report(self):
        """R^2 of the last bridge on images of its task; 1 after the first task, which has none."""
        return {"alignment_r2": self._r2}

    def _align(self, task):
        """Fits the bridge from `task` to the one before."""
        require(self._alignment.data is not None, "lsa aligns on batches(task); call that before end_task.")
        self._alignment.compile(self._rows, self.jit, self.run_eagerly, self._strategy)
        self._alignment.fit(self.iterations, f"task {task.number}", self.progress)
        self._r2 = self._alignment.add(task.train.open()[0])

    def _rows(self, batch):
        return batch if self.memory is None else self.memory.mixed(batch).replayed()
