"""Evaluation of a network outside of training: logits, predicted units, accuracy."""

import numpy as np

from keras_cl.errors import pick, require
from keras_cl.learning.layers import feature_extractor, in_blocks


class EvaluationMixin:
    """The evaluation methods of a `ContinualModel`; needs its `network`, `task` and `_forward`."""

    def features(self, x):
        """Features `[n, F]` of raw images in inference mode: the input of the last dense layer."""
        return in_blocks(feature_extractor(self.network), x)

    def predict_logits(self, x, task=None):
        """Unmasked logits `[n, C]` of raw images, in inference mode.

        Args:
          x: raw images `[n, ...]`.
          task: task index, for a network that takes it as an input; by default the current task.
        """
        tasks = np.full(len(x), self.task.numpy() if task is None else task, np.int32)
        return in_blocks(self._forward, x, tasks)

    def predict_units(self, x, mask, task=None):
        """Most likely output unit `[n]` of raw images among those where `mask` `[C]` is true."""
        return np.where(mask, self.predict_logits(x, task), -np.inf).argmax(axis=1)

    def accuracies(self, stream, after=None, part="test"):
        """Accuracy on every task: one row of the accuracy matrix.

        Args:
          stream: a `Stream`, or a slice of one.
          after: number of tasks learned so far, 0 for an untrained network; by default the tasks begun.
          part: "test", "valid" or "train".

        Returns:
          float array `[T]`; NaN for tasks whose classes are not active yet (class-incremental).
        """
        pick("part", part, ["test", "valid", "train"])
        after = (int(self.task.numpy()) + 1 if self._scenario else 0) if after is None else after
        row = np.full(len(stream), np.nan)
        for place, task in enumerate(stream):
            mask = task.stream.answering(task.index, after)
            if mask is not None:
                split = task.stream.split(task.index, part)
                advice = " Give the stream a valid_fraction." if part == "valid" else ""
                require(len(split), f"Task {task.number} has no {part} rows.{advice}")
                x, y = split.open()
                row[place] = np.mean(self.predict_units(x, mask, task.index) == y)
        return row
