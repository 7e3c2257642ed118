"""The training data of a task: its rows, and the `tf.data` pipeline that `fit` takes."""

import numpy as np

from keras_cl.devices import ram
from keras_cl.errors import require
from keras_cl.learning import batches
from keras_cl.numerics.random import ORDER, REPLAY, seed_of
from keras_cl.sources.lazy import joined


class TrainingDataMixin:
    """The part of a `ContinualModel` that makes batches; needs its `seed`, `memory`, `regime`, `draws` and
    `online`."""

    # What the method does where a task begins or ends, so that it needs tasks; empty if it learns without.
    needs_boundaries = "learns task by task"

    def training_rows(self, task):
        """`(x, y, task index)` of all rows in an epoch of `task`."""
        tasks = self.training_tasks(task)
        require(tasks, f"{self.name} does not train on task {task.number}.")
        opened = _opened([part.train for part in tasks], task.stream.row_bytes)
        x, y = map(joined, zip(*opened, strict=True))
        return x, y, np.repeat([part.index for part in tasks], [len(units) for _, units in opened])

    def batches(self, task, batch_size=128, iterations=0, replay_batch_size=0, sample_weight=None):
        """The `tf.data.Dataset` for `fit`: chunks of batches of the training rows of `task`.

        Args:
          task: the task to train on.
          batch_size: rows per step.
          iterations: steps per pass over the dataset for each of `training_tasks(task)`; by default a pass is
            an epoch, every row once.
          replay_batch_size: rows that each draw from the memory adds to a step, by default `batch_size`.
          sample_weight: factor of the loss of each row, as `task.train.open()` returns them; replayed rows
            have 1.

        Raises:
          InputError: if the task has fewer rows than a batch, or the memory less room than a draw.
        """
        require(batch_size >= 1, f"batch_size is {batch_size}; it must be at least 1.")
        require(iterations >= 0, f"iterations is {iterations}; it must not be negative.")
        x, y, own = self.training_rows(task)
        said = f"batch_size is {batch_size} and task {task.number} has only {len(x)} training rows"
        require(len(x) >= batch_size, f"{said}; give at most that many.")
        # Where no task ends, rows are offered to the memory as they come.
        self.online = self.online or task.stream.every > 0
        self._shuffles = self._shuffles or batches.ShuffleCount(task.stream.every)
        if sample_weight is not None:
            sample_weight = self._sample_weights(sample_weight, task, len(x))
        replay = self._replay(y, own, task, replay_batch_size or batch_size)
        data = batches.chunks(
            x,
            y,
            own,
            batch_size=batch_size,
            seed=seed_of(self.seed, task.index, ORDER),
            iterations=iterations * len(self.training_tasks(task)),
            replay=replay,
            shuffles=self._shuffles,
            sample_weight=sample_weight,
        )
        data.task = task.index  # `fit` refuses batches of another task
        if self.memory is not None:
            self.memory.watch(data)
        if self.regime is not None:
            self.regime.watch(iterations * len(self.training_tasks(task)) or -(-len(x) // batch_size))
        return data

    @property
    def shuffle_counts(self):
        """The variable that counts how often the rows of this task were shuffled, if there are any."""
        return [self._shuffles.count] if self._shuffles else []

    def _replay(self, y, own, task, size):
        """The replay plan for the batches of `task`; None if its steps draw nothing and offer nothing."""
        if self.memory is None or not (self.draws or self.online):
            return None
        passes = int(self._shuffles.count.numpy())
        again = (passes,) if passes else ()  # other draws in each of several calls
        plan = {"size": size, "draws": self.draws, "offers": self.online, "index": task.index}
        plan |= {"apart": True} if task.stream.every else {}
        return self.memory.plan(y, own, seed=seed_of(self.seed, task.index, REPLAY, *again), **plan)

    def _sample_weights(self, given, task, rows):
        require(not self.own_loss, f"{self.name} takes no sample_weight: it {self.own_loss}.")
        plain = type(self).training_rows is TrainingDataMixin.training_rows
        require(
            plain and self.training_tasks(task) == [task],
            f"{self.name} takes no sample_weight: it does not train on the rows of the task alone.",
        )
        weights = np.asarray(given, np.float32)
        require(
            weights.shape == (rows,),
            f"sample_weight has the shape {weights.shape}, and an epoch has {rows} rows.",
        )
        require(
            np.isfinite(weights).all() and weights.min() >= 0,
            "sample_weight has numbers that are negative or not finite.",
        )
        return weights


def _opened(splits, row_bytes):
    """`(x, y)` of each split; small ones are not read either if all of them together are large."""
    large = sum(map(len, splits)) * row_bytes > ram.largest_whole()
    return [split.unread() if large and split.unread else split.open() for split in splits]
