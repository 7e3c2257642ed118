"""Parts of a training step: batches, replay, the compiled loop, layers, evaluation."""

from keras_cl.learning.batches import Batch, total, weighted_mean
from keras_cl.learning.layers import MASKED, Dropout, frozen_copy, logits_of

__all__ = ["MASKED", "Batch", "Dropout", "frozen_copy", "logits_of", "total", "weighted_mean"]
