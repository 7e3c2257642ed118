"""What the tests of MAS and SCP share: streams, networks, and how importances merge and pull."""

import numpy as np
import tf_keras as keras
from gradients import assert_same, chain

from keras_cl import sources, streams
from keras_cl.methods import Finetune

X = np.array([[1, 2], [0, 1], [-1, 1]], np.float32)

W = np.array([[1, -1], [0.5, 2]])  # z = W x, as papers have it; a kernel is its transpose


def stream_of(x, y, tasks=1, scenario="task"):
    """A stream whose training rows are `x` `[n, features]` with the labels `y`."""
    return streams.split(sources.from_arrays(x, y, x, y), tasks=tasks, scenario=scenario)


def random_stream(n=12, features=3, classes=4, **of_stream):
    """Rows of normal numbers whose labels come in turn."""
    x = np.random.default_rng(0).normal(size=(n, features)).astype(np.float32)
    return stream_of(x, np.arange(n) % classes, **of_stream)


def perceptron(classes=4, features=3):
    dense, relu = keras.layers.Dense, keras.layers.ReLU()
    return chain((features,), dense(6), relu, dense(classes))


def measured(method, network, task, **options):
    """The sensitivities that the end of one task leaves."""
    model = method(network, **options)
    model.end_task(task)
    return [omega.numpy() for omega in model.penalty.importance]


def move(network, seed=3):
    """Sets weights drawn from `seed`."""
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])


def assert_merges(method, definition, old, new, **options):
    """The first task's importance counts whole; with the second it is `old` first + `new` second."""
    network, stream = perceptron(), random_stream(tasks=2)
    model, want = method(network, **options), []
    for task in stream:
        move(network, seed=task.index)
        model.end_task(task)
        want.append(definition(network, task.train.open()[0], stream.class_mask[task.index]))
        if task.index == 0:
            assert_same([omega.numpy() for omega in model.penalty.importance], want[0])
    merged = [old * one + new * other for one, other in zip(*want, strict=True)]
    assert_same([omega.numpy() for omega in model.penalty.importance], merged)
    at = [np.array_equal(*pair) for pair in zip(model.penalty.anchor, network.get_weights(), strict=True)]
    assert all(at) == (options.get("merge") != "anchors")


def assert_pulls(method, definition, strength=0.25, rate=0.1):
    """A step goes down the gradient of the loss and 2 strength Omega (theta - theta*)."""
    stream, after = random_stream(), []
    x, _ = stream[0].train.open()
    for model in (method(perceptron(), strength=strength), Finetune(perceptron())):
        model.compile(keras.optimizers.SGD(rate), jit=False)
        model.end_task(stream[0])
        Omega, old = definition(model.network, x, np.ones(4)), model.network.get_weights()
        move(model.network)
        here = model.network.get_weights()
        model.begin_task(stream[0])
        model.fit(model.batches(stream[0], len(x)), verbose=0)
        after.append(model.network.get_weights())
    for held, free, omega, then, now in zip(*after, Omega, old, here, strict=True):
        pull = 2 * strength * omega * (now.astype(float) - then)
        np.testing.assert_allclose(held, free - rate * pull, rtol=1e-5, atol=1e-5 * np.abs(now).max())


def draws(method, network, stream, **options):
    """Function of `(seed, index)` that returns the sensitivities of one task; the model is made once."""
    model = method(network, merge="replace", **options)

    def of_task(seed, index):
        model.seed = seed
        model.end_task(stream[index])
        return [omega.numpy() for omega in model.penalty.importance]

    return of_task


def one_hot_stream(classes=4, **of_stream):
    """Row i shows input i alone, so that the inputs with an importance are the rows that were used."""
    return stream_of(np.eye(8, dtype=np.float32), np.arange(8) % classes, **of_stream)
