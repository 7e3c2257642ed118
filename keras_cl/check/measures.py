"""The law of what is measured with the accuracies."""

import numpy as np
import tensorflow as tf

from keras_cl.check.compare import CLOSE, hold
from keras_cl.learning.layers import MASKED


def agree(subject, scenario):
    model, stream = subject.trained(scenario).model, subject.trained(scenario).stream
    found = model.evaluate_tasks(stream)
    for task, accuracy, loss in zip(stream, found.accuracies, found.losses, strict=True):
        (x, y), mask = task.test.open(), stream.answering(task.index, len(stream))
        right = np.mean(model.predict_units(x, mask, task.index) == y)
        hold(accuracy == right, f"the accuracy is {accuracy}, and of the predictions {right}")
        logits = tf.where(mask, tf.cast(model.predict_logits(x, task.index), tf.float64), MASKED)
        entropy = np.mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        right = abs(loss - entropy) < CLOSE if model.gives_probabilities else np.isnan(loss)
        hold(right, f"the loss is {loss}, and of the logits {entropy}; is gives_probabilities meant?")
        accuracies, rows = zip(*found.by_class(stream)[task.index].values(), strict=True)
        right = abs(np.average(accuracies, weights=rows) - accuracy) < CLOSE
        hold(right, f"the accuracies of the classes are {accuracies}, and {accuracy} over all of them")
        _, counts = found._replace(pairs={task.index: found.pairs[task.index]}).confusion(stream)
        right = counts.sum() == len(y) and np.trace(counts) / len(y) == accuracy
        hold(right, f"the confusion matrix is {counts.tolist()}, and the accuracy {accuracy}")
