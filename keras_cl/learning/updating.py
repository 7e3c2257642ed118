"""The update at the end of a step: all weights and what is kept of each, in one compiled program."""

import tensorflow as tf

from keras_cl.devices import replicas
from keras_cl.learning import loop
from keras_cl.learning.precision import faster_alone


class UpdateMixin:
    """The part of a `ContinualModel` that changes its weights; needs its `network`, `memory` and `_heads`."""

    _alone = False  # whether XLA compiles the update, and not the rest of the step

    def _compile_updates(self, jit):
        """Sets what XLA compiles, as `compile` takes `jit`."""
        self.jit = loop.uses_xla(self.network, jit, self.memory)
        generates = self.memory is not None and self.memory.generates  # a generator learns in float32
        self._alone = self.jit and jit is None and not generates and faster_alone(self.network)

    def fused(self, update, *values):
        """What `update` of some values returns: code that is elementwise in the weights, such as a penalty,
        the optimizer's step and a path integral. It is one program of XLA also where the step around it is
        none; otherwise every operation would read and write all weights."""
        if not self._alone or tf.executing_eagerly():
            return update(*values)
        return tf.function(update, jit_compile=True)(*values)

    def apply(self, gradients):
        """Applies gradients with the optimizer, which leaves the heads of other tasks alone.

        Args:
          gradients: list of tensors like `trained`; None leaves a variable alone.
        """
        self.fused(self._applied, gradients)

    def _applied(self, gradients):
        with self._heads.kept(gradients):
            replicas.apply(self.optimizer, gradients, self.trained)
