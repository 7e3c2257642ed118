"""Random bits and dropout: uniform, repeatable, and the same with and without a compiler."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy import stats

from keras_cl.bits import random_bits, seed_of
from keras_cl.layers import Dropout

MODES = ("eager", "graph", "xla")


def in_mode(function, mode):
    return function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")


def bits(seed=1, step=0, shape=(2**18,)):
    return random_bits(tf.constant(seed), tf.constant(step), shape).numpy()


def counts_are_even(values, bins):
    """Chi-square test at one in ten thousand on either side: neither uneven nor too even."""
    statistic, _ = stats.chisquare(np.bincount(values, minlength=bins))
    return stats.chi2.ppf(1e-4, bins - 1) < statistic < stats.chi2.ppf(1 - 1e-4, bins - 1)


# ---- seeds and bits ----------------------------------------------------------------------------------------


def test_seeds_of_different_parts_differ():
    parts = [p for length in (1, 2, 3, 4) for p in itertools.product(range(4), repeat=length)]
    seeds = [seed_of(*p) for p in parts]
    assert len(set(seeds)) == len(parts)
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)
    assert seed_of(3, 1, 2) == seed_of(3, 1, 2)


def lowbias32(h):
    """The published hash, in whole numbers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> shift)) * factor % 2**32
    return h ^ (h >> 16)


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (1, 0), (0, 1), (2**31 - 1, 12345)])
def test_bits_are_those_of_the_published_hash(seed, step):
    key = lowbias32(seed ^ lowbias32(step))
    expected = [lowbias32((i * 0x9E3779B1 + key) % 2**32) for i in range(100)]
    np.testing.assert_array_equal(bits(seed, step, (100,)), expected)


def test_every_pair_of_seed_and_step_has_bits_of_its_own():
    pairs = itertools.product(range(16), range(16))
    assert len({bits(seed, step, (4,)).tobytes() for seed, step in pairs}) == 256


@pytest.mark.parametrize("shift", [0, 12, 24], ids=["low bits", "middle bits", "top bits"])
@pytest.mark.parametrize(("seed", "step"), [(0, 0), (1, 0), (0, 1), (2**31 - 1, 12345)])
def test_bits_are_uniform(seed, step, shift):
    values = bits(seed, step)
    assert values.dtype == np.uint32
    assert counts_are_even((values >> shift) & 255, 256)


@pytest.mark.parametrize("shift", [0, 28], ids=["low bits", "top bits"])
@pytest.mark.parametrize("along", ["steps", "seeds"])
def test_one_element_is_uniform_over_steps_and_over_seeds(along, shift):
    number = tf.range(2**14)
    pair = (lambda n: (n, 5)) if along == "seeds" else (lambda n: (5, n))
    draw = tf.function(lambda: tf.vectorized_map(lambda n: random_bits(*pair(n), (4,)), number))
    for element in draw().numpy().T:
        assert counts_are_even((element >> shift) & 15, 16)


@pytest.mark.parametrize("other", [(1, 1), (2, 0), (1, 2**20)], ids=["next step", "next seed", "far step"])
def test_steps_and_seeds_are_not_correlated(other):
    one, two = (bits(*pair).astype(np.float64) for pair in ((1, 0), other))
    for lag in (0, 1, 2, 256):
        shifted = two[lag:]
        correlation = np.corrcoef(one[: len(shifted)], shifted)[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(len(shifted)), lag


def test_neighbouring_elements_are_not_correlated():
    values = bits().astype(np.float64)
    for lag in (1, 2, 16, 256):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4.5 / np.sqrt(len(values)), lag


def test_no_value_comes_twice_within_a_tensor():
    assert len(np.unique(bits())) == 2**18


def test_the_shape_only_arranges_the_bits():
    np.testing.assert_array_equal(bits(shape=(6, 4)).ravel(), bits(shape=(24,)))


@pytest.mark.parametrize("mode", MODES)
def test_bits_are_the_same_in_every_mode(mode):
    draw = in_mode(lambda seed, step: random_bits(seed, step, (1000,)), mode)
    for seed, step in ((0, 0), (7, 3), (2**31 - 1, 2**31 - 1)):
        got = draw(tf.constant(seed), tf.constant(step)).numpy()
        np.testing.assert_array_equal(got, bits(seed, step, (1000,)))


# ---- dropout -----------------------------------------------------------------------------------------------


def dropout(rate=0.5, seed=1, width=100, dtype="float32"):
    layer = Dropout(rate, dtype=dtype)
    layer.build((None, width))
    layer.reseed(seed)
    return layer


def masks(layer, steps=1, rows=1000, width=100):
    """Which units were kept, `[steps, rows, width]`."""
    ones = tf.ones([rows, width])
    return np.stack([layer(ones, training=True).numpy() > 0 for _ in range(steps)])


def test_dropout_is_inactive_outside_of_training():
    layer, x = dropout(), tf.random.stateless_normal([5, 100], [0, 0])
    for given in ({}, {"training": False}):
        np.testing.assert_array_equal(layer(x, **given), x)
    np.testing.assert_array_equal(layer.state, [1, 0])


def test_a_network_passes_on_whether_it_trains():
    images = keras.Input((100,))
    network = keras.Model(images, Dropout(0.5)(images))
    x = tf.ones([20, 100])
    np.testing.assert_array_equal(network(x), x)
    np.testing.assert_array_equal(network.predict(x, verbose=0), x)
    assert (network(x, training=True).numpy() == 0).any()


def test_rate_zero_keeps_everything():
    x = tf.ones([5, 100])
    np.testing.assert_array_equal(dropout(0)(x, training=True), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dtype", "unit"), [("float32", 2**-23), ("float16", 2**-10), ("bfloat16", 2**-7)])
def test_masks_are_the_same_in_every_mode(mode, dtype, unit):
    x = tf.cast(tf.random.stateless_normal([64, 100], [0, 0]), dtype)
    plain, other = dropout(0.3, dtype=dtype), dropout(0.3, dtype=dtype)
    step = in_mode(lambda x: other(x, training=True), mode)
    for _ in range(3):
        expected, got = plain(x, training=True), step(x)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got == 0, expected == 0)
        got, expected = (tf.cast(y, tf.float32) for y in (got, expected))
        # A compiler may multiply where another divides: kept values agree to a unit in the last place.
        np.testing.assert_allclose(got, expected, rtol=2 * unit)
    np.testing.assert_array_equal(other.state, [1, 3])


def test_steps_inside_one_compiled_loop_are_those_outside():
    outside, inside = dropout(), dropout()
    ones = tf.ones([10, 100])

    @tf.function(jit_compile=True)
    def loop():
        total = tf.zeros([3, 10, 100])
        for k in tf.range(3):
            total = tf.tensor_scatter_nd_update(total, [[k]], inside(ones, training=True)[tf.newaxis])
        return total

    np.testing.assert_array_equal(loop() > 0, masks(outside, steps=3, rows=10))


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9])
def test_the_share_of_kept_units_is_right(rate):
    kept = masks(dropout(rate), steps=5)
    error = np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * error
    for axis in ((0, 1), (0, 2)):  # every unit, and every row, by itself; a bit wider, as they are many
        means = kept.mean(axis=axis)
        assert np.abs(means - (1 - rate)).max() < 6 * error * np.sqrt(means.size)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_the_expectation_is_preserved(rate):
    layer = dropout(rate)
    x = tf.random.stateless_uniform([100, 100], [0, 0], 1, 2)
    runs = np.stack([layer(x, training=True).numpy() for _ in range(50)])
    error = np.sqrt(rate / (1 - rate) * np.mean(np.square(x)) / runs.size)
    assert abs(runs.mean() - np.mean(x)) < 4 * error
    kept = runs[0] != 0
    np.testing.assert_allclose(runs[0][kept], x.numpy()[kept] / (1 - rate), rtol=1e-6)


def independent(one, other, rate):
    """Whether two masks agree as often as independent ones."""
    expected = rate**2 + (1 - rate) ** 2
    error = np.sqrt(expected * (1 - expected) / one.size)
    return abs((one == other).mean() - expected) < 4.5 * error


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_masks_of_different_steps_and_seeds_are_independent(rate):
    steps = masks(dropout(rate), steps=4)
    for one, other in itertools.combinations(steps, 2):
        assert independent(one, other, rate)
    for seed in (0, 2, 3):
        assert independent(steps[0], masks(dropout(rate, seed))[0], rate)


def test_reseeding_starts_the_same_masks_again():
    layer = dropout(seed=5)
    first = masks(layer, steps=3, rows=10)
    layer.reseed(6)
    other = masks(layer, steps=3, rows=10)
    layer.reseed(5)
    np.testing.assert_array_equal(masks(layer, steps=3, rows=10), first)
    assert (other != first).any()


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_passes_through_kept_units_only(mode):
    layer, x = dropout(0.2), tf.ones([4, 100])

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x)

    y, gradient = in_mode(step, mode)(x)
    np.testing.assert_array_equal(gradient, y)


def test_the_state_is_saved_with_the_weights_and_never_trained():
    layer = dropout(seed=9)
    assert layer.trainable_weights == []
    assert [w.shape for w in layer.weights] == [(2,)]
    assert Dropout.from_config(layer.get_config()).rate == layer.rate
