"""Keras's own random layers: the same numbers in every mode, and from the beginning of a task alone."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs
from scipy import stats

from keras_cl import methods, sources, streams
from keras_cl.learning import loop, noise
from keras_cl.runs.checkpoints import Checkpoints

layers = keras.layers
IMAGE = (4, 4, 1)
LAYERS = {
    "dropout": lambda: layers.Dropout(0.5),
    "seeded": lambda: layers.Dropout(0.5, seed=1),
    "noise shape": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 4, 1)),
    "spatial": lambda: layers.SpatialDropout2D(0.5),
    "gaussian noise": lambda: layers.GaussianNoise(0.5),
    "gaussian dropout": lambda: layers.GaussianDropout(0.5),
    "alpha": lambda: layers.AlphaDropout(0.5),
    "flip": layers.RandomFlip,
    "contrast": lambda: layers.RandomContrast(0.5),
    "brightness": lambda: layers.RandomBrightness(0.5, value_range=(0, 1)),
    "crop": lambda: layers.RandomCrop(3, 3),
    "rotation": lambda: layers.RandomRotation(0.5),
    "translation": lambda: layers.RandomTranslation(0.5, 0.5),
    "zoom": lambda: layers.RandomZoom(0.5),
}
NOT_COMPILED = ("rotation", "translation", "zoom")
SEEDS_FOR_TENSORFLOW = ("contrast", "flip")  # whose own operations draw others with XLA


INITIAL = {"kernel_initializer": keras.initializers.GlorotUniform(1)}


def network(part):
    return keras.Sequential([keras.Input(IMAGE), part, layers.Flatten(), layers.Dense(4, **INITIAL)])


def recurrent():
    initials = {"recurrent_initializer": keras.initializers.GlorotUniform(2), **INITIAL}
    cell = layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5, **initials)
    return keras.Sequential([keras.Input(IMAGE), layers.Reshape((4, 4)), cell, layers.Dense(4, **INITIAL)])


def with_noise(part):
    made = network(part)
    noise.prepare(made)
    noise.reseed(made, seed=1, index=0)
    return made


def stream():
    return streams.split(
        sources.from_arrays(**blobs((9, 9, 9, 9), dtype=np.float32)), tasks=2, scenario="class"
    )


def images(count=6):
    return np.random.default_rng(0).uniform(0, 1, (count, *IMAGE)).astype(np.float32)


def learned(kind, path, resumed=False):
    """Weights after a second task: learned at once, or by a model restored after the first."""
    given = stream()
    model = made(kind)
    for task in given[:1] if resumed else given:
        learn(model, task)
    if resumed:
        Checkpoints(model).write(path)
        model = made(kind)
        model.restore(given, 1, lambda: Checkpoints(model).read(path))
        learn(model, given[1])
    return model.network.get_weights()


def made(kind):
    model = methods.Finetune(recurrent() if kind == "recurrent" else network(LAYERS[kind]()), seed=3)
    model.compile("sgd", run_eagerly=True, jit=False)
    return model


def learn(model, task):
    model.begin_task(task)
    model.fit(model.batches(task, 6), verbose=0)
    model.end_task(task)


@pytest.mark.parametrize("kind", [*LAYERS, "recurrent"])
@pytest.mark.usefixtures("eagerly")
def test_a_resumed_run_equals_one_that_was_not_stopped(kind, tmp_path):
    assert_same(learned(kind, tmp_path), learned(kind, tmp_path, resumed=True))


@pytest.mark.parametrize("kind", sorted(LAYERS.keys() - set(NOT_COMPILED)))
def test_the_numbers_are_those_of_the_seed_in_every_mode(kind):
    made, x = with_noise(LAYERS[kind]()).layers[0], tf.constant(images())

    def plain(x):
        return made(x, training=True)

    def steps(step, seed=5):
        made._random_generator.reseed(seed)
        return np.stack([step(x).numpy() for _ in range(8)])

    graph, compiled = tf.function(plain), tf.function(plain, jit_compile=True)
    expected = steps(plain)
    assert len(np.unique(expected, axis=0)) > 1
    assert not np.array_equal(steps(plain, seed=6), expected)
    np.testing.assert_allclose(steps(graph), expected, atol=1e-5)
    if kind in SEEDS_FOR_TENSORFLOW:
        np.testing.assert_array_equal(steps(compiled), steps(compiled))
    else:
        np.testing.assert_allclose(steps(compiled), expected, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_outside_of_training_layers_are_what_they_were(kind):
    x, plain = images(), LAYERS[kind]()
    np.testing.assert_array_equal(
        with_noise(plain).layers[0](x, training=False), LAYERS[kind]()(x, training=False)
    )


def test_dropout_drops_its_rate_and_keeps_the_mean():
    layer = with_noise(layers.Dropout(0.3)).layers[0]
    y = layer(tf.ones([500, *IMAGE]), training=True).numpy()
    assert abs((y == 0).mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / y.size)
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)


def test_numbers_have_the_distributions_that_were_asked_for():
    generator = with_noise(layers.Dropout(0.3)).layers[0]._random_generator
    normal = generator.random_normal([4000], 2.0, 3.0).numpy()
    uniform = generator.random_uniform([4000], -1.0, 3.0).numpy()
    short = generator.truncated_normal([4000]).numpy()
    assert stats.kstest(normal, stats.norm(2, 3).cdf).pvalue > 1e-4
    assert stats.kstest(uniform, stats.uniform(-1, 4).cdf).pvalue > 1e-4
    assert stats.kstest(short, stats.truncnorm(-2, 2).cdf).pvalue > 1e-4
    whole = generator.random_uniform([4000], 3, 7, tf.int32)
    assert whole.dtype == tf.int32
    assert stats.chisquare(np.bincount(whole, minlength=7)[3:]).pvalue > 1e-4
    assert generator.random_uniform([2], dtype="float16").dtype == tf.float16


def test_layers_and_tasks_and_seeds_have_numbers_of_their_own():
    twice = keras.Sequential([keras.Input(IMAGE), layers.Dropout(0.5), layers.Dropout(0.5)])
    noise.prepare(twice)
    seen = []
    for seed, index in ((1, 0), (1, 1), (2, 0)):
        noise.reseed(twice, seed, index)
        seen += [layer._random_generator.state.numpy()[0] for layer in twice.layers]
    assert len({*seen}) == 6


def test_the_state_is_no_weight_and_no_variable_of_a_gpu_s_host():
    made = network(layers.Dropout(0.5))
    before = [v.name for v in made.variables]
    model = methods.Finetune(made)
    state = made.layers[0]._random_generator.state
    assert state.dtype == tf.int64
    assert [v.name for v in made.variables] == before
    assert all(v is not state for v in model.variables)
    again = layers.Dropout.from_config(made.layers[0].get_config())
    assert again.rate == 0.5


def test_a_network_in_two_models_keeps_its_generators():
    made = network(layers.Dropout(0.5))
    generator = methods.Finetune(made).network.layers[0]._random_generator
    assert methods.Finetune(made).network.layers[0]._random_generator is generator


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dropout", "flip", "rotation", "recurrent"])
def test_no_seed_is_needed_where_operations_are_deterministic(kind, tmp_path, deterministic):
    assert_same(learned(kind, tmp_path), learned(kind, tmp_path))


def test_a_network_is_tried_where_operations_are_deterministic(deterministic):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loop.uses_xla(network(layers.RandomFlip()), jit=True)


@pytest.fixture
def deterministic():
    from tensorflow.python.util import _pywrap_determinism

    tf.random.set_seed(None)
    _pywrap_determinism.enable(True)
    yield
    _pywrap_determinism.enable(False)
