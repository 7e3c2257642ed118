r"""Generative replay: generates a set of old images before each task and trains on it and the new rows.

The rule S = S_0 + M(t-1) for the number of images is from a course report on split MNIST, which states
neither the optimizer nor the number of epochs.

$$ D = D_t \cup \left\{ (x'_j, y'_j) \right\}_{j=1}^{M(t-1)}, \qquad x'_j \sim G_{t-1}, \quad
y'_j = \arg\max S_{t-1}(x'_j), \quad \text{as in } M(k) = m k^p $$
"""

from typing import Literal, get_args

import numpy as np

from keras_cl.errors import pick, require
from keras_cl.methods.finetune import Finetune
from keras_cl.numerics.random import REPLAY, seed_of
from keras_cl.numerics.schedules import images_to_generate
from keras_cl.sources.lazy import joined

Schedule = Literal["constant", "linear", "sublinear", "log", "list"]


class GenerativeReplay(Finetune):
    """D = D_t and M(t-1) rows (x', y') with x' ~ G_{t-1}, y' = argmax S_{t-1}(x');  S, then G, learns from D.

    The set is generated once per task and stored until the task ends, as bytes if the images are bytes. Its
    size M follows a schedule in the number of finished tasks, M(0) = 0.

    Args:
      network: raw images to logits, S; a functional or sequential model, which is copied.
      tasks: number of tasks of the stream; determines the length of `listed`.
      schedule: number of generated images: constant, `images`; linear, `images` per finished task; sublinear,
        `images` times the number of finished tasks to the `power`; log, `images` times (1 + log of the number
        of finished tasks); list, as in `listed`.
      images: m of the schedule.
      power: p of the sublinear schedule, between 0 and 1.
      listed: images to generate before task 2, 3 and so on, for the schedule list.
    """

    needs_boundaries = "learns its generator after each task"
    usual = {
        "memory": "vae",
        "memory.hidden": (512, 256),
        "memory.latent": 2,
        "memory.epochs": 30,
        "network.hidden": (50, 50, 50),
    }
    stored = False
    search = {"schedule": ["constant", "linear", "sublinear", "log"], "images": [1000, 2000, 4000]}
    draws = 0  # generated rows are part of the epoch, like the rows of the task

    def __init__(
        self,
        network,
        *,
        tasks: int = 0,
        schedule: Schedule = "sublinear",
        images: int = 2000,
        power: float = 0.5,
        listed: tuple[int, ...] = (),
        **base,
    ):
        super().__init__(network, **base)
        require(self.memory is not None, "generative_replay replays from a generator; give it a memory.")
        require(self.memory.labels != "soft", "generative_replay stores rows with a class: not soft labels.")
        require(images >= 0, f"images is {images}; it must not be negative.")
        require(0 < power < 1, f"power is {power}; it must be above 0 and below 1.")
        require(min(listed, default=0) >= 0, f"listed has the number {min(listed, default=0)} of images.")
        require(
            pick("schedule", schedule, get_args(Schedule)) != "list" or len(listed) == tasks - 1,
            f"listed has {len(listed)} numbers of images and the stream {tasks} tasks: it takes {tasks - 1}, "
            f"for all tasks but the first.",
        )
        self._schedule = schedule, images, power, listed

    def begin_task(self, task):
        super().begin_task(task)
        schedule, *numbers = self._schedule
        M = images_to_generate(schedule, task.index, *numbers)
        self._generated = self.memory.generated(M, seed_of(self.seed, task.index, REPLAY), task.index)

    def training_rows(self, task):
        x, y, own = super().training_rows(task)
        x_old, y_old, own_old = self._generated
        x_old = np.rint(x_old) if np.issubdtype(x.dtype, np.integer) else x_old
        pairs = (x, x_old.astype(x.dtype)), (y, y_old), (own, own_old)
        return tuple(map(joined, pairs))

    def end_task(self, task):
        super().end_task(task)
        del self._generated
