"""Tasks whose loss is linear in the weights, so that gradients are known: for methods that project them."""

import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.memories.ring import Ring
from keras_cl.sources.base import Source
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


def projected(method, earlier, g, later=(), **options):
    """What a step gives to the optimizer, from weights 0.

    Args:
      method: class of the method.
      earlier: `[t, P]`, the gradients of tasks that have left a row in the memory.
      g: `[P]`, that of the task that is learned.
      later: those of tasks that were not begun.
      **options: of the method.

    Returns:
      `(v, model)`: what was applied, `[P]`, exactly, and the model that did. Calls of the same sizes and
      options differ in the gradients only, so they share a model.
    """
    model, batch = _before_the_step(method, len(earlier), len(later), len(g), tuple(options.items()))
    model.slopes.assign([*earlier, g, *later])
    model.network.set_weights([np.zeros(v.shape) for v in model.network.weights])
    model.train_step(batch)
    v = -np.concatenate([np.ravel(v) for v in model.network.trainable_variables]).astype(float)
    return v, model


@functools.cache
def _before_the_step(method, earlier, later, size, options):
    """A model that remembers `earlier` tasks and has begun the next one, and a batch of that."""
    model, stream = linear(method, np.zeros((earlier + 1 + later, size)), **dict(options))
    remember(model, stream[:earlier])
    model.begin_task(stream[earlier])
    chunk, _ = next(iter(model.batches(stream[earlier], 1, 1, 1)))
    return model, chunk.step(0)
