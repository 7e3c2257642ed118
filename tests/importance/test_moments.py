"""Moments of gradients and squared gradients of means against one backward pass for every single row."""

import functools

import gradients
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import (
    DENSE_ROWS,
    DIRECTIONS,
    ROWS,
    SOME,
    assert_same,
    backward_passes,
    chain,
    convolutional,
    jacobian,
    linear,
    perceptron,
    rows_of,
)

from keras_cl.importance import passes, sensitivity
from keras_cl.importance.moments import Moments, Signals, drawn, normalised
from keras_cl.importance.sensitivity import MeanSensitivity
from keras_cl.learning.layers import Dropout

SMALL_BLOCKS = [
    (passes, "DENSE_ROWS"),
    (passes, "MAPPED_ROWS"),
    (sensitivity, "SUMMED_ROWS"),
    (sensitivity, "DIRECTIONS"),
]


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        for module, name in SMALL_BLOCKS:
            patch.setattr(module, name, getattr(gradients, name))
        yield


# ---- networks, rows, and what to compare with ------------------------------------------------------------


# ---- moments of gradients --------------------------------------------------------------------------------


@functools.cache
def made(make):
    return make()


@functools.cache
def random_signals(make):
    """`(s, w, gradients)`: three signals a row, the first to be replaced by 2 z, and what each sends back."""
    network, rng = made(make), np.random.default_rng(6)
    x, _ = rows_of(network)
    s, w = rng.normal(size=(ROWS, 3, 4)).astype(np.float32), rng.uniform(size=(ROWS, 3)).astype(np.float32)
    gradients = {}
    for n in range(ROWS):
        with tf.GradientTape(persistent=True) as tape:
            z = network(x[n : n + 1], training=False)
            targets = [tf.reduce_sum(z**2), *(tf.reduce_sum(0.5 * s[n, m] * z) for m in (1, 2))]
        for m, target in enumerate(targets):
            gradients[n, m] = [np.float64(g) for g in tape.gradient(target, network.trainable_variables)]
    return s, w, gradients


@pytest.mark.parametrize("make", [perceptron, convolutional])
@pytest.mark.parametrize("power", [1, 2])
def test_any_signals_equal_one_backward_pass_a_row_and_signal(make, power):
    network = made(make)
    s, w, gradients = random_signals(make)

    def signals(logits, s, w, scale):  # the first is the gradient of ||z||^2, as MAS has it
        return Signals(lambda m: (tf.where(m == 0, 2 * logits, scale * s[:, m]), w[:, m]), tf.shape(s)[1])

    x, _ = rows_of(network)
    got = Moments(network, signals, power)(x, (s, w), (np.float32(0.5),))
    want = [np.zeros(v.shape) for v in network.trainable_variables]
    for place, gradient in gradients.items():
        want = [t + w[place] * np.abs(g) ** power / ROWS for t, g in zip(want, gradient, strict=True)]
    assert_same(got, want)


# ---- squared gradients of the mean logits ----------------------------------------------------------------


@functools.cache
def compiled(make):
    """`(network, MeanSensitivity of it)`, for tests that leave the network as it is."""
    network = make()
    return network, MeanSensitivity(network)


def random_directions(count, outputs=4, seed=0):
    return np.random.default_rng(seed).normal(size=(count, outputs)).astype(np.float32)


def of_mean(slopes, directions):
    """sum_j (d (D_j . zbar) / d theta)^2 from the slopes of every row and logit."""
    D = directions.astype(float)
    return [np.square(np.tensordot(D, one.mean(axis=0), 1)).sum(axis=0) for one in slopes]


def test_two_ways_to_the_slopes_of_a_row_agree():
    network = perceptron()
    x, _ = rows_of(network)
    (z, slopes), (logits, others) = jacobian(network, x), backward_passes(network, x)
    np.testing.assert_allclose(logits, z, rtol=1e-5)
    for one, other in zip(others, slopes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, DIRECTIONS, DIRECTIONS + 1, 3 * DIRECTIONS - 1])
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_the_gradient_of_the_mean_is_squared_for_every_direction(make, count):
    network, measured = compiled(make)
    x, _ = rows_of(network)
    slopes = (jacobian if make is perceptron else backward_passes)(network, x)[1]
    directions = random_directions(count)
    assert_same(measured(x, directions), of_mean(slopes, directions))


@pytest.mark.parametrize("n", [1, DENSE_ROWS - 1, DENSE_ROWS, DENSE_ROWS + 1, 2 * DENSE_ROWS])
def test_rows_that_fill_the_last_block_of_a_mean_do_not_count(n):
    network, measured = compiled(perceptron)
    x, _ = rows_of(network, n, seed=n)
    directions = random_directions(2)
    assert_same(measured(x, directions), of_mean(jacobian(network, x)[1], directions))


def test_gradients_are_summed_over_all_rows_before_they_are_squared():
    x = np.random.default_rng(2).normal(size=(2 * DENSE_ROWS, 3)).astype(np.float32)
    directions = random_directions(2)
    (got,) = MeanSensitivity(linear(np.ones((3, 4))))(x, directions)
    of_outputs = np.square(directions, dtype=float).sum(axis=0)
    assert_same([got], [np.outer(np.mean(x, axis=0, dtype=float) ** 2, of_outputs)])
    of_blocks = x.reshape(2, DENSE_ROWS, 3).mean(axis=1) ** 2
    assert np.all(got < 0.99 * np.outer(of_blocks.mean(axis=0), of_outputs))  # a mean of squares is larger


def test_many_outputs_have_as_many_directions():
    outputs = 2 * DIRECTIONS + 1
    network = chain((3,), keras.layers.Dense(5), keras.layers.ReLU(), keras.layers.Dense(outputs))
    x, _ = rows_of(network)
    D = random_directions(outputs, outputs)
    assert_same(MeanSensitivity(network)(x, D), of_mean(jacobian(network, x)[1], D))


def test_a_unit_that_no_direction_shows_has_sensitivity_zero():
    network, measured = compiled(perceptron)
    directions = random_directions(4) * np.array(SOME, np.float32)
    got = measured(rows_of(network)[0], directions)
    np.testing.assert_array_equal(got[-1] > 0, SOME)
    assert not got[-2][:, 2].any()


def test_rows_that_cancel_in_the_mean_have_sensitivity_zero():
    network = linear([[1, -1], [0.5, 2]])
    x = np.array([[1, 2], [3, -1], [-4, 5], [-1, -2], [-3, 1], [4, -5]], np.float32)
    (S,) = MeanSensitivity(network)(x, np.eye(2, dtype=np.float32))
    np.testing.assert_array_equal(S, 0)


def test_sensitivities_are_those_of_the_current_weights_and_of_one_call():
    network = perceptron()
    measured, directions = MeanSensitivity(network), random_directions(2)
    x, _ = rows_of(network)
    before = measured(x, directions)
    for one, again in zip(before, measured(x, directions), strict=True):
        np.testing.assert_array_equal(one, again)
    for variable in network.trainable_variables:
        variable.assign(0.9 * variable)
    after = measured(x, directions)
    assert not np.allclose(before[0], after[0], rtol=1e-2)
    assert_same(after, of_mean(jacobian(network, x)[1], directions))


def test_frozen_and_unreached_weights_have_no_sensitivity():
    stop = keras.layers.Lambda(tf.stop_gradient)
    dense = keras.layers.Dense
    network = chain((3,), dense(5), stop, dense(4), keras.layers.ReLU(), dense(4))
    network.layers[-1].trainable = False
    x, _ = rows_of(network)
    got = MeanSensitivity(network)(x, random_directions(3))
    assert [one.shape for one in got] == [(3, 5), (5,), (5, 4), (4,)]
    assert [bool(one.any()) for one in got] == [False, False, True, True]


def test_the_mean_is_traced_once_for_any_rows_and_directions():
    network = convolutional()
    measured = MeanSensitivity(network)
    for n, count in ((5, 4), (9, 1), (2, 7)):
        measured(rows_of(network, n)[0], random_directions(count))
    assert measured._accumulate[True][1].experimental_get_tracing_count() == 1


def test_the_mean_is_taken_in_inference_mode_and_moves_nothing():
    dropout = Dropout(0.5)
    network = perceptron(dropout, keras.layers.Dropout(0.5), keras.layers.BatchNormalization())
    dropout.reseed(7)
    x, _ = rows_of(network)
    before = [v.numpy() for v in network.variables]
    directions = random_directions(2)
    got = MeanSensitivity(network)(x, directions)
    for variable, old in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert_same(got, of_mean(backward_passes(network, x)[1], directions))


# ---- rows drawn ------------------------------------------------------------------------------------------


def test_rows_are_drawn_once_each_in_order_and_all_where_so_many_are_asked_for():
    rows = np.arange(100, 120)
    drawings = [rows[drawn(np.random.default_rng(seed), 20, 8)] for seed in range(50)]
    for one in drawings:
        assert len(one) == 8
        assert np.all(np.diff(one) > 0)
    assert set(np.concatenate(drawings)) == set(rows)
    np.testing.assert_array_equal(drawings[3], rows[drawn(np.random.default_rng(3), 20, 8)])
    for n_samples in (0, 20, 21):
        np.testing.assert_array_equal(rows[drawn(np.random.default_rng(0), 20, n_samples)], rows)


# ---- a common scale --------------------------------------------------------------------------------------

GIVEN = [np.array([[1, 2], [3, 4]], np.float32), np.array([6, 8], np.float32)]
RULES = {
    "none": [[[1, 2], [3, 4]], [6, 8]],
    "max": [[[1 / 8, 2 / 8], [3 / 8, 4 / 8]], [6 / 8, 1]],
    "minmax": [[[0, 1 / 7], [2 / 7, 3 / 7]], [5 / 7, 1]],
    "mean1": [[[1 / 4, 2 / 4], [3 / 4, 1]], [6 / 4, 2]],
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_brings_all_tensors_to_one_scale(rule):
    assert_same(normalised(GIVEN, rule), [np.array(one) for one in RULES[rule]], rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [0, 5])
@pytest.mark.filterwarnings("error")
def test_importances_that_are_all_the_same_stay_finite(rule, value):
    for one in normalised([np.full_like(one, value) for one in GIVEN], rule):
        assert one.dtype == np.float32
        assert np.all(np.isfinite(one))
        assert np.all(one >= 0)
        assert value or not one.any()
