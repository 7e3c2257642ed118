"""Base class of regimes: the learning rate within a task and from task to task.

The rate is a factor of the optimizer's learning rate, computed from counters inside the compiled step, so
that a schedule costs almost nothing and never retraces.
"""

from typing import Literal, get_args

import tensorflow as tf
import tf_keras as keras

from keras_cl.devices.state import integers
from keras_cl.errors import FiniteOptions, pick, require
from keras_cl.numerics import schedules

Schedule = Literal["constant", "step", "exponential", "inverse", "cosine", "restarts", "plateau"]
Clock = Literal["task", "epoch", "step"]
BETTER = 1e-4  # smallest relative improvement of an epoch's loss that counts


class Regime(FiniteOptions, tf.Module):
    """lr = max(lr_0 decay^k, floor) * schedule(e) * warm-up(e) in task k, after e ticks of the clock.

    Args:
      schedule: constant; step, times `factor` every `every` ticks; exponential, factor^e; inverse, 1 / (1 +
        factor e); cosine, decay to `low` in `length` ticks; restarts, a cosine with warm restarts, the first
        cycle `length` ticks and each further one `times` as long as the previous; plateau, times `factor`
        when the loss has not improved for `patience` epochs.
      clock: unit of a tick: task, epoch or step.
      restart: whether the schedule restarts in every task.
      factor: factor of step, exponential, inverse and plateau.
      every: ticks between the reductions of step.
      length: ticks of cosine, and of the first cycle of restarts.
      times: ratio of the lengths of successive cycles of restarts.
      low: lowest factor of cosine and restarts.
      patience: epochs without improvement before plateau reduces the rate.
      cooldown: epochs after a reduction by plateau that do not count.
      warmup: ticks of linear warm-up.
      decay: factor of the learning rate per task, in (0, 1].
      decay_from: power of `decay` in the first task, 0 or 1.
      floor: lowest learning rate that `decay` leads to.
    """

    usual = {}
    # Hyperparameters worth searching: (low, high) is a range on a log scale, [a, b, c] a list of values.
    search = {"learning_rate": (1e-4, 0.1), "batch_size": [16, 32, 64, 128]}

    def __init__(
        self,
        *,
        schedule: Schedule = "constant",
        clock: Clock = "epoch",
        restart: bool = True,
        factor: float = 0.5,
        every: int = 1,
        length: int = 0,
        times: int = 1,
        low: float = 0.0,
        patience: int = 5,
        cooldown: int = 0,
        warmup: int = 0,
        decay: float = 1.0,
        decay_from: int = 0,
        floor: float = 5e-5,
    ):
        super().__init__()
        pick("schedule", schedule, get_args(Schedule))
        pick("clock", clock, get_args(Clock))
        require(0 < decay <= 1, f"decay is {decay}; it must be above 0 and at most 1.")
        require(decay_from in (0, 1), f"decay_from is {decay_from}; it must be 0 or 1.")
        require(factor > 0, f"factor is {factor}; it must be above 0.")
        require(floor >= 0, f"floor is {floor}; it must not be negative.")
        require(0 <= low <= 1, f"low is {low}; it must be at least 0 and at most 1.")
        needed = {"length": schedule in ("cosine", "restarts"), "every": schedule == "step", "times": True}
        needed["patience"] = schedule == "plateau"
        for name, value in (("length", length), ("every", every), ("times", times), ("patience", patience)):
            require(
                value >= 1 or not needed[name],
                f"The schedule {schedule} needs --regime.{name}, at least 1; it is {value}.",
            )
        for name, value in (("warmup", warmup), ("cooldown", cooldown)):
            require(value >= 0, f"{name} is {value}; it must not be negative.")
        self.schedule, self.clock, self.restart, self.warmup = schedule, clock, restart, warmup
        self.decay, self.decay_from, self.floor = decay, decay_from, floor
        self.patience, self.cooldown, self.factor = patience, cooldown, factor
        self._shapes = {
            "constant": lambda e: 1.0,
            "step": lambda e: schedules.step(e, every, factor),
            "exponential": lambda e: schedules.exponential(e, factor),
            "inverse": lambda e: schedules.inverse(e, factor),
            "cosine": lambda e: schedules.cosine(e, length, low),
            "restarts": lambda e: schedules.restarts(e, length, times, low),
            "plateau": lambda e: self.reduced,
        }
        # Index of the task; steps and epochs of earlier tasks; steps taken in this task; steps per epoch.
        self.task, self.steps_before, self.epochs_before, self.step, self.epoch = (
            integers(value) for value in (0, 0, 0, 0, 1)
        )
        self.reduced, self.best = (tf.Variable(value, trainable=False) for value in (1.0, tf.float32.max))
        self.worse, self.waiting = integers(), integers()

    @property
    def changes(self):
        """Whether the learning rate ever differs from the optimizer's."""
        return self.schedule != "constant" or self.decay < 1 or self.warmup > 0

    @property
    def by_epoch(self):
        """Whether the learning rate changes only at the end of an epoch."""
        by_epoch = self.clock == "epoch" and (self.schedule != "constant" or self.warmup > 0)
        return by_epoch or self.schedule == "plateau"

    def begin(self, task):
        """Starts `task`."""
        self.steps_before.assign_add(self.step)
        self.epochs_before.assign_add(-(-self.step // self.epoch))
        self.task.assign(task.index)
        self.step.assign(0)
        if self.restart:
            self._forget()

    def watch(self, steps):
        """Sets the number of steps per epoch."""
        self.epoch.assign(steps)

    def rate(self, high):
        """Learning rate of the next step, for an optimizer with the initial rate `high`; counts the step."""
        e = self._ticks()
        self.step.assign_add(1)
        k = tf.cast(self.task + self.decay_from, tf.float32)
        decayed = tf.maximum(high * tf.pow(self.decay, k), min(self.floor, high)) if self.decay < 1 else high
        warm = schedules.warm_up(e, self.warmup) if self.warmup else 1.0
        return decayed * self._shapes[self.schedule](e) * warm

    def _ticks(self):
        if self.clock == "task":
            return tf.cast(self.task, tf.float32)
        step, epoch = self.step, self.step // self.epoch
        if not self.restart:
            step, epoch = step + self.steps_before, epoch + self.epochs_before
        return tf.cast(step if self.clock == "step" else epoch, tf.float32)

    @property
    def follower(self):
        """A Keras callback that passes on the loss of every epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self.after_epoch(logs["loss"]))

    def after_epoch(self, loss):
        """Updates the plateau schedule with the loss of an epoch."""
        if self.schedule != "plateau":
            return
        if loss < self.best.numpy() * (1 - BETTER):
            self.best.assign(loss)
            self.worse.assign(0)
        elif self.waiting.numpy() == 0:
            self.worse.assign_add(1)
        self.waiting.assign(max(self.waiting.numpy() - 1, 0))
        if self.worse.numpy() >= self.patience:
            self.reduced.assign(self.reduced * self.factor)
            self.worse.assign(0)
            self.waiting.assign(self.cooldown)

    def _forget(self):
        self.reduced.assign(1.0)
        self.best.assign(tf.float32.max)
        self.worse.assign(0)
        self.waiting.assign(0)
