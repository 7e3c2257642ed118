"""What tests of rehearsal share: a linear network, a batch with replayed rows, a float64 reference."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_cl.learning.batches import Batch
from keras_cl.memories import Reservoir
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

WIDTH, FEATURES, TASKS = 2, 3, 3  # classes of a task; entries of a row
B, R, CAPACITY = 4, 3, 6  # rows of the task and of one draw in a batch


def stream_of(scenario="class"):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(TASKS * WIDTH), 5)
    data = rng.normal(size=(len(labels), FEATURES)).astype(np.float32), labels
    source = Source("rows", (FEATURES,), tuple(range(TASKS * WIDTH)), 1.0, lambda: (data, data))
    return split(source, tasks=TASKS, scenario=scenario)


def linear(stream):
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(stream.num_classes)])


def at_task(t, method, scenario="class", memory=Reservoir, rate=1.0, seed=3, **options):
    """A model of random weights that begins task t; with plain SGD, so that a step tells its gradient."""
    stream = stream_of(scenario)
    kept = memory(stream, capacity=CAPACITY) if memory else None
    model = method(linear(stream), memory=kept, **options)
    model.compile(keras.optimizers.SGD(rate), jit=False)
    rng = np.random.default_rng(seed)
    model.begin_task(stream[t - 1])
    model.network.set_weights(
        [rng.normal(size=w.shape).astype(np.float32) for w in model.network.get_weights()]
    )
    return model


def batch_of(t, draws=1, held=R, scenario="class", seed=2):
    """B rows of task t, the last one padding, and draws of which `held` rows are there, of tasks before."""
    rng = np.random.default_rng(seed)
    count = draws * R
    task = np.concatenate(
        [np.full(B, t - 1), rng.integers(0, t - 1, count) if t > 1 else np.zeros(count, int)]
    )
    first = 0 if scenario == "domain" else WIDTH * task
    weight = np.concatenate([[1.0] * (B - 1) + [0.0], np.tile(np.arange(R) < held, draws)])
    slot = rng.permutation(CAPACITY)[:count] if draws * R <= CAPACITY else rng.integers(0, CAPACITY, count)
    return Batch(
        tf.constant(rng.normal(size=(B + count, FEATURES)), tf.float32),
        tf.constant(first + rng.integers(0, WIDTH, B + count), tf.int32),
        tf.constant(task, tf.int32),
        tf.constant(weight, tf.float32),
        tf.constant([0, -1, 2, -1], tf.int32),
        tf.constant(np.where(weight[B:] > 0, slot, -1), tf.int32),
    )


def entropies(model, batch, weights):
    """float64: cross entropy `[n]` of each row under the weights, and its gradient by the logits `[n, C]`."""
    z = logits(batch, weights)
    mask = model._class_mask.numpy()
    if model._scenario != "domain":
        z = np.where(mask[batch.task.numpy() if model._scenario == "task" else int(model.task)], z, -np.inf)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    y = batch.y.numpy()
    rows = np.arange(len(y))
    delta = p.copy()
    delta[rows, y] -= 1
    return -np.log(p[rows, y]), delta


def logits(batch, weights):
    """float64 logits `[n, C]` of the rows of a batch."""
    return batch.x.numpy().astype(float) @ weights[0].astype(float) + weights[1]


def step(model, batch):
    """What a step with learning rate 1 takes off the weights: the gradient, as kernel and bias."""
    before = model.network.get_weights()
    model.train_step(batch)
    return [old.astype(float) - new for old, new in zip(before, model.network.get_weights(), strict=True)]


def gradient(batch, delta):
    """Kernel and bias gradient of a linear network, for the gradient by the logits `[n, C]`."""
    return [batch.x.numpy().astype(float).T @ delta, delta.sum(axis=0)]


def assert_close(found, expected, atol=2e-6):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)
