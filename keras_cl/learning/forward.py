"""Logits of many rows in inference mode, by one compiled loop over blocks of rows.

Blocks launched one by one from Python, with images that are cast there, take more time in a small
network, and the accuracy matrix of T tasks needs about T^2 passes over test images.
"""

import numpy as np
import tensorflow as tf

from keras_cl.learning import layers

BYTES = 2**23  # of images in a call; work that takes long shows its progress, and is stopped, between calls
BESIDE = 2  # blocks computed at once, so that a core that one leaves free takes the next


class Forward:
    """Function of raw images of one task that returns their logits, block by block.

    Blocks have `layers.ROWS_AT_ONCE` rows, the last one the rest. All tasks share one program for images of
    bytes, and one for all others.

    Args:
      logits: function of images `[n, ...]` float32 and task indices `[n]` int32 to logits `[n, C]`.
      shape: shape of an image.
    """

    def __init__(self, logits, shape):
        self._logits, self._shape = logits, tuple(shape)
        kinds = (tf.uint8, tf.float32)
        self._loops = {kind: tf.function(self._loop, input_signature=self._takes(kind)) for kind in kinds}

    def _takes(self, kind):
        number = tf.TensorSpec([], tf.int32)
        return tf.TensorSpec([None, *self._shape], kind), number, number

    def __call__(self, x, task):
        """Logits `[n, C]` of raw images `[n, ...]` of the task with index `task`."""
        return np.concatenate([self._called(x[rows], task) for rows in self.calls(x)])

    def calls(self, x):
        """Slices of the rows of `x` that one call takes: whole blocks of `BYTES` at most, or one."""
        block = layers.ROWS_AT_ONCE
        size = block * max(1, BYTES // (block * max(1, np.asarray(x[:1]).nbytes)))
        return layers.blocks(len(x), size)

    def _called(self, x, task):
        x = tf.convert_to_tensor(x)
        x = x if x.dtype in self._loops else tf.cast(x, tf.float32)
        return self._loops[x.dtype](x, task, layers.ROWS_AT_ONCE).numpy()

    def _loop(self, x, task, block):
        count = (tf.shape(x)[0] + block - 1) // block

        def with_next(k, found):
            images = tf.cast(x[k * block : (k + 1) * block], tf.float32)
            return k + 1, found.write(k, self._logits(images, tf.fill([tf.shape(images)[0]], task)))

        none = tf.TensorArray(tf.float32, count, infer_shape=False)
        state = tf.while_loop(lambda k, _: k < count, with_next, (0, none), parallel_iterations=BESIDE)
        return state[1].concat()
