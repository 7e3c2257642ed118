"""The scenario of a stream in a model: the classes that are active for a row, and the outputs of a task."""

import numpy as np
import tensorflow as tf

from keras_cl.errors import require
from keras_cl.learning import heads
from keras_cl.learning.layers import MASKED
from keras_cl.learning.network import require_images


class ScenarioMixin:
    """The part of a `ContinualModel` that knows the stream; needs its `network`, `trained`, `task`
    and `augment`."""

    def _begin_scenario(self, isolate_heads):
        self.isolate_heads = isolate_heads
        self._class_mask = self._shown_classes = self._scenario = self._facts = None
        self._heads = heads.Heads()

    def _bind(self, stream):
        """Fixes the class mask at the first task: it is a constant of the traced step."""
        require_images(self.network, stream)
        outputs = self.network.output_shape[-1]
        require(
            outputs == stream.num_classes,
            f"The network has {outputs} outputs and the {stream.scenario}-incremental stream "
            f"{stream.name} needs {stream.num_classes}.",
        )
        facts = stream.name, stream.scenario, stream.task_classes, stream.input_shape, stream.seed
        if self._scenario is None:
            self._scenario, self._class_mask = stream.scenario, tf.constant(stream.class_mask)
            self._shown_classes = tf.constant(stream.labels >= 0)  # [T, C]: the classes of the training rows
            self._facts = repr(facts)
            self.augment.bind(stream)
            if self.isolate_heads and stream.scenario == "task":
                self._heads = heads.Heads(heads.outputs(self.network, self.trained, stream), self._class_mask)
        require(
            self._facts == repr(facts) and np.array_equal(self._class_mask, stream.class_mask),
            "A model learns one stream; make a new model for another one.",
        )

    def _masked(self, logits, task=None):
        """Logits `[B, C]`, `MASKED` for the classes that are not active; `task` as in `_active_classes`."""
        mask = self._active_classes(task)
        return logits if mask is None else tf.where(mask, logits, MASKED)

    def _active_classes(self, task=None):
        """Active classes `[C]` or `[B, C]` for rows of `task`, one index or `[B]`, by default the current
        task; None for all."""
        if self._scenario in (None, "domain"):
            return None
        # If the task is known, each row uses its own task's mask; otherwise all classes seen are active.
        known = self._scenario == "task" and task is not None
        return tf.gather(self._class_mask, task if known else self.task)
