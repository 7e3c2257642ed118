"""The state of an optimizer: which variable belongs to which weight, and what is fresh."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl import methods, sources, streams
from keras_cl.learning.slots import FreshState, slots
from keras_cl.memories import VAEMemory
from keras_cl.networks import mlp

pytestmark = pytest.mark.usefixtures("eagerly")


def stream_of():
    arrays = blobs((8, 8, 8, 8))
    data = sources.from_arrays(
        *(arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")), name="b"
    )
    return streams.split(data, tasks=2, scenario="domain")


def averaging(**options):
    return keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, **options)


def weights_of(*values):
    return [tf.Variable(value, name="weight") for value in values]


def step(optimizer, weights):
    optimizer.apply_gradients([(tf.ones_like(theta), theta) for theta in weights])


@pytest.mark.parametrize(
    ("optimizer", "kinds"),
    [
        (keras.optimizers.SGD(momentum=0.9), 1),
        (keras.optimizers.RMSprop(momentum=0.9, centered=True), 3),
        (keras.optimizers.Adam(amsgrad=True), 3),
        (averaging(), 3),
        (keras.optimizers.Adagrad(), 1),
        (keras.optimizers.Lion(), 1),
    ],
)
def test_slots_are_in_the_order_of_the_weights(optimizer, kinds):
    weights = weights_of([1.0, 2.0], [[3.0]], [4.0, 5.0])  # two of them with one name and one shape
    optimizer.build(weights)
    found = slots(optimizer, weights)
    assert len(found) == kinds
    step(optimizer, weights)
    before = [[slot.numpy() for slot in kind] for kind in found]
    gradients = tf.ones(2), tf.ones((1, 1)), 9 * tf.ones(2)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))
    for kind, old in zip(found, before, strict=True):
        assert [len(slot.shape) for slot in kind] == [1, 2, 1]
        assert not np.array_equal(kind[2].numpy() - old[2], kind[0].numpy() - old[0])


@pytest.mark.parametrize("zeros", [False, True])
def test_fresh_averages_are_the_weights_of_that_moment(zeros):
    """Also those of a bias that was zero when the optimizer was made."""
    weights = weights_of([0.0, 0.0] if zeros else [1.0, 2.0], [[3.0]])
    optimizer = averaging()
    fresh = FreshState(optimizer, weights)
    for _ in range(3):
        step(optimizer, weights)
    fresh.restore()
    momenta, velocities, averages = sorted(slots(optimizer, weights), key=lambda kind: kind[1].numpy().max())
    assert_same(averages, [theta.numpy() for theta in weights])
    assert_same([*momenta, *velocities], [np.zeros(2), np.zeros((1, 1))] * 2)
    assert optimizer.iterations == 0


def test_an_optimizer_that_has_taken_steps_becomes_as_it_was_made():
    weights = weights_of([1.0, 2.0])
    optimizer = keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.3)
    optimizer.build(weights)
    step(optimizer, weights)
    FreshState(optimizer, weights).restore()
    assert_same(slots(optimizer, weights)[0], [np.full(2, 0.3, np.float32)])
    assert optimizer.iterations == 0


# ---- averages of the weights in training -----------------------------------------------------------------


def by_keras(network, data, optimizer, epochs):
    """The weights after the same steps and a `fit` of Keras's own."""
    weights = network.trainable_variables
    optimizer.build(weights)
    for _ in range(epochs):
        for chunk, steps in data:
            for k in range(int(steps)):
                batch = chunk.step(k)
                with tf.GradientTape() as tape:
                    z = network(batch.x, training=True)
                    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, z)
                    loss = tf.reduce_sum(entropy * batch.weight) / tf.reduce_sum(batch.weight)
                optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    optimizer.finalize_variable_values(weights)
    return network.get_weights()


@pytest.mark.parametrize("reset", [True, False])
def test_fit_ends_in_the_averages_as_in_keras(reset):
    """Once at the end of `fit`, not after each epoch; with a fresh state each task averages anew."""
    stream = stream_of()
    model = methods.Finetune(mlp(stream, hidden=(8,), seed=3), reset_optimizer=reset)
    model.compile(averaging(), jit=False)
    network, optimizer = mlp(stream, hidden=(8,), seed=3), averaging()
    for task in stream:
        list(learn(model, stream[task.index : task.index + 1], batch_size=4, epochs=2))
        same = methods.Finetune(mlp(stream, hidden=(8,)))  # whose batches of the task are the first ones
        expected = by_keras(network, same.batches(task, 4), optimizer, 2)
        for ours, theirs in zip(model.network.get_weights(), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        if reset:
            optimizer = averaging()


def test_averages_of_a_scaled_loss():
    stream = stream_of()
    model = methods.Finetune(mlp(stream, hidden=(8,), precision="mixed_float16"))
    model.compile(averaging(), jit=False)
    list(learn(model, stream, batch_size=4))
    weights = model.network.trainable_variables
    averages = slots(model.optimizer, weights)[0]
    assert_same([theta.numpy() for theta in weights], [average.numpy() for average in averages])


def test_averages_beside_a_generator_that_averages_too():
    stream = stream_of()
    model = methods.DGR(mlp(stream, hidden=(8,)), memory=VAEMemory(stream, hidden=(8,), latent=2))
    generator = model.memory.generator
    generator.compile(averaging())
    model.compile(averaging(), jit=False)
    list(learn(model, stream, batch_size=4))
    for part in (model.network, generator):
        optimizer, weights = (model if part is model.network else part).optimizer, part.trainable_variables
        averages = slots(optimizer, weights)[0]
        assert int(optimizer.iterations) == 4
        assert_same([theta.numpy() for theta in weights], [average.numpy() for average in averages])
