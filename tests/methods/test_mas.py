"""MAS: worked numbers and closed forms of the sensitivity, what it is measured on, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import Power, assert_same, chain, jacobian, linear
from sensitivities import (
    W,
    X,
    assert_merges,
    assert_pulls,
    draws,
    measured,
    one_hot_stream,
    perceptron,
    random_stream,
    stream_of,
)

from keras_cl.errors import InputError
from keras_cl.importance import moments
from keras_cl.methods import MAS

pytestmark = pytest.mark.usefixtures("any_order")

eagerly = pytest.mark.usefixtures("eagerly")  # the passes themselves are compared compiled


def of_rows(network, x, mask):
    """d ||z(x_n)||^2 / d theta over the logits in `mask` for every row, in float64, `[n, *shape]`."""
    z, slopes = jacobian(network, x)
    return [np.einsum("nc,nc...->n...", 2 * z * mask, one) for one in slopes]


def by_definition(network, x, mask):
    return [np.abs(one).mean(axis=0) for one in of_rows(network, x, mask)]


# ---- numbers worked by hand ------------------------------------------------------------------------------


def test_a_linear_network_gives_the_worked_numbers():
    (Omega,) = measured(MAS, linear(W.T), stream_of(X, [1, 0, 1])[0])
    np.testing.assert_allclose(Omega.T, [[2, 10 / 3], [4, 25 / 3]], rtol=1e-6)


def test_a_linear_network_with_a_bias_has_its_closed_form():
    b = np.array([0.5, -3])
    z = X @ W.T + b
    Omega, of_bias = measured(MAS, linear(W.T, b), stream_of(X, [1, 0, 1])[0])
    np.testing.assert_allclose(Omega.T, np.mean(2 * np.abs(z[:, :, None] * X[:, None]), axis=0), rtol=1e-6)
    np.testing.assert_allclose(of_bias, np.mean(2 * np.abs(z), axis=0), rtol=1e-6)


@eagerly
@pytest.mark.parametrize("scale", [3.0, -0.5])
def test_a_scale_of_the_output_counts_squared(scale):
    inner = perceptron()
    outer = keras.Model(inner.inputs, keras.layers.Rescaling(scale)(inner.output))
    task = random_stream()[0]
    plain, scaled = measured(MAS, inner, task), measured(MAS, outer, task)
    assert_same(scaled, [scale**2 * np.float64(one) for one in plain])


# ---- against single rows ---------------------------------------------------------------------------------


def test_a_network_with_a_hidden_layer_equals_a_loop_over_single_rows():
    network, stream = perceptron(), random_stream()
    x, _ = stream[0].train.open()
    assert np.any(jacobian(network, x)[1][0] == 0)  # some units are off for some rows
    rows = [of_rows(network, row[np.newaxis], np.ones(4)) for row in x]
    loop = [np.mean([np.abs(one[0]) for one in of_one], axis=0) for of_one in zip(*rows, strict=True)]
    assert_same(measured(MAS, network, stream[0]), loop)


def test_what_rows_do_one_by_one_is_no_less_than_what_they_do_together():
    network, stream = perceptron(), random_stream()
    x, _ = stream[0].train.open()
    together = [np.abs(one.mean(axis=0)) for one in of_rows(network, x, np.ones(4))]
    for one, other in zip(measured(MAS, network, stream[0]), together, strict=True):
        assert np.all(one >= other * (1 - 1e-6))
        assert np.any(one > 1.1 * other)


# ---- what counts -----------------------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize(
    "scenario, index, mask",
    [
        ("task", 0, (1, 1, 0, 0)),
        ("task", 1, (0, 0, 1, 1)),
        ("class", 0, (1, 1, 0, 0)),
        ("class", 1, (1, 1, 1, 1)),
        ("domain", 1, (1, 1)),
    ],
)
def test_only_logits_that_may_answer_count_on_the_task_s_own_rows(scenario, index, mask):
    stream, mask = random_stream(tasks=2, scenario=scenario), np.array(mask)
    network = perceptron(len(mask))
    bias = network.layers[-1].bias
    bias.assign(tf.where(mask, bias, 1e9))  # so large that a trace of it would be seen
    x, _ = stream[index].train.open()
    assert len(x) == 6
    Omega = measured(MAS, network, stream[index])
    # In float64 0 times these logits is 0.
    assert_same(Omega, by_definition(network, x, mask))
    assert not Omega[-1][mask == 0].any()
    assert not Omega[-2][:, mask == 0].any()
    assert all(np.any(one) for one in Omega)


@eagerly
def test_no_labels_are_used():
    x = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    y = np.arange(12) % 4
    network = perceptron()
    one = measured(MAS, network, stream_of(x, y)[0])
    other = measured(MAS, network, stream_of(x, np.random.default_rng(2).permutation(y))[0])
    for omega, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(omega, same)


@eagerly
@pytest.mark.parametrize(
    "options, old, new",
    [({}, 1, 1), ({"merge": "ema"}, 0.5, 0.5), ({"merge": "ema", "alpha": 0.25}, 0.25, 0.75)]
    + [({"merge": "replace"}, 0, 1), ({"merge": "anchors"}, 1, 1)],
)
def test_two_tasks_are_merged_by_the_rule_asked_for_and_by_default_summed(options, old, new):
    assert_merges(MAS, by_definition, old, new, **options)


@eagerly
def test_a_step_goes_down_the_loss_and_twice_the_strength_times_the_importance():
    assert_pulls(MAS, by_definition)


# ---- the rows that are measured --------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize("n_samples, used", [(0, 8), (1, 1), (3, 3), (8, 8), (9, 8)])
def test_n_samples_is_the_number_of_different_rows_measured(n_samples, used):
    kernel = np.random.default_rng(4).uniform(0.5, 1, (8, 4))
    (Omega,) = measured(MAS, linear(kernel), one_hot_stream()[0], n_samples=n_samples)
    shown = np.flatnonzero(Omega.any(axis=1))
    assert len(shown) == used
    np.testing.assert_allclose(Omega[shown], 2 * kernel[shown] / used, rtol=1e-5)


def test_rows_are_drawn_by_the_seed_and_the_task():
    stream = one_hot_stream(tasks=2, scenario="domain")  # four rows a task
    sensitivity = draws(MAS, linear(np.ones((8, 2))), stream, n_samples=2)

    def used(seed, index=0):
        (Omega,) = sensitivity(seed, index)
        shown = Omega.any(axis=1)[[[0, 1, 4, 5], [2, 3, 6, 7]][index]]
        assert np.count_nonzero(Omega.any(axis=1)) == np.count_nonzero(shown) == 2
        return tuple(shown)

    first = [used(seed) for seed in range(8)]
    assert first == [used(seed) for seed in range(8)]
    assert len(set(first)) > 1
    assert first != [used(seed, index=1) for seed in range(8)]


@pytest.mark.parametrize("n_samples, used", [(0, 3), (5, 5)])
def test_without_a_number_some_rows_do_where_gradients_are_mapped(monkeypatch, n_samples, used):
    monkeypatch.setattr(moments, "MAPPED_SAMPLES", 3)
    network = chain((8,), keras.layers.Dense(4), Power())
    Omega, *_ = measured(MAS, network, one_hot_stream()[0], n_samples=n_samples)
    assert np.count_nonzero(Omega.any(axis=1)) == used


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"n_samples": -1}, "n_samples is -1; it must not be negative."),
        ({"alpha": 2}, "alpha is 2; it must be at least 0 and at most 1."),
        ({"merge": "som"}, "Did you mean sum?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        MAS(linear(W.T), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
