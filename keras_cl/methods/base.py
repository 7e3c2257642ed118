"""ContinualModel: the base class of all continual-learning methods.

A method is a `tf_keras.Model` around a network. It overrides `train_step`, `begin_task` and `end_task`; this
class provides everything else that a step needs. An export contains only the network. A checkpoint contains
the model: the network, the state of the method and the optimizer.
"""

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import FiniteOptions, require
from keras_cl.learning import batches, loop, noise
from keras_cl.learning.augmenting import Augmenter, AugmentMixin
from keras_cl.learning.evaluation import EvaluationMixin
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.fitting import FittingMixin
from keras_cl.learning.keras3 import adopting
from keras_cl.learning.keras3_optimizers import translated
from keras_cl.learning.keras_api import REFUSED_BY_COMPILE, KerasMixin, refuse
from keras_cl.learning.layers import logits_of
from keras_cl.learning.losses import LossMixin
from keras_cl.learning.network import layers_of
from keras_cl.learning.order import OrderMixin
from keras_cl.learning.scenario import ScenarioMixin
from keras_cl.learning.slots import FreshState
from keras_cl.learning.training_data import TrainingDataMixin
from keras_cl.learning.updating import UpdateMixin
from keras_cl.regimes.base import Regime

PLAIN = (bool, int, float, str, tuple)


class ContinualModel(
    FiniteOptions,
    OrderMixin,
    FittingMixin,
    EvaluationMixin,
    LossMixin,
    KerasMixin,
    TrainingDataMixin,
    ScenarioMixin,
    AugmentMixin,
    UpdateMixin,
    keras.Model,
):
    """Base class of all methods.

    Args:
      network: `tf_keras.Model`, or a Keras 3 model, from raw images `[B, *input_shape]`, and optionally their
        task indices `[B]`, to logits `[B, C]` (docs/networks.md).
      seed: seed of all randomness in training; every task reseeds from (seed, task index).
      reset_optimizer: whether every task starts with a fresh optimizer state.
      isolate_heads: whether the optimizer's state, weight decay and averages leave the outputs of tasks that
        take no part in a step alone (task-incremental scenario); if not, they move these too, as usual.
      memory: optional `Memory` of rows of earlier tasks.
      augment: augmentations of the images of each step, in their order: names, as in ["crop", "mirror"], or
        those of `keras_cl.learning.augment` with options.
      augment_rows: which rows are augmented: current, those of the task; replayed, those of the memory; both.
    """

    # Scenarios that the method supports; the program rejects the others before it reads data.
    scenarios = ("task", "domain", "class")
    # Scenarios in which the method is known to forget nearly everything, so that this is not an error.
    forgets_in = ()
    # Hyperparameters worth searching: (low, high) is a range on a log scale, [a, b, c] a list of values.
    search = {}
    # Defaults that the method sets for choices and options, as in {"memory": "ring"}.
    usual = {}
    # Names of the supported memories, None for all; whether memories of generated rows, and of stored rows,
    # are among them.
    memories = None
    generated = stored = True
    # Reason why the Hessian of the network's cross entropy cannot be computed; empty if it can.
    no_curvature = ""
    # Reason why no other loss than the method's own is possible; empty if any loss of a row is.
    own_loss = ""
    # Whether the softmax of the logits are probabilities of the classes, so that there is a cross entropy.
    gives_probabilities = True
    # Whether `end_task` determines the predictions of the method; otherwise it must not change them.
    answers_at_end = False
    # Draws from the memory per step; 0 if the method uses the memory in another way.
    draws = 1
    # Whether rows are offered to the memory as they are trained on; otherwise `end_task` offers them once.
    online = False

    def __new__(cls, *args, **options):
        model = super().__new__(cls, *args, **options)
        # Arguments that `keras_cl.runs.provenance` records when a run begins.
        told = {n: v for n, v in options.items() if isinstance(v, PLAIN) and not n.startswith("augment")}
        object.__setattr__(model, "options", told)  # not tracked by Keras
        return model

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):  # which may look into the network before it comes to ours
            cls.__init__ = adopting(cls.__init__)

    @adopting
    def __init__(
        self,
        network,
        *,
        seed=0,
        reset_optimizer=True,
        isolate_heads=True,
        memory=None,
        augment=(),
        augment_rows="both",
        name=None,
    ):
        super().__init__(name=name or _name_of(type(self)))
        self._strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self.network = network
        noise.prepare(network)
        self.seed, self.reset_optimizer = seed, reset_optimizer
        require(memory is None or self.memories != (), f"{self.name} can have no memory.")
        self.memory = memory
        self.augment = Augmenter(augment, augment_rows)
        self.augment.require_possible(self)
        self.task = integers(name="task")
        self._begin_order()
        self._begin_scenario(isolate_heads)
        if getattr(memory, "by_features", False):
            feature_extractor(network)  # refuses networks that have none before anything is trained
        self._loss = keras.metrics.Mean("loss")
        self._accuracy = keras.metrics.Mean("accuracy")
        self._begin_forward(network)
        self._shuffles = self._rate_kept = self.regime = None
        self.jit = True  # until it is compiled
        self._compile_losses()

    def compile(
        self,
        optimizer="adam",
        loss=None,
        metrics=None,
        *,
        class_weight=None,
        regime=None,
        jit=None,
        run_eagerly=False,
        **other,
    ):
        """Sets the optimizer, the loss and how steps run.

        Args:
          optimizer: a tf_keras or Keras 3 optimizer, or its name.
          loss: None for the cross entropy; a Keras loss of integer labels or of one class per row, with
            from_logits=True; or a function of output units `[B]` and logits `[B, C]`, about -1e9 for classes
            that are not active, that returns the loss of each row `[B]`.
          metrics: list of Keras metrics of output units and logits, or of such functions.
          class_weight: `{output unit: factor of the loss of its rows}` in training.
          regime: a `Regime` for the learning rate; None for a constant rate.
          jit: whether XLA compiles the training loop; None chooses by the kind of network and of generator,
            from measurements, and False if XLA cannot compile it.
          run_eagerly: run step by step in Python, to debug a `train_step`.
          **other: other arguments of Keras: refused, each with the way that does.

        Raises:
          InputError: if the method has a loss of its own, or a loss or metric is not one of a row.
        """
        refuse("compile", other, REFUSED_BY_COMPILE)
        self._compile_losses(loss, metrics, class_weight)
        optimizer = keras.optimizers.get(translated(optimizer))
        if any(getattr(part, "compute_dtype", "") == "float16" for part in layers_of(self.network)):
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        super().compile(optimizer=optimizer, run_eagerly=run_eagerly)
        self.regime = regime or Regime()
        self._learning_rate = float(optimizer.learning_rate.numpy())  # initial rate of the regime
        self._compile_updates(jit)
        self._fresh_optimizer = FreshState(self.optimizer, self.trained)
        self.augment.require_rows(self)
        if self.memory is not None:
            self.memory.attach(self.network, self.jit)

    # ---- hooks that a method overrides -------------------------------------------------------------------

    def begin_task(self, task):
        """Prepares for training on `task`. No random state carries over from earlier tasks."""
        self.task.assign(task.index)
        self._shuffles = None
        self._begin_training(task)
        if self.memory is not None:
            self.memory.begin(task, self.reset_optimizer)
        self.regime.begin(task)

    def train_step(self, batch):
        """Takes one step on a `Batch` and returns `self.results(...)`. It must not branch on the task in
        Python, because it is traced once for the whole stream."""
        raise NotImplementedError(f"{type(self).__name__} has no train_step")

    def end_task(self, task):
        """Runs after the last step on `task`, before evaluation; offers the task's rows to the memory."""
        self._put_rate_back()
        if self.memory is not None and not self.online:
            self.memory.update(task, self.features)

    def after_steps(self, chunk):
        """Runs after a chunk of steps `[K, B, ...]`; writes its rows to a memory that takes rows online."""
        if self.memory is not None and self.online:
            self.memory.take(chunk)

    def begin_measurement(self, task):
        """Runs before the model is evaluated within a pass without tasks."""

    def training_tasks(self, task):
        """Tasks whose rows are trained on during `task`: only the bounds return other tasks, or none."""
        return [task]

    # ---- building blocks of a train_step -----------------------------------------------------------------

    def logits(self, batch):
        """Logits `[B, C]` in training mode, `MASKED` for inactive classes."""
        return self._masked(logits_of(self.network, batch.x, batch.task, training=True), batch.task)

    def task_loss(self, batch, logits):
        """Mean loss of the rows (cross entropy by default), plus the regularisation losses of the network."""
        losses = batch.labelled(lambda y: self.row_losses(y, logits))
        if batch.target is not None:  # the replayed rows come last and have probabilities as labels
            R = batch.target.shape[0]
            losses = tf.concat([losses[:-R], self.memory.entropy(batch.target, logits[-R:])], axis=0)
        losses = batch.counted(losses)
        mean = batches.weighted_mean(losses, batch.weight, batch.whole)
        return tf.math.add_n([mean, *self.network.losses, *self._heads.released()])

    def task_gradients(self, batch):
        """Logits `[B, C]` of the batch and the gradient of its `task_loss`."""
        with tf.GradientTape() as tape:
            logits = self.logits(batch)
            loss = self.task_loss(batch, logits)
        return logits, self.gradients(tape, loss)

    def gradients(self, tape, loss, whole=False):
        """Gradient of `loss` with respect to the trained variables; `whole` as in `Batch`."""
        return replicas.gradients(tape, loss, self.trained, self.optimizer, whole)

    def results(self, batch, logits):
        """Updates the loss and accuracy of the epoch with this batch and returns them."""
        self._measure(batch.y, logits, batch.weight, batch=batch)
        return replicas.results(self.metrics)

    # ---- runs ----------------------------------------------------------------------------------------------

    def report(self):
        """Numbers of the method to report after a task, `{name: number}`."""
        return {}

    @property
    def trained(self):
        """Variables that the steps train."""
        return self.network.trainable_variables

    @property
    def trainable_variables(self):
        """As `trained`: the variables of a generator are for its own optimizer."""
        return self.trained

    @property
    def method_variables(self):
        """State that the method keeps between tasks besides the network: importances, anchors, memories."""
        other = [
            self.task,
            self.turn,
            *(self.regime.variables if self.regime else ()),
            *self.network.variables,
            *(v for m in self.metrics for v in m.variables),
        ]
        known = {id(variable) for variable in other}
        return [variable for variable in self.variables if id(variable) not in known]

    # ---- Keras -------------------------------------------------------------------------------------------

    @property
    def metrics(self):
        learning = () if self.memory is None else self.memory.metrics
        return [self._loss, self._accuracy, *learning, *self.own_metrics]

    def make_train_function(self, force=False):
        """Makes `fit` run `K` steps per call (see `keras_cl.learning.loop`)."""
        if self.train_function is None or force:
            self.require_learning()
            self._heads.attach(self.optimizer, self.trained, layers_of(self.network))
            how = {"after": self.after_steps, "strategy": self._strategy}
            whole = self.jit and not self._alone
            self.train_function = loop.train_function(self, self._step, whole, **how)
        return self.train_function

    def _step(self, batch):
        """One iteration of the compiled loop: adds rows of the memory, takes the step, trains the memory."""
        if self.regime.changes:
            self.optimizer.learning_rate = self.regime.rate(self._learning_rate)
        batch = batch if self.memory is None else self.memory.mixed(batch)
        with self._heads.step(batch):
            results = self.train_step(self.augmented(batch))
        if self.memory is not None:
            self.memory.learn(batch)
        return results


def _name_of(method):
    """The file name of a method of this library, the lower-case class name of any other."""
    package, _, file = method.__module__.rpartition(".")
    return file if package == "keras_cl.methods" else method.__name__.lower()
