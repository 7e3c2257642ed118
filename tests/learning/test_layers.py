"""Random bits and dropout: uniform, repeatable, and the same with and without a compiler; gates of tasks."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy import stats

from keras_cl.errors import InputError
from keras_cl.learning.layers import Dropout, TaskGate, gated, logits_of
from keras_cl.learning.network import image_shape
from keras_cl.numerics.random import random_bits, seed_of

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
@pytest.mark.slow
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


# ---- gates of tasks --------------------------------------------------------------------------------------

SHARPEST = 400.0


def gate_of(embedding, sharpest=SHARPEST, **kwargs):
    """A gate whose embeddings are the rows of `embedding`, one a task."""
    embedding = np.array(embedding, np.float32)
    gate = TaskGate(len(embedding), sharpest, **kwargs)
    gate.build([(None, embedding.shape[1]), (None,)])
    gate.embedding.assign(embedding)
    return gate


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, float)))


@pytest.mark.parametrize("s", [1 / SHARPEST, 0.1, 2.0, SHARPEST])
@pytest.mark.parametrize("mode", MODES)
def test_a_gate_is_a_sigmoid_whose_slope_does_not_depend_on_the_sharpness(mode, s):
    gate = gate_of([[0.5, -1.5, 0.0], [3.0, 6.0, -6.0]])

    def step(s):
        with tf.GradientTape() as tape:
            a = gate.gates(s)
        return a, tape.gradient(a, gate.embedding)

    a, slope = in_mode(step, mode)(tf.constant(s))
    e = gate.embedding.numpy().astype(float)
    np.testing.assert_allclose(a, sigmoid(np.clip(s * e, -700, 700)), rtol=1e-6, atol=1e-30)
    rounding = SHARPEST * np.finfo(np.float32).eps  # of 1 - sigmoid(e), where it is nearly 0
    np.testing.assert_allclose(slope, SHARPEST * sigmoid(e) * sigmoid(-e), rtol=1e-6, atol=rounding)
    assert float(slope[0, 0]) == pytest.approx(94.0015, rel=1e-6)


def test_the_slope_is_that_of_the_sigmoid_times_the_compensation_of_the_paper():
    """q' = q s_max (cosh(s e) + 1) / (s (cosh(e) + 1)); 239.0534 at s = 2, e = 0.5 and s_max = 400."""
    gate = gate_of([[0.5]])
    with tf.GradientTape() as tape:
        a = gate.gates(2.0)
    plain = 2 * sigmoid(1) * sigmoid(-1)
    assert float(tape.gradient(a, gate.embedding)[0, 0]) / plain == pytest.approx(239.0534, rel=1e-6)


def test_the_slope_is_multiplied_by_what_comes_from_above():
    gate, up = gate_of([[0.5, 0.5]]), tf.constant([[3.0, -0.25]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(up * gate.gates(2.0))
    np.testing.assert_allclose(tape.gradient(total, gate.embedding), 94.0015 * up, rtol=1e-6)


def test_gates_of_the_widest_embeddings_are_exactly_open_or_closed():
    gate = gate_of([[6.0, -6.0, 0.0]])
    np.testing.assert_array_equal(gate.gates(SHARPEST), np.array([[1, 0, 0.5]], np.float32))


@pytest.mark.parametrize("mode", MODES)
def test_every_row_is_gated_by_its_own_task_and_teaches_it_alone(mode):
    embedding = np.random.default_rng(0).normal(size=(3, 4))
    gate, task = gate_of(embedding), np.array([2, 0, 2], np.int32)
    h = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    gate.sharpness.assign(2.0)

    def step(h, task):
        with tf.GradientTape() as tape:
            tape.watch(h)
            y = gate([h, task], training=True)
        return y, *tape.gradient(y, [h, gate.embedding])

    y, by_h, by_e = in_mode(step, mode)(tf.constant(h), tf.constant(task))
    a = sigmoid(2 * embedding)[task]
    np.testing.assert_allclose(y, a * h, rtol=1e-5)
    np.testing.assert_allclose(by_h, a, rtol=1e-5)
    sums = np.stack([h[1], np.zeros(4), h[0] + h[2]])
    np.testing.assert_allclose(by_e, SHARPEST * sigmoid(embedding) * sigmoid(-embedding) * sums, rtol=1e-5)


def test_outside_of_training_gates_are_sharpest():
    gate = gate_of([[0.01, -0.02]])
    gate.sharpness.assign(2.0)
    inputs = tf.ones([1, 2]), tf.zeros([1], tf.int32)
    for given in ({}, {"training": False}):
        np.testing.assert_allclose(gate(inputs, **given)[0], sigmoid([4, -8]), rtol=1e-5)
    np.testing.assert_allclose(gate(inputs, training=True)[0], sigmoid([0.02, -0.04]), rtol=1e-5)


def test_a_new_gate_has_normal_embeddings_of_its_seed_and_is_sharpest():
    def embedding(seed):
        gate = TaskGate(5, SHARPEST, seed)
        gate.build([(None, 1000), (None,)])
        assert float(gate.sharpness) == SHARPEST
        assert [w.shape for w in gate.trainable_weights] == [(5, 1000)]
        return gate.embedding.numpy()

    first = embedding(1)
    np.testing.assert_array_equal(embedding(1), first)
    assert abs(np.corrcoef(first.ravel(), embedding(2).ravel())[0, 1]) < 4.5 / np.sqrt(5000)
    assert stats.kstest(first.ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_passes_through_a_gate_whose_embeddings_stay_float32(dtype, policy):
    gate = gate_of([[6.0, -6.0]], dtype=policy)
    assert gate.embedding.dtype == gate.gates(2.0).dtype == tf.float32
    y = gate([tf.ones([1, 2], dtype), tf.zeros([1], tf.int32)])
    np.testing.assert_array_equal(tf.cast(y, tf.float32), [[1, 0]])


def test_a_gate_is_made_again_from_its_settings():
    gate = TaskGate(3, 50.0, seed=7)
    again = TaskGate.from_config(gate.get_config())
    assert (again.tasks, again.sharpest, again.seed) == (3, 50.0, 7)


# ---- networks that ask for a task ------------------------------------------------------------------------


def functional(*layers, shape=(6,)):
    x = images = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x, name="mine")


def sequential(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape), *layers], name="mine")


def rows(shape=(6,)):
    return np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)


TASKS = np.array([0, 1, 1, 0, 1], np.int32)
Dense, ReLU, Rescaling = keras.layers.Dense, keras.layers.ReLU, keras.layers.Rescaling


def chains():
    """Layers of networks that can be gated, how many of them are dense, and the units of their gates."""
    return {
        "scaled": [Rescaling(100.0), Dense(4), ReLU(), Dense(3), ReLU(), Dropout(0.5), Dense(2)],
        "dense first": [Dense(6, "relu"), Dense(6, "tanh"), Dense(2)],
        "no bias": [Dense(4, use_bias=False), ReLU(), Dense(2, use_bias=False)],
        "no hidden layer": [Dense(2)],
        "ends in an activation": [Dense(4, "relu"), Dense(2), ReLU()],
    }


every_chain = pytest.mark.parametrize("kind", chains())
every_form = pytest.mark.parametrize("form", [functional, sequential])


@every_form
@every_chain
def test_with_all_gates_open_a_gated_network_is_the_network(kind, form):
    layers = chains()[kind]
    network = form(*layers)
    new, dense, gates = gated(network, 2, SHARPEST, 0)
    assert dense == [layer for layer in layers if isinstance(layer, Dense)]
    assert [gate.embedding.shape[1] for gate in gates] == [layer.units for layer in dense[:-1]]
    for gate in gates:
        gate.embedding.assign(6 * tf.ones_like(gate.embedding))
    np.testing.assert_allclose(logits_of(new, rows(), TASKS), network(rows()), rtol=1e-6)
    shared = {id(v) for v in network.trainable_variables}
    extra = [v for v in new.trainable_variables if id(v) not in shared]
    assert {id(v) for v in extra} == {id(gate.embedding) for gate in gates}
    assert len(new.trainable_variables) == len(extra) + len(shared)


@pytest.mark.parametrize("place", [0, 1])
def test_a_gate_stands_after_its_hidden_layer_and_all_that_follows_it(place):
    network = functional(Dense(4), ReLU(), Dense(3, "sigmoid"), Dense(2))
    new, dense, gates = gated(network, 2, SHARPEST, 0)
    for gate in gates:
        gate.embedding.assign(6 * tf.ones_like(gate.embedding))
    for layer in dense:
        layer.bias.assign(tf.random.stateless_normal(layer.bias.shape, [0, 1]) + 1)
    closed = gates[place].embedding.numpy()
    closed[1] = -6  # a closed layer says nothing at all: neither a bias nor sigmoid(0) comes through
    gates[place].embedding.assign(closed)
    (W0, b0), (W1, b1), (W2, b2) = (layer.get_weights() for layer in dense)
    h = np.maximum(rows() @ W0 + b0, 0) * ((TASKS == 0) | (place != 0))[:, np.newaxis]
    h = sigmoid(h @ W1 + b1) * ((TASKS == 0) | (place != 1))[:, np.newaxis]
    np.testing.assert_allclose(logits_of(new, rows(), TASKS), h @ W2 + b2, rtol=1e-5, atol=1e-6)


def test_gates_of_two_layers_and_of_two_seeds_differ():
    def embeddings(seed):
        network = functional(Dense(50), Dense(50), Dense(2))
        return [gate.embedding.numpy() for gate in gated(network, 2, SHARPEST, seed)[2]]

    first, again, other = embeddings(1), embeddings(1), embeddings(2)
    np.testing.assert_array_equal(first, again)
    assert len({one[0, 0] for one in [*first, *other]}) == 4


def test_a_network_is_given_the_task_only_if_it_asks_for_it():
    network = functional(Dense(4), Dropout(0.5), Dense(2))
    np.testing.assert_array_equal(logits_of(network, rows(), TASKS), network(rows()))
    new, _, (gate,) = gated(network, 2, SHARPEST, 0)
    gate.embedding.assign([[6.0] * 4, [-6.0] * 4])
    logits, bias = logits_of(new, rows(), TASKS).numpy(), network.layers[-1].bias.numpy()
    np.testing.assert_array_equal((logits == bias).all(axis=1), TASKS == 1)
    np.testing.assert_array_equal(logits_of(new, rows(), 1 - TASKS).numpy() == bias, (logits != bias))
    gate.embedding.assign(tf.fill([2, 4], 6.0))
    for one in (network, new):  # dropout is active in training alone
        assert not np.array_equal(logits_of(one, rows(), TASKS, training=True), network(rows()))
        np.testing.assert_allclose(logits_of(one, rows(), TASKS, training=False), network(rows()), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (4, 4, 3)])
def test_the_shape_of_an_image_is_that_without_the_task(shape):
    network = functional(keras.layers.Flatten(), Dense(4), Dense(2), shape=shape)
    assert image_shape(network) == image_shape(gated(network, 2, SHARPEST, 0)[0]) == shape


def skip():
    images = keras.Input((6,))
    x = Dense(6)(images)
    return keras.Model(images, Dense(2)(keras.layers.Add(name="odd")([x, images])), name="mine")


def branch():
    images = keras.Input((6,))
    x, y = Dense(4)(images), Dense(4)(images)
    return keras.Model(images, Dense(2)(keras.layers.Concatenate()([x, y])), name="mine")


def again():
    layer = Dense(6)
    return functional(layer, layer, Dense(2))


def subclassed():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.dense = Dense(2)

        def call(self, x):
            return self.dense(x)

    network = Mine()
    network(keras.Input((6,)))
    return network


UNSUITABLE = {
    "convolution": lambda: functional(
        keras.layers.Conv2D(2, 3, name="odd"), keras.layers.Flatten(), Dense(2), shape=(4, 4, 1)
    ),
    "first of a sequence": lambda: sequential(
        keras.layers.Conv2D(2, 3), keras.layers.Flatten(), Dense(2), shape=(4, 4, 1)
    ),
    "batch norm": lambda: functional(Dense(4), keras.layers.BatchNormalization(name="odd"), Dense(2)),
    "statistics": lambda: functional(
        Dense(4), keras.layers.BatchNormalization(center=False, scale=False), Dense(2)
    ),
    "flattened": lambda: functional(Dense(3), keras.layers.Flatten(), Dense(2), shape=(2, 5)),
    "skip": skip,
    "branch": branch,
    "a layer twice": again,
    "subclassed": subclassed,
}


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_network_that_is_no_chain_of_dense_layers_is_refused_in_a_sentence(kind):
    with pytest.raises(InputError, match="Task gates are for chains of dense layers") as error:
        gated(UNSUITABLE[kind](), 2, SHARPEST, 0)
    assert "\n" not in str(error.value)


# Layers between gates: those that act on each unit alone, and those in which a unit depends on others.
K = keras.layers
ALONE = {
    "functions": [lambda: K.Activation("gelu"), lambda: K.ELU(), lambda: K.LeakyReLU()],
    "noise": [lambda: K.Dropout(0.5), lambda: K.GaussianNoise(0.5), lambda: K.AlphaDropout(0.5)],
    "half precision": [lambda: ReLU(dtype="mixed_bfloat16"), lambda: K.Activation("tanh", dtype="float16")],
    "a function of one's own": [lambda: K.Lambda(lambda x: 2 * tf.nn.relu(x))],
}
MIXED = {
    "layer norm": [lambda: K.LayerNormalization(center=False, scale=False, name="odd")],
    "length": [lambda: K.UnitNormalization(name="odd")],
    "softmax": [lambda: K.Softmax(name="odd")],
    "softmax of a dense layer": [lambda: Dense(8, "softmax", name="odd")],
    "pooling": [lambda: K.Reshape((8, 1), name="odd"), lambda: K.MaxPooling1D(), lambda: K.Flatten()],
    "other order": [lambda: K.Lambda(lambda x: x[:, ::-1], name="odd")],
    "neighbours": [lambda: K.Lambda(lambda x: x + tf.roll(x, 1, axis=1), name="odd")],
    "last unit": [lambda: K.Lambda(lambda x: x + 0.1 * x[:, 7:], name="odd")],
}


@pytest.mark.parametrize("kind", ALONE)
def test_a_closed_gate_hides_all_weights_of_its_unit(kind):
    """Also behind layers that stand between two dense ones."""
    network = functional(Dense(8), *(make() for make in ALONE[kind]), Dense(3), Dense(2))
    new, dense, gates = gated(network, 2, SHARPEST, 0)
    gates[0].embedding.assign(np.where(np.arange(8) == 5, -6, 6) * tf.ones((2, 1)))
    before = logits_of(new, rows(), TASKS).numpy()
    dense[0].kernel.assign_add(10 * tf.one_hot([5] * 6, 8))
    np.testing.assert_array_equal(logits_of(new, rows(), TASKS), before)
    dense[0].kernel.assign_add(10 * tf.one_hot([4] * 6, 8))
    assert not np.array_equal(logits_of(new, rows(), TASKS), before)


@pytest.mark.parametrize("kind", MIXED)
def test_a_layer_in_which_units_depend_on_others_is_refused_by_name(kind):
    network = functional(Dense(8), *(make() for make in MIXED[kind]), Dense(3), Dense(2))
    with pytest.raises(InputError, match="mine has the layer odd, in which a unit depends on other units"):
        gated(network, 2, SHARPEST, 0)


def test_before_the_first_gate_units_may_depend_on_others():
    parts = K.AveragePooling2D(), K.Flatten(), K.UnitNormalization(), Dense(4), Dense(2)
    assert len(gated(functional(*parts, shape=(4, 4, 1)), 2, SHARPEST, 0)[2]) == 1


@pytest.mark.parametrize("kind", ["convolution", "batch norm", "skip"])
def test_the_refusal_names_the_layer_that_does_not_fit(kind):
    with pytest.raises(InputError, match="mine has the layer odd"):
        gated(UNSUITABLE[kind](), 2, SHARPEST, 0)
