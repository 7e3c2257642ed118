"""A generator as a memory: it replays what it learned, labelled by the network of the task before.

In each step of task t a frozen copy of the generator, G_{t-1}, draws images, and a frozen copy of the
network, S_{t-1}, says what they show; method and generator both learn from them and from the task's own rows
(Shin et al. 2017, arXiv:1705.08690; van de Ven and Tolias 2018, arXiv:1809.10635). Everything happens inside
the compiled loop: nothing that is generated is stored, and a step costs the same in every task.
"""

import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.devices import replicas
from keras_cl.errors import Diverged, require
from keras_cl.learning import loop
from keras_cl.learning.batches import total
from keras_cl.learning.layers import MASKED, ROWS_AT_ONCE, frozen_copy, logits_of
from keras_cl.numerics.random import GENERATE, LATENT, random_normal, random_uniform, seed_of


class GenerativeMemory(tf.Module):
    """Base class of memories that generate.

    Args:
      generator: a compiled Keras model such as `keras_cl.generators.VAE`.
      labels: of generated rows: hard, the class that S_{t-1} finds most likely; soft, its probabilities at
        `temperature`; condition, the class that the generator was asked for.
      temperature: T of soft labels.
      scale_by_t2: whether their cross entropy is multiplied by T^2.
      weighting: of current and generated rows, for the method and for the generator. share, 1/t and 1 - 1/t;
        constant, `current` and 1 - `current`; mean, every row alike.
      current: weight of the current rows where weighting is constant.
      epochs: passes over the task's rows that the generator learns in by itself when the method has learned
        the task; 0 for learning in the method's own steps.
      seed: of everything that is generated.
    """

    generates = True  # for those that ask what may be chosen
    by_row = False  # it learns a task's rows and is not offered them one by one

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
        self.task = tf.Variable(0, trainable=False, name="task")  # index of the current one
        self.state = tf.Variable([0, 0], trainable=False, name="state")  # seed and step of what is drawn
        self._data = self._scenario = None

    # ---- what a model asks of its memory -----------------------------------------------------------------

    def attach(self, network, jit):
        """Makes the frozen copies; `network` is the one that labels, `jit` as for the method's own loop."""
        self.solver, self._copy_solver = frozen_copy(network)
        self.pixels, self._copy_pixels = frozen_copy(self.generator.pixels)
        self._shared = {id(variable) for variable in network.variables}
        self._optimizer = self.generator.optimizer.variables if self.generator.optimizer else []
        self._fresh = [variable.numpy() for variable in self._optimizer]
        # Traced for each number of rows and never for each task.
        self._block = tf.function(self._drawn, jit_compile=jit)
        strategy = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        self._alone = loop.train_function(self.generator, self._learn_mixed, jit, strategy=strategy)

    def bind(self, stream):
        """Takes from a stream what it says about rows, once: constants of the traced step."""
        if self._scenario is not None:
            return
        self._scenario, self.generator.scale = stream.scenario, stream.source.scale
        own = stream.labels >= 0
        self._own, self._seen = tf.constant(own), tf.constant(stream.class_mask)
        self._known_units = np.logical_or.accumulate(own)  # [T, C]: those of the tasks up to each
        self.row_bytes = int(np.prod(stream.input_shape)) * stream.source.dtype.itemsize + 1

    def begin(self, task, reset_optimizer=True):
        """Prepares for `task`: its draws depend on nothing but the seed."""
        self.bind(task.stream)
        self.task.assign(task.index)
        self.state.assign([seed_of(self.seed, task.index, GENERATE), 0])
        self.generator.reseed(seed_of(self.seed, task.index, LATENT))
        if reset_optimizer:
            for variable, value in zip(self._optimizer, self._fresh, strict=True):
                variable.assign(value)

    def require_room(self, size):
        """A generator gives as many rows as are asked for."""

    def require_images(self, stream):
        """Refuses images that are no pixels: those with values below 0 or above 1 after scaling."""
        x, _ = stream.source.train
        low, high = (float(value) * stream.source.scale for value in (np.min(x), np.max(x)))
        require(
            low >= 0 and high <= 1 + 1e-6,
            f"A generator takes pixels for probabilities, in [0, 1], and those of {stream.source.name} go "
            f"from {low:g} to {high:g}; scale them first.",
        )

    def plan(self, y, task, *, index, size, **_):
        """The part of `batches` in `task`: none in the first, where nothing can be generated yet."""
        return Generated(size) if index else None

    def watch(self, data):
        """Keeps the data set that the method learns from, for passes of the generator's own."""
        self._data = data

    def mixed(self, batch):
        """The batch of a step with generated rows behind its own, and with their weights."""
        if batch.drawn is None:
            return batch
        B, R = batch.x.shape[0], batch.drawn.shape[0]
        seed, step = tf.unstack(self.state)
        self.state.assign([seed, step + 1])
        x, y, task, target = self._drawn(R, seed, step, self.task)
        # As many rows for each current one in the last batch of an epoch, which is not full, as in others.
        real = replicas.summed(tf.math.count_nonzero(batch.weight, dtype=tf.int32))
        weight = tf.cast(replicas.places(R) * B < R * real, tf.float32)
        return batch._replace(
            x=tf.concat([tf.cast(batch.x, tf.float32), x], axis=0),
            y=tf.concat([batch.y, y], axis=0),
            task=tf.concat([batch.task, task], axis=0),
            weight=tf.concat(self._weighted(batch.weight, weight), axis=0),
            target=target if self.labels == "soft" else None,
        )

    def learn(self, batch):
        """The generator's own step on a batch of the method, unless it learns by itself later."""
        if not self.epochs:
            self.generator.train_step(self._conditioned(batch))

    def update(self, task, features=None):
        """Ends `task`: the generator learns by itself if it is to, and what was learned is copied."""
        if self.epochs:
            self._learn_alone(task)
        # The loss does not always tell: a network's nonlinearities can hide weights that are no numbers.
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
    def metrics(self):
        """The generator's metrics where it learns in the method's steps."""
        return [] if self.epochs else self.generator.metrics

    def report(self):
        """The generator's loss in the last epoch that it learned in."""
        return {metric.name: float(metric.result()) for metric in self.generator.metrics}

    @property
    def kept(self):
        """Variables that outlast a task: the generator's, less those that it shares with the network."""
        return [theta for theta in self.generator.trainable_variables if id(theta) not in self._shared]

    def __len__(self):
        return 0  # rows held

    # ---- what is generated -------------------------------------------------------------------------------

    def generated(self, n, seed, tasks):
        """`(x, y, task)` of `n` generated rows, labelled as of `tasks` finished ones; raw images as floats.

        Args:
          n: rows.
          seed: of the draws, a non-negative int32.
          tasks: number of tasks that are generated.
        """
        size = min(max(n, 1), ROWS_AT_ONCE)
        blocks = [
            self._block(size, *map(tf.constant, (seed, block, max(tasks, 1))))[:3]
            for block in range(max(-(-n // size), 1))
        ]
        return tuple(np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True))

    def _drawn(self, R, seed, step, tasks):
        """`(x, y, task, target)` of R rows of the first `tasks` tasks; `target` their probabilities."""

        def drawn(random, number, shape):
            return replicas.drawn(functools.partial(random, seed, 3 * step + number), shape)

        z = drawn(random_normal, 0, [R, self.generator.latent])
        task = _below(tasks, drawn(random_uniform, 1, [R]))
        condition = None
        if self.generator.conditions and self._scenario == "domain":
            condition = task
        elif self.generator.conditions:  # a class that some task has, and that task
            known = tf.gather(self._known_units, tasks - 1)
            units = tf.argsort(tf.cast(known, tf.int32), direction="DESCENDING", stable=True)
            count = tf.math.count_nonzero(known, dtype=tf.int32)
            condition = tf.gather(units, _below(count, drawn(random_uniform, 2, [R])))
            task = tf.argmax(tf.gather(self._own, condition, axis=1), axis=0, output_type=tf.int32)
        codes = z if condition is None else [z, tf.one_hot(condition, self.generator.conditions)]
        x = tf.sigmoid(self.pixels(codes)) / self.generator.scale
        x = tf.reshape(x, [R, *self.generator.image_shape])
        answers = tf.gather(self._seen, task if self._scenario == "task" else tasks - 1)
        logits = tf.where(answers, logits_of(self.solver, x, task), MASKED)
        target = tf.nn.softmax(logits / self.temperature)
        y = tf.argmax(logits, axis=1, output_type=tf.int32) if self.labels != "condition" else condition
        return x, y, task, target

    def conditions(self, tasks):
        """What a conditional generator can be asked for after `tasks` tasks: classes, or tasks by index."""
        if not self.generator.conditions:
            return []
        if self._scenario == "domain":
            return list(range(tasks))
        return np.flatnonzero(self._known_units[tasks - 1]).tolist()

    def _weighted(self, current, generated):
        """Weights of both parts, which add up to 1 but for `mean`."""
        if self.weighting == "mean":
            return [current, generated]
        t = tf.cast(self.task + 1, tf.float32)
        share = 1 / t if self.weighting == "share" else self.share
        return [share * _normalised(current), (1 - share) * _normalised(generated)]

    # ---- how the generator learns ------------------------------------------------------------------------

    def _conditioned(self, batch):
        """The batch as the generator takes it, which knows its conditions as `y`."""
        return batch._replace(y=batch.task) if self._scenario == "domain" else batch

    def _learn_mixed(self, batch):
        self.generator.train_step(self._conditioned(self.mixed(batch)))

    def _learn_alone(self, task):
        require(self._data is not None, "The generator learns from batches(task); call that before end_task.")
        chunks = int(self._data.cardinality())
        iterator = iter(self._data.repeat(self.epochs))
        for epoch in range(1, self.epochs + 1):
            for metric in self.generator.metrics:
                metric.reset_state()
            for _ in range(chunks):
                loss = float(self._alone(iterator)["generator_loss"])
                if not np.isfinite(loss):
                    place = f"task {task.number}, epoch {epoch}/{self.epochs} of its own"
                    raise Diverged(f"The generator's loss became {loss} in {place}")


class Generated:
    """The pipeline's part of a memory that generates: the step is told how many rows, and has them made.

    Args:
      size: rows that every step has more.
    """

    def __init__(self, size):
        self.rows = size

    def joined(self, x, y, task):
        """The rows that are trained on; nothing is stored behind them."""
        return x, y, task

    def planned(self, order):
        """As `Replay.planned`: no rows of the pipeline's, `size` slots that are to be filled."""
        K, B = order.shape
        nothing, none = tf.zeros([K, 0], tf.int32), tf.zeros([K, 0])
        return nothing, none, tf.fill([K, B], -1), tf.fill([K, self.rows], -1), tf.zeros([K], tf.int32)


def _below(count, uniform):
    """Whole numbers from 0 up to `count`, not included, that uniform numbers in (0, 1) stand for."""
    return tf.minimum(tf.cast(uniform * tf.cast(count, tf.float32), tf.int32), count - 1)


def _normalised(weight):
    return tf.math.divide_no_nan(weight, total(weight))


def adam(learning_rate):
    """The generator's optimizer."""
    require(learning_rate > 0, f"learning_rate is {learning_rate}; it must be above 0.")
    return keras.optimizers.Adam(learning_rate)
