"""Judge: a small classifier that learns any labelled images from the same initial weights."""

import numpy as np
import tf_keras as keras

from keras_cl.methods.finetune import Finetune
from keras_cl.networks import cnn, mlp
from keras_cl.sources.base import Source
from keras_cl.streams.base import Stream

STEPS, BATCH, RATE = 1000, 128, 1e-3
FEATURES = 64  # units of the last hidden layer
SIDE = 8  # least side of colour images for convolutions


def judge_of(stream):
    """The `Judge` of the images of a stream: a perceptron, or convolutions for colour images."""
    units, shape = tuple(range(stream.num_classes)), stream.input_shape
    source = Source("images", shape, units, stream.source.scale, load=tuple)
    judged = Stream("images", "domain", source, (units,), (np.asarray,), shape)
    if len(shape) == 3 and shape[-1] == 3 and min(shape[:2]) >= SIDE:
        return Judge(cnn(judged, filters=(32, 64), hidden=(FEATURES,)), judged)
    return Judge(mlp(judged, hidden=(400, FEATURES)), judged)


class Judge(Finetune):
    """Classifier of raw images into the output units of a stream, all of them in one softmax.

    It takes 1,000 steps of Adam on 128 rows each. It does not depend on the seed of a run, so that it judges
    the generators of all runs on a stream alike.

    Args:
      network: raw images to logits.
      stream: a domain-incremental stream of one task, which has no rows of its own.
    """

    def __init__(self, network, stream):
        super().__init__(network, name="judge")
        self._initial, self._stream, self._given = network.get_weights(), stream, None
        self.compile(keras.optimizers.Adam(RATE))

    def learn(self, x, units):
        """Learns raw images `[n, ...]` with their output units `[n]`, from the initial weights."""
        task = self._stream[0]
        self.restore(self._stream, 0, lambda: self.network.set_weights(self._initial))
        self.begin_task(task)
        object.__setattr__(self, "_given", (x, np.asarray(units, np.int32)))  # not tracked by Keras
        self.fit(self.batches(task, min(BATCH, len(x)), iterations=STEPS), verbose=0)
        self.end_task(task)
        object.__setattr__(self, "_given", None)

    def training_rows(self, task):
        x, y = self._given
        return x, y, np.zeros(len(y), int)
