"""SCP: closed forms of the sensitivity of the mean output, what it is measured on, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
from gradients import assert_same, backward_passes, convolutional, jacobian, linear
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
from keras_cl.importance import cramer, passes, sensitivity
from keras_cl.importance.cramer import on_sphere
from keras_cl.methods import MAS, SCP

pytestmark = pytest.mark.usefixtures("any_order")

eagerly = pytest.mark.usefixtures("eagerly")  # the passes themselves are compared compiled


def expected(slopes, mask):
    """1/K sum_c (d zbar_c / d theta)^2 over the K classes in `mask`, from slopes of every row and logit."""
    return [np.square(one.mean(axis=0)[np.flatnonzero(mask)]).mean(axis=0) for one in slopes]


def by_definition(network, x, mask):
    return expected(jacobian(network, x)[1], mask)


# ---- numbers worked by hand ------------------------------------------------------------------------------


def test_a_linear_network_gives_the_worked_numbers():
    (Gamma,) = measured(SCP, linear(W.T), stream_of(X, [1, 0, 1])[0])
    np.testing.assert_allclose(Gamma.T, [[0, 8 / 9], [0, 8 / 9]], rtol=1e-6)


def test_a_bias_moves_the_mean_of_its_own_output_alone():
    _, of_bias = measured(SCP, linear(W.T, [0.5, -3]), stream_of(X, [1, 0, 1])[0])
    np.testing.assert_allclose(of_bias, [1 / 2, 1 / 2], rtol=1e-6)


def test_many_slices_come_within_5_percent_of_the_worked_numbers():
    (Gamma,) = measured(SCP, linear(W.T), stream_of(X, [1, 0, 1])[0], slices=4000)
    np.testing.assert_allclose(Gamma.T, [[0, 8 / 9], [0, 8 / 9]], rtol=0.05)
    assert not np.allclose(Gamma[1], 8 / 9, rtol=1e-4)  # they were drawn


def test_rows_that_cancel_in_the_mean_are_free_here_and_held_in_mas():
    x = np.array([[1, 2, 0], [-3, 1, 2], [-1, -2, 0], [3, -1, -2]], np.float32)
    network, task = linear(np.arange(1, 13).reshape(3, 4)), stream_of(x, [0, 1, 2, 3])[0]
    np.testing.assert_array_equal(measured(SCP, network, task), 0)
    assert np.all(measured(MAS, network, task)[0] > 0)


# ---- any network -----------------------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize("slices", [1, 3, 4, 30])
def test_random_slices_are_averaged_over_the_squares_of_their_gradients(monkeypatch, slices):
    known = []

    def spied(*arguments):
        known.append(on_sphere(*arguments))
        return known[-1]

    monkeypatch.setattr(cramer, "on_sphere", spied)
    network, stream = perceptron(), random_stream()
    x, _ = stream[0].train.open()
    got = measured(SCP, network, stream[0], slices=slices)
    (xi,) = known
    assert xi.shape == (slices, 4)
    of_mean = [one.mean(axis=0) for one in jacobian(network, x)[1]]
    assert_same(got, [np.mean(np.tensordot(xi, one, 1) ** 2, axis=0) for one in of_mean])


def test_a_convolutional_network_equals_a_loop_over_single_rows():
    network = convolutional()
    x = np.random.default_rng(5).normal(size=(9, 5, 5, 1)).astype(np.float32)
    got = measured(SCP, network, stream_of(x, np.arange(9) % 4)[0])
    assert_same(got, expected(backward_passes(network, x)[1], np.ones(4)))


def test_more_outputs_than_are_held_at_once_equal_the_formula():
    classes = sensitivity.DIRECTIONS + 4
    network, stream = perceptron(classes), random_stream(n=2 * classes, classes=classes)
    x, _ = stream[0].train.open()
    assert_same(measured(SCP, network, stream[0]), by_definition(network, x, np.ones(classes)))


def test_gradients_of_all_rows_are_summed_before_they_are_squared():
    n = 2 * passes.DENSE_ROWS + 100
    x = np.random.default_rng(6).uniform(size=(n, 3)).astype(np.float32)
    x[passes.DENSE_ROWS :] *= 0.1  # a block is not like another
    network = perceptron()
    _, slopes = jacobian(network, x)
    got = measured(SCP, network, stream_of(x, np.arange(n) % 4)[0])
    assert_same(got, expected(slopes, np.ones(4)))
    blocks = [slice(start, start + 100) for start in range(0, n - 100, 100)]
    squared_by_block = np.mean([expected([slopes[0][rows]], np.ones(4))[0] for rows in blocks], axis=0)
    assert np.sum(got[0]) < 0.9 * np.sum(squared_by_block)  # the mean of squares is another, larger number


@eagerly
@pytest.mark.parametrize("slices", [0, 3, 50])
def test_sensitivities_are_never_negative(slices):
    Gamma = measured(SCP, perceptron(), random_stream()[0], slices=slices)
    assert all(np.all(one >= 0) and np.any(one > 0) for one in Gamma)


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
def test_only_classes_that_may_answer_count_on_the_task_s_own_rows(scenario, index, mask):
    stream, mask = random_stream(tasks=2, scenario=scenario), np.array(mask)
    network = perceptron(len(mask))
    bias = network.layers[-1].bias
    bias.assign(tf.where(mask, bias, 1e9))
    x, _ = stream[index].train.open()
    Gamma = measured(SCP, network, stream[index])
    assert_same(Gamma, by_definition(network, x, mask))
    np.testing.assert_allclose(Gamma[-1], mask / mask.sum(), rtol=1e-6)
    assert not Gamma[-2][:, mask == 0].any()


def test_random_slices_are_of_the_classes_that_may_answer():
    stream = random_stream(tasks=2)
    Gamma = measured(SCP, perceptron(), stream[1], slices=7)
    np.testing.assert_array_equal(Gamma[-1] > 0, [False, False, True, True])
    np.testing.assert_allclose(np.sum(Gamma[-1]), 1, rtol=1e-6)  # a slice has length 1 over these classes
    assert not Gamma[-2][:, :2].any()


@eagerly
def test_no_labels_are_used():
    x = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    y = np.arange(12) % 4
    network = perceptron()
    one = measured(SCP, network, stream_of(x, y)[0], slices=3)
    other = measured(SCP, network, stream_of(x, np.random.default_rng(2).permutation(y))[0], slices=3)
    for gamma, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(gamma, same)


@eagerly
@pytest.mark.parametrize(
    "options, old, new",
    [({}, 0.5, 0.5), ({"alpha": 0.25}, 0.25, 0.75), ({"merge": "anchors"}, 1, 1)],
)
def test_two_tasks_are_merged_by_the_rule_asked_for_and_by_default_averaged(options, old, new):
    assert_merges(SCP, by_definition, old, new, **options)


@eagerly
def test_a_step_goes_down_the_loss_and_twice_the_strength_times_the_importance():
    assert_pulls(SCP, by_definition)


# ---- what is drawn ---------------------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize("n_samples, used", [(0, 8), (3, 3), (9, 8)])
def test_n_samples_is_the_number_of_different_rows_in_the_mean(n_samples, used):
    (Gamma,) = measured(SCP, linear(np.ones((8, 4))), one_hot_stream()[0], n_samples=n_samples)
    shown = np.flatnonzero(Gamma.any(axis=1))
    assert len(shown) == used
    np.testing.assert_allclose(Gamma[shown], 1 / used**2 / 4, rtol=1e-5)


@eagerly
@pytest.mark.parametrize("options", [{"slices": 1}, {"n_samples": 2}])
def test_slices_and_rows_are_drawn_by_the_seed_and_the_task(options):
    stream = one_hot_stream(tasks=2, scenario="domain")  # four rows a task
    sensitivity = draws(SCP, linear(np.ones((8, 2)), [0, 0]), stream, **options)

    def drawn(seed, index=0):
        # The importance of an input tells whether its row was used, that of a bias is the squared slice.
        of_kernel, of_bias = sensitivity(seed, index)
        shown = of_kernel.any(axis=1)[[[0, 1, 4, 5], [2, 3, 6, 7]][index]]
        return tuple(of_bias) if "slices" in options else tuple(shown)

    first = [drawn(seed) for seed in range(8)]
    assert first == [drawn(seed) for seed in range(8)]
    assert len(set(first)) > 1
    assert first != [drawn(seed, index=1) for seed in range(8)]


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"slices": -1}, "slices is -1; it must not be negative."),
        ({"n_samples": -1}, "n_samples is -1; it must not be negative."),
        ({"alpha": 2}, "alpha is 2; it must be at least 0 and at most 1."),
        ({"merge": "average"}, "possible: anchors, sum, ema, replace."),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        SCP(linear(W.T), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
