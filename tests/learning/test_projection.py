"""The projection of steps: worked numbers, what a projector is, layers whose outputs stay, refusals."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.learning.projection import Projection

layers = keras.layers
SIDE = 6


def projection(*more, count=4, ridge=1e-12, tolerance=0.0):
    chain = more or (layers.Flatten(), layers.Dense(3))
    return Projection(network_of(*chain), count, ridge, tolerance)


def network_of(*chain):
    return keras.Sequential([keras.Input((SIDE, SIDE, 2)), *chain], name="mine")


def parallel(A, D, **options):
    A, D = (tf.constant(part, tf.float64) for part in (A, D))
    return projection(**options).parallel(A, D).numpy()


def rows_of(n, real=None):
    x = np.random.default_rng(0).normal(size=(n, SIDE, SIDE, 2)).astype(np.float32)
    real = [1.0] * n if real is None else real
    return Batch(tf.constant(x), tf.zeros(n, tf.int32), tf.zeros(n, tf.int32), tf.constant(real, tf.float32))


def step(network, seed=1):
    """A step of size 1 in a random direction."""
    rng = np.random.default_rng(seed)
    for theta in network.trainable_variables:
        theta.assign_add(rng.normal(size=theta.shape))


# ---- the projector ---------------------------------------------------------------------------------------


def test_worked_numbers():
    A, G = [[1, 2, 1], [0, 1, 1]], np.array([[1, 0], [0, 1], [2, -1.0]])
    P = parallel(A, np.eye(3))
    np.testing.assert_allclose(P, np.array([[2, 1, -1], [1, 2, 1], [-1, 1, 2]]) / 3, atol=1e-9)
    across = G - parallel(A, G)
    np.testing.assert_allclose(across, [[1, -2 / 3], [-1, 2 / 3], [1, -2 / 3]], atol=1e-9)
    np.testing.assert_allclose(A @ across, 0, atol=1e-9)


@pytest.mark.parametrize("n", [5, 30])  # fewer rows than inputs, and more
def test_it_is_symmetric_and_idempotent_and_keeps_the_rows(n):
    A = np.random.default_rng(0).normal(size=(n, 4)) @ np.random.default_rng(1).normal(size=(4, 12))
    P = parallel(A, np.eye(12), ridge=1e-6)
    np.testing.assert_allclose(P, P.T, atol=1e-6)
    np.testing.assert_allclose(P @ P, P, atol=1e-3)
    np.testing.assert_allclose(A @ P, A, atol=1e-4)
    assert np.linalg.matrix_rank(P, tol=1e-3) == 4


@pytest.mark.parametrize("n", [3, 11, 12])
def test_both_inverses_are_that_of_the_formula(n):
    rng = np.random.default_rng(2)
    A, D = rng.normal(size=(n, 11)), rng.normal(size=(11, 2))
    expected = A.T @ np.linalg.inv(A @ A.T + 0.3 * np.eye(n)) @ A @ D
    np.testing.assert_allclose(parallel(A, D, ridge=0.3), expected, atol=1e-12)


@pytest.mark.parametrize("n", [3, 20])
def test_what_the_tolerance_leaves_is_no_larger_and_all_of_a_small_change(n):
    rng = np.random.default_rng(3)
    A, D = rng.normal(size=(n, 8)), rng.normal(size=(8, 2))
    change = np.linalg.norm(A @ parallel(A, D))
    for share in (0.0, 0.25, 1.0, 10.0):
        left = A @ (D - parallel(A, D, tolerance=share * change))
        np.testing.assert_allclose(np.linalg.norm(left), min(share, 1) * change, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(parallel(A, D, tolerance=1e30), 0)
    np.testing.assert_array_equal(parallel(0 * A, D, tolerance=1.0), 0)


# ---- layers ----------------------------------------------------------------------------------------------

CHAINS = {
    "dense": lambda: (layers.Flatten(), layers.Dense(9, "relu"), layers.Dense(9, "tanh"), layers.Dense(3)),
    "without bias": lambda: (layers.Flatten(), layers.Dense(9, use_bias=False), layers.Dense(3)),
    "on each pixel": lambda: (layers.Dense(80, "relu"), layers.Flatten(), layers.Dense(3)),
    "convolutions": lambda: (
        layers.Conv2D(5, 2, strides=2, padding="same", activation="relu"),
        layers.Conv2D(7, (2, 1), dilation_rate=(1, 2), use_bias=False),
        layers.Flatten(),
        layers.Dense(3),
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_outputs_on_the_rows_stay_after_a_large_step_and_others_change(chain):
    made = CHAINS[chain]()
    held = projection(*made, count=3, ridge=1e-6)
    network = network_of(*made)
    X = rows_of(5)
    before = network(X.x).numpy()
    with held.held(X):
        step(network)
    changes = np.abs(network(X.x).numpy() - before).max(axis=1)
    assert changes[:3].max() < 1e-4
    assert changes[3:].min() > 0.1


def test_compiled_steps_are_projected_too():
    made = CHAINS["convolutions"]()
    held, network = projection(*made, count=3, ridge=1e-6), network_of(*made)
    X = rows_of(3)
    before = network(X.x).numpy()
    held.jit = True

    @tf.function(jit_compile=True)
    def take(x):
        with held.held(X._replace(x=x)):
            step(network)

    take(X.x)
    assert np.abs(network(X.x).numpy() - before).max() < 1e-4


def test_rows_without_weight_hold_nothing():
    made = CHAINS["dense"]()
    held, network = projection(*made), network_of(*made)
    free = keras.models.clone_model(network)
    free.set_weights(network.get_weights())
    X = rows_of(4, real=[1, 1, 0, 0])
    before = network(X.x).numpy()
    with held.held(X):
        step(network)
    changes = np.abs(network(X.x).numpy() - before).max(axis=1)
    assert changes[:2].max() < 1e-4 < 0.1 < changes[2:].min()
    network.set_weights(free.get_weights())
    with held.held(rows_of(4, real=[0.0] * 4)):
        step(network)
    step(free)
    for one, other in zip(network.get_weights(), free.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("count", "named"), [(9, []), (10, ["last (10 rows for 10 inputs)"])])
def test_a_layer_that_the_rows_leave_no_direction_to_learn_in_is_named(count, named):
    held = projection(layers.Flatten(), layers.Dense(9, "relu"), layers.Dense(3, name="last"), count=count)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with held.held(rows_of(12)):
            pass
    assert [str(warning.message).split(": ")[1].split(";")[0] for warning in found] == named


def test_frozen_layers_need_no_projection():
    frozen = layers.BatchNormalization(trainable=False)
    assert projection(frozen, layers.Flatten(), layers.Dense(3))
    depthwise = layers.DepthwiseConv2D(2, trainable=False)
    assert projection(depthwise, layers.Flatten(), layers.Dense(3))


def used_twice():
    dense = layers.Dense(2)
    return dense, dense, layers.Flatten(), layers.Dense(3)


REFUSED = {
    "batch_normalization.* .BatchNormalization.": lambda: [
        layers.BatchNormalization(center=False, scale=False)
    ],
    "depthwise_conv2d.* .DepthwiseConv2D.": lambda: [layers.DepthwiseConv2D(2)],
    "conv2d.* .Conv2D.": lambda: [layers.Conv2D(4, 2, groups=2)],
    "inner .Sequential.": lambda: [keras.Sequential([layers.Dense(3)], name="inner")],
    "held .Dense.": lambda: [layers.Dense(2, kernel_constraint="non_neg", name="held")],
    "dense.* .Dense.": lambda: used_twice()[:2],
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_layer_that_cannot_be_held_is_named(said):
    with pytest.raises(InputError, match=f"used once and have no constraint, and mine has the layer {said}"):
        projection(*REFUSED[said](), layers.Flatten(), layers.Dense(3))
