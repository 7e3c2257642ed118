"""Fisher information against worked numbers, closed forms, and one backward pass for every single row.

Numbers of the logistic regression follow from E[(p - y)^2 x^2] and its relatives (van de Ven 2025,
arXiv:2502.11756, names the estimators).
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import (
    ALL,
    DENSE_ROWS,
    MAPPED_ROWS,
    ROWS,
    SOME,
    Power,
    assert_same,
    chain,
    convolutional,
    linear,
    perceptron,
    rows_of,
)

from keras_cl.errors import InputError
from keras_cl.importance import moments, passes
from keras_cl.importance.by_uses import ByUses
from keras_cl.importance.fisher import Fisher
from keras_cl.learning.layers import Dropout

KINDS = ("exact", "sample", "empirical", "argmax", "batched")


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "DENSE_ROWS", DENSE_ROWS)
        patch.setattr(passes, "MAPPED_ROWS", MAPPED_ROWS)
        yield


# ---- the definition to compare with ----------------------------------------------------------------------


@functools.cache
def compiled(make, kind="exact"):
    """`(network, Fisher of it)`, for tests that leave the network as it is."""
    network = make()
    return network, Fisher(network, kind, batch_size=3)


def log_p_gradients(network, row, mask):
    """`(p, gradients)` of one row: p of the classes in `mask`, and the gradient of log p_c for each."""
    with tf.GradientTape(persistent=True) as tape:
        log_p = tf.nn.log_softmax(tf.boolean_mask(network(row[np.newaxis], training=False)[0], mask))
        each = tf.unstack(log_p)
    gradients = [tape.gradient(one, network.trainable_variables) for one in each]
    return np.exp(log_p), [[np.float64(g) for g in one] for one in gradients]


def by_definition(network, kind, x, y, mask):
    """The Fisher information with a backward pass for every row and label."""
    totals = [np.zeros(v.shape) for v in network.trainable_variables]
    units = np.flatnonzero(mask)
    for row, label in zip(x, y, strict=True):
        p, gradients = log_p_gradients(network, row, mask)
        weights = {"exact": p, "empirical": units == label, "argmax": np.arange(len(p)) == p.argmax()}[kind]
        for weight, gradient in zip(weights, gradients, strict=True):
            totals = [total + weight * g**2 for total, g in zip(totals, gradient, strict=True)]
    return [total / len(x) for total in totals]


# ---- numbers worked by hand ------------------------------------------------------------------------------

LOGISTIC_X = np.array([[1, 2], [0, 1], [-1, 1]], np.float32)
LOGISTIC_Y = np.array([1, 0, 1], np.int32)
LOGISTIC = [[0, 0.5], [0, -0.25]]  # logits (0, w.x) with w = (0.5, -0.25)
BOTH = np.ones(2, bool)


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("exact", (0.155965, 0.488010)),
        ("empirical", (0.237095, 0.550991)),
        ("argmax", (0.117642, 0.431539)),
        ("batched", (0.003567, 0.171218)),
    ],
)
def test_logistic_regression_gives_the_worked_numbers(kind, expected):
    (F,) = Fisher(linear(LOGISTIC), kind, batch_size=3)(LOGISTIC_X, LOGISTIC_Y, BOTH)
    np.testing.assert_allclose(F[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(F[:, 0], expected, atol=1e-6)  # the other logit's gradient is the negative


@pytest.mark.parametrize("kind", ["exact", "empirical"])
def test_softmax_regression_has_its_closed_form(kind):
    rng = np.random.default_rng(3)
    W, b = rng.normal(size=(3, 4)), rng.normal(size=4)
    x, y = rng.normal(size=(ROWS, 3)).astype(np.float32), rng.integers(0, 4, ROWS).astype(np.int32)
    z = x @ W + b
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    of_logit = {"exact": p * (1 - p), "empirical": (p - np.eye(4)[y]) ** 2}[kind]
    F = Fisher(linear(W, b), kind)(x, y, np.array(ALL))
    assert_same(F, [np.square(x, dtype=float).T @ of_logit / ROWS, of_logit.mean(axis=0)])


# ---- one matrix product against one backward pass a row --------------------------------------------------


@pytest.mark.parametrize("mask", [ALL, SOME], ids=["all classes", "some classes"])
@pytest.mark.parametrize("kind", ["exact", "empirical", "argmax"])
def test_dense_layers_equal_one_backward_pass_a_row(kind, mask):
    network, fisher = compiled(perceptron, kind)
    x, y = rows_of(network)
    assert_same(fisher(x, y, np.array(mask)), by_definition(network, kind, x, y, mask))


@pytest.mark.parametrize("kind", ["exact", "argmax"])
def test_a_convolutional_network_equals_one_backward_pass_a_row(kind):
    network, fisher = compiled(convolutional, kind)
    x, y = rows_of(network)
    assert_same(fisher(x, y, np.array(SOME)), by_definition(network, kind, x, y, SOME))
    assert [type(one) for one in fisher._pass._passes[True]] == [ByUses]


class SquaredDense(keras.layers.Dense):
    """A subclass, which may do anything."""

    def call(self, inputs):
        return tf.square(super().call(inputs))


def fused_activation():
    return chain((3,), keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(4))


def subclassed():
    return chain((3,), SquaredDense(3), keras.layers.Dense(4))


def used_twice():
    layer = keras.layers.Dense(4)
    return chain((4,), layer, keras.layers.ReLU(), layer)


def on_sequences():
    return chain((2, 3), keras.layers.Dense(3), keras.layers.Flatten(), keras.layers.Dense(4))


@pytest.mark.parametrize("make", [used_twice, on_sequences])
def test_a_dense_layer_whose_gradient_is_a_sum_stays_exact(make):
    network, fisher = compiled(make)
    x, y = rows_of(network)
    assert_same(fisher(x, y, np.array(ALL)), by_definition(network, "exact", x, y, ALL))
    assert [type(one) for one in fisher._pass._passes[True]] == [ByUses]


@pytest.mark.parametrize("make", [fused_activation, subclassed])
def test_what_a_dense_layer_does_with_its_product_does_not_matter(make):
    network, fisher = compiled(make)
    x, y = rows_of(network)
    assert_same(fisher(x, y, np.array(ALL)), by_definition(network, "exact", x, y, ALL))
    assert [type(one) for one in fisher._pass._passes[True]] == [passes.ByProducts]


def test_the_batched_kind_is_the_mean_over_batches_of_the_squared_mean_gradient():
    network, in_threes = compiled(perceptron, "batched")
    x, y = rows_of(network)
    true = [log_p_gradients(network, row, ALL)[1][label] for row, label in zip(x, y, strict=True)]

    def squared_mean(rows):
        return [np.mean(one, axis=0) ** 2 for one in zip(*(true[n] for n in rows), strict=True)]

    whole = Fisher(network, "batched", batch_size=ROWS)(x, y, np.array(ALL))
    assert_same(whole, squared_mean(range(ROWS)), rtol=1e-4)
    single = Fisher(network, "batched", batch_size=1)(x, y, np.array(ALL))
    assert_same(single, by_definition(network, "empirical", x, y, ALL))
    # A last incomplete batch is left out: of four rows one.
    F = in_threes(x[:4], y[:4], np.array(ALL))
    left = [np.allclose(F[0], squared_mean(set(range(4)) - {n})[0], 1e-4, 1e-9) for n in range(4)]
    assert sum(left) == 1


def test_a_batch_larger_than_the_rows_is_refused():
    network, in_threes = compiled(perceptron, "batched")
    x, y = rows_of(network, n=2)
    with pytest.raises(InputError, match="fisher_batch is 3 and there are only 2 rows"):
        in_threes(x, y, np.array(ALL))


# ---- the sampled label and the sampled rows --------------------------------------------------------------


def test_sample_is_unbiased_for_exact():
    rng, mask = np.random.default_rng(4), np.array(SOME)
    W, x = rng.normal(size=(2, 4)), rng.normal(size=(3, 2)).astype(np.float32)
    draws = 1000  # for each of three rows
    (mean,) = Fisher(linear(W), "sample")(np.repeat(x, draws, axis=0), np.zeros(3 * draws, np.int32), mask)
    z = np.where(mask, x @ W, -np.inf)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    residual = np.eye(4) - p[:, np.newaxis]
    of_draw = np.square(np.einsum("ni,ncj->ncij", x, residual))  # what row n with the label c contributes
    exact = np.einsum("nc,ncij->nij", p, of_draw)
    variance = np.einsum("nc,ncij->nij", p, np.square(of_draw - exact[:, np.newaxis])).mean(axis=0)
    error = np.sqrt(variance / (3 * draws))
    assert np.all(error[:, mask] > 0)
    assert np.all(np.abs(mean - exact.mean(axis=0)) <= 4 * error + 1e-6)


def test_sample_draws_every_label_that_may_answer_and_no_other():
    network, fisher = compiled(perceptron, "sample")
    x, y = rows_of(network, n=1)
    of_label = [gradient[-1] ** 2 for gradient in log_p_gradients(network, x[0], SOME)[1]]
    drawn = [fisher(x, y, np.array(SOME), seed=seed)[-1][list(SOME)] for seed in range(40)]
    matches = [[np.allclose(one, each[list(SOME)], 1e-4) for each in of_label] for one in drawn]
    assert np.all(np.sum(matches, axis=1) == 1)
    assert np.all(np.any(matches, axis=0))


@pytest.mark.parametrize("kind", ["sample", "batched"])
def test_draws_are_reproducible_by_their_seed(kind):
    network, fisher = compiled(perceptron, kind)
    x, y = rows_of(network)
    first, again, other = (fisher(x, y, np.array(ALL), seed=seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "kind, n_samples, used",
    [("exact", 3, 3), ("batched", 3, 3), ("batched", 7, 7), ("batched", 8, 8), ("batched", 9, 8)],
)
def test_n_samples_is_the_number_of_different_rows_used(kind, n_samples, used):
    # Row i shows input i alone, so that the inputs with an importance are the rows that were used.
    x, y, network = np.eye(8, dtype=np.float32), np.zeros(8, np.int32), linear(np.zeros((8, 4)))
    fisher = Fisher(network, kind, n_samples=n_samples, batch_size=1)
    first, again, *others = (fisher(x, y, np.array(ALL), seed=s)[0] for s in (0, 0, 1, 2, 3))
    of_row = 3 / 16 if kind == "exact" else 9 / 16  # p is 1/4, the label 0: p (1 - p) or (1 - p)^2
    assert np.count_nonzero(first[:, 0]) == used
    np.testing.assert_allclose(first[first[:, 0] > 0, 0], of_row / used, rtol=1e-6)
    np.testing.assert_array_equal(first, again)
    assert any(not np.array_equal(first, other) for other in others) == (used < 8)


@pytest.mark.parametrize("kind, n_samples, used", [("exact", 0, 3), ("exact", 100, 8), ("batched", 0, 8)])
def test_without_a_number_some_rows_do_where_gradients_are_mapped(monkeypatch, kind, n_samples, used):
    monkeypatch.setattr(moments, "MAPPED_SAMPLES", 3)
    network = chain((8,), keras.layers.Dense(4), Power())
    fisher = Fisher(network, kind, n_samples=n_samples, batch_size=1)
    F, *_ = fisher(np.eye(8, dtype=np.float32), np.zeros(8, np.int32), np.array(ALL))
    assert np.count_nonzero(F[:, 0]) == used


# ---- where nothing has an influence ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_importances_are_never_negative_and_zero_without_influence(kind):
    network, fisher = compiled(perceptron, kind)
    x, y = rows_of(network)
    x[:, 2] = 0  # a dead input
    some = np.array(SOME)
    F = fisher(x, y, some)
    assert [one.shape for one in F] == [tuple(v.shape) for v in network.trainable_variables]
    assert all(np.all(one >= 0) for one in F)
    assert np.all(F[0][2] == 0)
    assert np.all(np.delete(F[0], 2, axis=0).max(axis=1) > 0)
    assert np.all(F[-2][:, ~some] == 0)
    assert np.all(F[-1][~some] == 0)
    assert np.all(F[-1][some] > 0)


def test_frozen_layers_have_no_importance():
    network = perceptron()
    network.layers[2].trainable = False
    x, y = rows_of(network)
    assert len(network.trainable_variables) == 4
    assert_same(Fisher(network)(x, y, np.array(ALL)), by_definition(network, "exact", x, y, ALL))


@pytest.mark.parametrize("kind", ["exact", "batched"])
def test_a_layer_that_no_gradient_reaches_has_importance_zero(kind):
    stop = keras.layers.Lambda(tf.stop_gradient)
    network = chain((3,), keras.layers.Dense(5), stop, keras.layers.Dense(4))
    F = Fisher(network, kind, batch_size=3)(*rows_of(network), np.array(ALL))
    assert [bool(one.any()) for one in F] == [False, False, True, True]


# ---- passes over the rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, DENSE_ROWS - 1, DENSE_ROWS, DENSE_ROWS + 1, 2 * DENSE_ROWS])
def test_the_rows_that_fill_the_last_block_do_not_count(n):
    network, fisher = compiled(perceptron)
    x, y = rows_of(network, n)
    assert_same(fisher(x, y, np.array(ALL)), by_definition(network, "exact", x, y, ALL))


def test_a_pass_is_traced_once_for_tasks_of_different_sizes_and_masks():
    network = convolutional()
    fisher, batched = Fisher(network), Fisher(network, "batched", batch_size=2)
    for n, mask in ((5, ALL), (9, SOME), (2, (False, True, False, True))):
        x, y = rows_of(network, n, seed=n)
        y[:] = 1
        assert_same(fisher(x, y, np.array(mask)), by_definition(network, "exact", x, y, mask))
        batched(x, y, np.array(mask))
    assert [one.accumulate.experimental_get_tracing_count() for one in fisher._pass._passes[True]] == [1]
    assert batched._pass._squared.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("kind", ["empirical", "batched"])
def test_labels_may_be_integers_of_any_size(kind):
    network, fisher = compiled(perceptron, kind)
    x, y = rows_of(network)
    assert_same(fisher(x, y.astype(np.uint8), np.array(ALL)), fisher(x, y, np.array(ALL)), rtol=0)


def test_importances_are_those_of_the_current_weights():
    network = perceptron()
    x, y = rows_of(network)
    fisher = Fisher(network)
    before = fisher(x, y, np.array(ALL))
    for variable in network.trainable_variables:
        variable.assign(0.9 * variable)
    after = fisher(x, y, np.array(ALL))
    assert not np.allclose(before[0], after[0], rtol=1e-2)
    assert_same(after, by_definition(network, "exact", x, y, ALL))


@pytest.mark.parametrize("kind", ["empirical", "batched"])
def test_dropout_is_off_and_nothing_in_the_network_moves(kind):
    dropout = Dropout(0.5)
    network = perceptron(dropout, keras.layers.Dropout(0.5), keras.layers.BatchNormalization())
    dropout.reseed(7)
    x, y = rows_of(network)
    before = [v.numpy() for v in network.variables]
    F = Fisher(network, kind, batch_size=1)(x, y, np.array(ALL))
    for variable, old in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert_same(F, by_definition(network, "empirical", x, y, ALL))  # batches of one row are the same


def test_importances_of_a_mixed_precision_network_are_float32_and_near_the_exact_ones():
    def make(precision):
        narrow = keras.layers.Dense(5, dtype=precision), keras.layers.ReLU(dtype=precision)
        return chain((6,), *narrow, keras.layers.Dense(4, dtype="float32"))

    mixed, full = make("mixed_bfloat16"), make("float32")
    x, y = rows_of(full)
    for one, other in zip(
        Fisher(mixed)(x, y, np.array(ALL)), by_definition(full, "exact", x, y, ALL), strict=True
    ):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.02 * other.max())
