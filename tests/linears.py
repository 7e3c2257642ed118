"""Tasks whose loss is linear in the weights, so that gradients are known: for methods that project them."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.memories.ring import Ring
from keras_cl.source import Source
from keras_cl.streams.split import split


def linear(method, gradients, *, capacity=None, rows=4, **options):
    """A method on weights 0 with P entries, in which a row of task t has the loss gradients[t] . theta.

    Args:
      method: class of the method.
      gradients: `[T, P]`; the last weight is a bias and the others a kernel.
      capacity: of the memory, a ring; one row of every task by default.
      rows: of every task.
      **options: of the method.

    Returns:
      `(model, stream)`, with plain sgd at rate 1: a step that begins at 0 ends at minus what was applied.
    """
    slopes = tf.Variable(gradients, dtype=tf.float32, trainable=False)
    tasks, size = slopes.shape

    class Linear(method):
        def task_loss(self, batch, logits):
            theta = tf.concat([tf.reshape(v, [-1]) for v in self.network.trainable_variables], 0)
            losses = tf.linalg.matvec(tf.gather(slopes, batch.task), theta)
            return tf.reduce_sum(losses * batch.weight) / tf.reduce_sum(batch.weight)

    labels = np.arange(tasks * rows) % (2 * tasks)
    data = np.ones((len(labels), size - 1), np.float32), labels
    source = Source("rows", (size - 1,), tuple(range(2 * tasks)), 1.0, lambda: (data, data))
    stream = split(source, tasks=tasks, scenario="domain")
    two = keras.layers.Lambda(lambda z: tf.concat([z, -z], axis=1))  # one class would be refused
    network = keras.Sequential([keras.Input((size - 1,)), keras.layers.Dense(1, name="dense"), two])
    model = Linear(network, memory=Ring(stream, capacity=capacity or tasks, by="task"), **options)
    model.compile(keras.optimizers.SGD(1.0), jit=False)
    model.slopes = slopes
    return model, stream


def remember(model, tasks):
    """Fills the memory with rows of some tasks without learning them."""
    for task in tasks:
        model.begin_task(task)
        model.end_task(task)


def applied(model, task, replay_batch_size=1):
    """What a step on `task`, from weights 0, gives to the optimizer: `[P]`, exactly."""
    model.begin_task(task)
    model.network.set_weights([np.zeros(v.shape) for v in model.network.weights])
    chunk, _ = next(iter(model.batches(task, 1, 1, replay_batch_size)))
    model.train_step(chunk.step(0))
    return -np.concatenate([np.ravel(v) for v in model.network.trainable_variables]).astype(float)
