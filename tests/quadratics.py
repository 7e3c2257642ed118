"""Tasks whose loss is a quadratic of the weights, and optimizers in float64 to follow a method by hand."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.sources.base import Source
from keras_cl.streams.split import split


def quadratic(method, curvature, center, start, optimizer, **options):
    """A method on weights whose loss in task t is 1/2 sum_i a_ti (theta_i - c_ti)^2.

    Args:
      method: class of the method.
      curvature: a `[T, P]`, P even: half of the weights are a kernel and half a bias.
      center: c `[T, P]`.
      start: first weights `[P]`.
      optimizer: a tf_keras optimizer.
      **options: of the method.

    Returns:
      `(model, stream)`, compiled, not yet begun.
    """
    a, c = (tf.constant(values, tf.float32) for values in (curvature, center))

    class Quadratic(method):
        def task_loss(self, batch, logits):
            theta = tf.concat([tf.reshape(v, [-1]) for v in self.network.trainable_variables], 0)
            return tf.reduce_sum(tf.gather(a, self.task) * (theta - tf.gather(c, self.task)) ** 2) / 2

    tasks, units = a.shape[0], a.shape[1] // 2
    classes = np.arange(tasks * units)
    data = (np.ones((len(classes), 1), np.float32), classes)
    source = Source("rows", (1,), tuple(classes.tolist()), 1.0, lambda: (data, data))
    stream = split(source, tasks=tasks, scenario="domain")
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    place(network, start)
    model = Quadratic(network, **options)
    model.compile(optimizer, jit=False)
    return model, stream


def place(network, theta):
    """Sets the weights of the network of a quadratic to `theta` `[P]`."""
    kernel, bias = np.split(np.asarray(theta, np.float32), 2)
    network.set_weights([kernel[np.newaxis], bias])


def train(model, task, steps):
    """Begins `task` and takes `steps` steps on it; does not end it."""
    model.begin_task(task)
    model.fit(model.batches(task, 1, iterations=steps), verbose=0)


def flat(variables):
    """All entries of some variables, in order, as one float64 array."""
    return np.concatenate([np.ravel(v) for v in variables]).astype(np.float64)


# ---- optimizers: functions from one gradient after the other to the change of the weights -----------------


def sgd(rate, momentum=0.0):
    velocity = 0.0

    def change(g):
        nonlocal velocity
        velocity = momentum * velocity - rate * g
        return velocity

    return change


def adam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v, t = 0.0, 0.0, 0

    def change(g):
        nonlocal m, v, t
        m, v, t = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2, t + 1
        corrected = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        return -corrected * m / (np.sqrt(v) + epsilon)

    return change


# Of Keras and by hand, under one name. Adam's usual beta_2 will not do: 1 - 0.999 has five digits in float32.
OPTIMIZERS = {
    "sgd": (lambda: keras.optimizers.SGD(0.05), lambda: sgd(0.05)),
    "momentum": (lambda: keras.optimizers.SGD(0.05, momentum=0.9), lambda: sgd(0.05, 0.9)),
    "adam": (lambda: keras.optimizers.Adam(0.05, beta_2=0.9), lambda: adam(0.05, beta_2=0.9)),
}
