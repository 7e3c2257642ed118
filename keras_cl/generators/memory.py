"""Generative memory: replays generated images, labelled by the network of the previous task.

In each step of task t a frozen copy of the generator, G_{t-1}, generates images and a frozen copy of the
network, S_{t-1}, labels them. The method and the generator both learn from these and from the rows of the
task (Shin et al. 2017, arXiv:1705.08690; van de Ven and Tolias 2018, arXiv:1809.10635). Everything runs
inside the compiled loop: no generated image is stored, and a step costs the same in every task.
"""

from typing import get_args

import numpy as np
import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.devices.state import integers
from keras_cl.errors import Diverged, FiniteOptions, pick, require
from keras_cl.generators.codes import Codes
from keras_cl.generators.drawn import Drawn
from keras_cl.generators.options import Labels, Weighting
from keras_cl.generators.reserved import Generated
from keras_cl.learning import loop
from keras_cl.learning.batches import normalised
from keras_cl.learning.layers import MASKED, ROWS_AT_ONCE, frozen_copy, logits_of
from keras_cl.learning.progress import QUIET
from keras_cl.learning.slots import FreshState
from keras_cl.numerics.random import GENERATE, LATENT, seed_of


class GenerativeMemory(FiniteOptions, tf.Module):
    """Base class of generative memories.

    Args:
      generator: a compiled Keras model such as `keras_cl.generators.VAE` or `GAN`.
      labels: labels of generated rows: hard, the most likely class under S_{t-1}; soft, its probabilities at
        `temperature`; condition, the class that was requested from the generator.
      temperature: T of soft labels.
      scale_by_t2: whether the cross entropy of soft labels is multiplied by T^2.
      weighting: weights of current and generated rows, for the method and the generator: share, 1/t and 1 -
        1/t; constant, `current` and 1 - `current`; mean, all rows equally.
      current: weight of the current rows if weighting is constant.
      epochs: epochs in which the generator is trained separately, after the method has learned the task; 0 to
        train it in the method's steps.
      seed: seed of all draws.
    """

    generates = True  # read by the catalog of choices
    of_images = True  # whether what it generates can be shown, exported and judged as images
    progress = QUIET  # shows its training; set by a run
    needs_boundaries = "learns task by task"
    by_row = False  # it learns the rows of a task; they are not offered one by one
    rehearses = True  # whether the generator, too, learns from generated rows

    def __init__(
        self,
        generator,
        *,
        labels="hard",
        temperature=2.0,
        scale_by_t2=True,
        weighting="share",
        current=0.5,
        epochs=0,
        seed=0,
    ):
        super().__init__()
        pick("labels", labels, get_args(Labels))
        pick("weighting", weighting, get_args(Weighting))
        require(temperature > 0, f"temperature is {temperature}; it must be above 0.")
        require(0 <= current <= 1, f"current is {current}; it must be at least 0 and at most 1.")
        require(epochs >= 0, f"epochs is {epochs}; it must not be negative.")
        require(
            labels != "condition" or generator.conditions,
            "labels=condition takes the class that a conditional generator was asked for; this one is none.",
        )
        self.generator, self.seed, self.epochs = generator, seed, epochs
        self.labels, self.temperature = labels, temperature
        self.scaling = temperature**2 if scale_by_t2 else 1.0
        self.weighting, self.share = weighting, current
        self.task = integers(name="task")  # index of the current task
        self.state = integers([0, 0], "state")  # seed and step of the draws
        self._data = self._scenario = None

    # ---- hooks that a model calls ------------------------------------------------------------------------

    def attach(self, network, jit):
        """Creates the frozen copies; `network` becomes the labeller, `jit` is that of the method's loop."""
        self.solver, self._copy_solver = self.copied(network)
        self.pixels, self._copy_pixels = self.copied(self.generator.pixels)
        self._shared = {id(variable) for variable in network.variables}
        self._fresh = [FreshState(*pair) for pair in self.generator.optimizers]
        # Traced once per number of rows, not per task.
        self._block = tf.function(self._drawn, jit_compile=jit)
        strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self._alone = loop.train_function(self.generator, self._learn_mixed, jit, strategy=strategy)

    def copied(self, model):
        """A frozen copy of a model, and the function that brings it up to date."""
        return frozen_copy(model)

    def bind(self, stream):
        """Receives the stream that describes the rows, once: its data are constants of the traced step."""
        if self._scenario is not None:
            return
        self._scenario, self.generator.scale = stream.scenario, stream.source.scale
        self.codes, self._seen = Codes(self.generator, stream), tf.constant(stream.class_mask)
        self.row_bytes = stream.row_bytes

    def begin(self, task, reset_optimizer=True):
        """Prepares for `task`; its draws depend only on the seed."""
        self.bind(task.stream)
        self.task.assign(task.index)
        self.state.assign([seed_of(self.seed, task.index, GENERATE), 0])
        self.generator.reseed(seed_of(self.seed, task.index, LATENT))
        for fresh in self._fresh if reset_optimizer else ():
            fresh.restore()

    def require_conditions(self, name):
        """Raises `InputError` unless the generator, which the method `name` trains, is conditional."""
        require(
            self.generator.conditions,
            f"{name} keeps the classes of a conditional generator, and this one is not: give "
            "--memory.conditional.",
        )

    def protect(self, penalty):
        """Trains the generator on the rows of the task alone, with `penalty` added to its loss: a function of
        their batch that keeps what it learned of earlier tasks."""
        self.rehearses, self.generator.penalty = False, penalty

    def require_room(self, size):
        """Accepts any size: a generator can generate any number of rows."""

    def require_images(self, stream):
        """Raises `InputError` if images are not pixels, that is, have scaled values below 0 or above 1."""
        stream.source.require_pixels("A generator's pixels are in [0, 1]")

    def plan(self, y, task, *, index, size, **_):
        """The memory's part of the data pipeline of a task; None in the first, before anything is learned."""
        return Generated(size) if index else None

    def watch(self, data):
        """Keeps the data set that the method learns from, for separate training of the generator."""
        self._data = data

    def mixed(self, batch):
        """The batch of a step with generated rows appended, and with the weights of both parts."""
        if batch.drawn is None:
            return batch
        B, R = batch.x.shape[0], batch.drawn.shape[0]
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        drawn = self._drawn(R, seed, step, self.task)
        # The incomplete last batch of an epoch gets the same ratio of generated to current rows.
        real = replicas.summed(tf.math.count_nonzero(batch.weight, dtype=tf.int32))
        weight = tf.cast(replicas.places(R) * B < R * real, tf.float32)
        return batch._replace(
            x=tf.concat([self.inputs(batch.x), drawn.x], axis=0),
            y=tf.concat([batch.y, drawn.y], axis=0),
            task=tf.concat([batch.task, drawn.task], axis=0),
            weight=tf.concat(self._weighted(batch.weight, weight), axis=0),
            target=drawn.target if self.labels == "soft" else None,
            condition=drawn.condition,
        )

    def inputs(self, x):
        """What the generator generates, of raw images `[B, ...]`: the images, as floats."""
        return tf.cast(x, tf.float32)

    def learn(self, batch):
        """Takes the generator's step on a batch of the method, unless it is trained separately later."""
        if not self.epochs:
            batch = batch if self.rehearses else _alone(batch)
            self.generator.train_step(self._conditioned(batch))

    def update(self, task, features=None):
        """Ends `task`: trains the generator if that is done separately, and updates the frozen copies."""
        if self.epochs:
            self._learn_alone(task)
        for optimizer, weights in self.generator.optimizers:  # it may have averages of the weights to end in
            optimizer.finalize_variable_values(weights)
        # The loss does not always show it: nonlinearities of a network can hide NaN weights.
        if not all(np.isfinite(weight).all() for weight in self.generator.get_weights()):
            raise Diverged(f"The generator's weights are no longer finite after task {task.number}")
        self._copy_solver()
        self._copy_pixels()
        self._data = None

    def entropy(self, target, logits):
        """Cross entropy `[R]` between soft labels `[R, C]` and logits `[R, C]`."""
        log_s = tf.nn.log_softmax(logits / self.temperature)
        return -self.scaling * tf.reduce_sum(tf.where(target > 0, target * log_s, 0.0), axis=1)

    @property
    def prefers_xla(self):
        """Whether the generator's steps are faster with XLA on this device."""
        return loop.prefers_xla(self.generator)

    @property
    def metrics(self):
        """The generator's metrics if it learns in the method's steps."""
        return [] if self.epochs else self.generator.metrics

    def report(self):
        """The generator's losses in its last training epoch."""
        return {metric.name: float(metric.result()) for metric in self.generator.metrics}

    @property
    def kept(self):
        """Variables that are kept between tasks: the generator's, without those shared with the network."""
        own = [*self.generator.trainable_variables, *self.generator.pixels.non_trainable_variables]
        return [theta for theta in own if id(theta) not in self._shared]

    def __len__(self):
        return 0  # stored rows

    # ---- generating rows ---------------------------------------------------------------------------------

    def generated(self, n, seed, tasks):
        """`(x, y, task)` of `n` generated rows of the first `tasks` tasks, with labels; raw images as floats.

        Args:
          n: number of rows.
          seed: seed of the draws, from 0 to 2^31 - 1.
          tasks: number of finished tasks to generate rows of.
        """
        return self._blocks(n, seed, tasks)[:3]

    def predicted(self, n, seed, tasks):
        """The rows of `generated` with the most likely classes under the network, whatever their labels."""
        x, _, task, predicted = self._blocks(n, seed, tasks)
        return x, predicted, task

    def _blocks(self, n, seed, tasks):
        size = min(max(n, 1), ROWS_AT_ONCE)
        blocks = [
            self._block(size, *tf.constant([seed, block, max(tasks, 1)], tf.int64))[:4]
            for block in range(max(-(-n // size), 1))
        ]
        return tuple(np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True))

    def _drawn(self, R, seed, step, tasks):
        """R rows of the first `tasks` tasks, a `Drawn`."""
        codes, condition, task = self.codes(R, seed, step, tasks)
        x = self.generator.images(self.pixels(codes)) / self.generator.scale
        x = tf.reshape(x, [R, *self.generator.image_shape])
        answers = tf.gather(self._seen, task if self._scenario == "task" else tasks - 1)
        logits = tf.where(answers, logits_of(self.solver, x, task), MASKED)
        target = tf.nn.softmax(logits / self.temperature)
        predicted = tf.argmax(logits, axis=1, output_type=tf.int32)
        y = condition if self.labels == "condition" else predicted
        return Drawn(x, y, task, predicted, target, condition)

    def conditions(self, tasks):
        """Conditions that a conditional generator supports after `tasks` tasks: classes, or task indices."""
        return self.codes.conditions(tasks)

    def _weighted(self, current, generated):
        """Weights of both parts, which sum to 1 except for `mean`."""
        if self.weighting == "mean":
            return [current, generated]
        t = tf.cast(self.task + 1, tf.float32)
        share = 1 / t if self.weighting == "share" else self.share
        return [share * normalised(current), (1 - share) * normalised(generated)]

    # ---- training the generator --------------------------------------------------------------------------

    def _conditioned(self, batch):
        """The batch as the generator expects it, with its conditions as `y`."""
        return batch._replace(y=batch.task) if self._scenario == "domain" else batch

    def _learn_mixed(self, batch):
        batch = self.mixed(batch) if self.rehearses else batch._replace(drawn=None)
        self.generator.train_step(self._conditioned(batch))

    def _learn_alone(self, task):
        require(self._data is not None, "The generator learns from batches(task); call that before end_task.")
        chunks = int(self._data.cardinality())
        iterator = iter(self._data.repeat(self.epochs))
        with self.progress.phase("training of the generator", self.epochs * chunks) as advance:
            for step in range(self.epochs * chunks):
                if not step % chunks:
                    for metric in self.generator.metrics:
                        metric.reset_state()
                for name, loss in self._alone(iterator).items():
                    if not np.isfinite(loss):
                        place = f"task {task.number}, epoch {step // chunks + 1}/{self.epochs} of its own"
                        owner = name.removesuffix("_loss")
                        raise Diverged(f"The {owner}'s loss became {float(loss)} in {place}")
                advance()


def _alone(batch):
    """The rows of the task, with the weights that they have without generated ones beside them."""
    return batch.current._replace(weight=tf.sign(batch.current.weight))
