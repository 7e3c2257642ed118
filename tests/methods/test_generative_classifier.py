"""The generative classifier: one VAE a class, none of which changes another; how likely it finds an image."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.methods.generative_classifier import GenerativeClassifier
from keras_cl.networks import mlp
from keras_cl.networks.class_vaes import ClassVAEs, class_vaes
from keras_cl.numerics.random import random_normal
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from keras_cl.sources import from_arrays
from keras_cl.streams import split
from keras_cl.streams.base import Stream

ARRAYS = blobs([20] * 6, seed=3)
BLOBS = from_arrays(**ARRAYS)
B, D = 8, 16


def learner(stream, *, optimizer="adam", rate=0.01, hidden=(8,), **options):
    model = GenerativeClassifier(class_vaes(stream, hidden=hidden, latent=2), **options)
    optimizer = keras.optimizers.get(optimizer)
    optimizer.learning_rate = rate
    model.compile(optimizer, jit=False)
    return model


def uneven(scenario="class", first=(0, 1, 2), second=(4,)):
    """A stream of two tasks of different numbers of classes."""
    same = (lambda x: x,) * 2
    return Stream("uneven", scenario, BLOBS, (first, second), same, BLOBS.input_shape)


def random_layer(classes=2, hidden=(3,), latent=2, **options):
    layer = ClassVAEs(classes, hidden, latent, **options)
    layer.build((None, D))
    rng = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return layer


def pixels(n=5, seed=1):
    return np.random.default_rng(seed).uniform(0, 1, (n, D)).astype(np.float32)


def through(layers, x, c):
    """What the chain of dense layers of class c makes of x, by numpy."""
    for place, (kernel, bias) in enumerate(layers):
        x = np.maximum(x, 0) if place else x
        x = x @ kernel.numpy()[c].astype(float) + bias.numpy()[c]
    return x


def log_ratio(layer, x, c, eps=0.0):
    """log p(x|z) + log p(z) - log q(z|x) `[n]` at z = mu + sigma eps, for the VAE of class c."""
    mu, logvar = np.split(through(layer.encoder, x.astype(float), c), 2, axis=1)
    sigma = np.exp(logvar / 2)
    z = mu + sigma * eps
    logits = through(layer.decoder, z, c)

    def log_normal(v, mean, deviation):
        return (-(((v - mean) / deviation) ** 2) / 2 - np.log(deviation * np.sqrt(2 * np.pi))).sum(axis=1)

    log_x = (x * logits - np.logaddexp(0, logits)).sum(axis=1)
    return log_x + log_normal(z, 0, np.ones_like(z)) - log_normal(z, mu, sigma)


# ---- the likelihood ----------------------------------------------------------------------------------------


def test_with_the_mean_code_alone_a_score_is_the_closed_expression():
    layer, x = random_layer(), pixels()
    expected = np.transpose([log_ratio(layer, x, c) for c in range(2)])
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)
    assert np.ptp(expected[:, 0] - expected[:, 1]) > 0.1


def test_with_codes_drawn_a_score_is_the_log_of_the_mean_ratio():
    layer, x = random_layer(samples=3, seed=5), pixels()
    eps = [random_normal(5, s, [2, len(x), 2]).numpy().astype(float) for s in range(3)]
    ratios = [[log_ratio(layer, x, c, noise[c]) for noise in eps] for c in range(2)]
    np.testing.assert_allclose(layer(x), np.log(np.exp(ratios).mean(axis=1)).T, rtol=1e-5)


def test_the_objective_is_the_divergence_less_the_likelihood():
    layer, x = random_layer(classes=3), pixels()
    layer.reseed(7)
    found = [layer.objective(x, tf.constant([2, 0])).numpy() for _ in range(2)]
    for step, rows in enumerate(found):
        eps = random_normal(7, step, [2, len(x), 2]).numpy().astype(float)
        for place, c in enumerate((2, 0)):
            mu, logvar = np.split(through(layer.encoder, x, c), 2, axis=1)
            logits = through(layer.decoder, mu + np.exp(logvar / 2) * eps[place], c)
            KL = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
            entropy = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
            np.testing.assert_allclose(rows[place], KL + entropy, rtol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 10])
def test_where_codes_say_nothing_a_score_is_the_likelihood_itself(samples):
    layer, x = random_layer(samples=samples), pixels()
    for (kernel, bias), zero in ((layer.encoder[-1], True), (layer.decoder[-1], False)):
        kernel.assign(0 * kernel)
        bias.assign(0 * bias if zero else bias)
    logits = layer.decoder[-1][1].numpy()[np.newaxis].astype(float)
    expected = (x[:, np.newaxis] * logits - np.logaddexp(0, logits)).sum(axis=2)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def estimate(samples, seed=0, x=None):
    """log p(x|c) of images under VAEs whose codes are far from the prior."""
    layer = random_layer(samples=samples, seed=seed)
    return tf.function(layer)(pixels(40) if x is None else x).numpy()


@pytest.mark.slow
def test_more_codes_do_not_lower_the_likelihood_on_average():
    means = [np.mean([estimate(samples, seed).mean() for seed in range(3)]) for samples in (1, 10, 100)]
    assert means[0] + 0.1 < means[1] < means[2]


def test_the_objective_is_a_bound_of_the_likelihood():
    layer, x = random_layer(), pixels(40)
    layer.reseed(9)
    objective = tf.function(lambda: layer.objective(x, tf.range(2)))
    bound = -np.mean([objective().numpy().T for _ in range(400)], axis=0)
    assert (bound < estimate(1000)).all()
    one = np.mean([estimate(1, seed) for seed in range(4)])  # of the bound, another estimate
    assert one == pytest.approx(bound.mean(), abs=0.1)


# ---- classes do not change each other ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "reset", "scenario"),
    [("adam", True, "class"), ("adam", False, "task"), ("adamw", False, "class"), ("rmsprop", False, "task")],
)
def test_scores_of_classes_that_a_task_does_not_have_stay_bit_identical(optimizer, reset, scenario):
    stream = split(BLOBS, tasks=3, scenario=scenario)
    model, x = learner(stream, optimizer=optimizer, reset_optimizer=reset), stream.source.test[0]
    before = model.predict_logits(x)
    for task in learn(model, stream, batch_size=B, epochs=2):
        after = model.predict_logits(x)
        others = [c for c in range(6) if c not in task.classes]
        np.testing.assert_array_equal(after[:, others], before[:, others])
        assert (np.abs(after - before)[:, list(task.classes)].max(axis=0) > 1e-3).all()
        before = after


def test_the_gradient_of_a_class_is_that_of_its_own_rows(monkeypatch):
    stream = split(BLOBS, tasks=3, scenario="class")
    model, caught = learner(stream), []
    model.begin_task(stream[1])
    monkeypatch.setattr(GenerativeClassifier, "apply", lambda self, gradients: caught.append(gradients))
    x, y = tf.constant(pixels(6).reshape(-1, 4, 4, 1) * 255), tf.constant([2, 2, 3, 2, 3, 3])
    for weight in ((1, 1, 1, 1, 1, 0), (1, 1, 0, 1, 0, 0), (0, 0, 1, 0, 1, 0)):
        model.network.layers[-1].reseed(3)
        model.train_step(Batch(x, y, tf.fill([6], 1), tf.constant(weight, tf.float32)))
    for both, two, three in zip(*caught, strict=True):
        np.testing.assert_allclose(both[2], two[2], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both[3], three[3], rtol=1e-5, atol=1e-6)
        assert np.abs(two[2]).max() > 0 and not np.any(two[3]) and not np.any(three[2])
        assert not np.any(np.delete(both, [2, 3], axis=0))


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_a_task_with_fewer_classes_than_others_is_learned_alone(scenario):
    stream = uneven(scenario)
    assert stream.num_classes == 6
    model = learner(stream)
    for _ in learn(model, stream[:1], batch_size=B, epochs=2):
        before = [weight.numpy() for weight in model.trained]
    task = stream[1]
    model.begin_task(task)
    history = model.fit(model.batches(task, B), epochs=15, verbose=0).history
    for old, new in zip(before, model.trained, strict=True):
        np.testing.assert_array_equal(np.delete(new, 4, axis=0), np.delete(old, 4, axis=0))
        assert np.isfinite(new[4]).all() and np.abs(new[4] - old[4]).max() > 1e-3
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"] == [1.0] * 15  # among the one class of the task


# ---- learning ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A model that learned a stream of three tasks, its stream and the losses of each epoch of each task."""
    stream = split(BLOBS, tasks=3, scenario="class")
    model, losses = learner(stream), []
    for task in stream:
        model.begin_task(task)
        losses.append(model.fit(model.batches(task, B), epochs=15, verbose=0).history["loss"])
        model.end_task(task)
    return model, stream, losses


def test_the_loss_falls_in_every_task_and_images_are_told_apart(trained):
    model, stream, losses = trained
    assert all(np.mean(task[-3:]) < task[0] for task in losses)
    assert model.accuracies(stream).mean() > 0.9


def test_what_is_shown_is_the_mean_objective_of_rows_under_their_class():
    stream = split(BLOBS, tasks=3, scenario="class")
    model = learner(stream, rate=0.0)
    model.begin_task(stream[1])
    x, y = tf.constant(pixels(4).reshape(-1, 4, 4, 1) * 255), tf.constant([2, 3, 3, 2])
    layer = model.network.layers[-1]
    layer.reseed(3)
    L = layer.objective(tf.reshape(x, [4, D]) / 255, tf.constant([2, 3])).numpy()
    layer.reseed(3)
    shown = model.train_step(Batch(x, y, tf.fill([4], 1), tf.constant([1.0, 1, 1, 0])))
    assert float(shown["loss"]) == pytest.approx((L[0, 0] + L[1, 1] + L[1, 2]) / 3, rel=1e-5)
    correct = (L.argmin(axis=0) + 2 == y.numpy())[:3]
    assert float(shown["accuracy"]) == pytest.approx(correct.mean())


# ---- the network -------------------------------------------------------------------------------------------


def test_ten_classes_have_the_known_number_of_weights():
    stream = split(from_arrays(**blobs([1] * 10, side=28)), tasks=5, scenario="class")
    network = class_vaes(stream)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_variables) == 1_501_390


def test_a_seed_decides_the_weights_and_no_two_classes_share_them():
    stream = split(BLOBS, tasks=3, scenario="class")
    one, again, other = (class_vaes(stream, hidden=(8,), seed=seed).get_weights() for seed in (1, 1, 2))
    assert_same(one, again)
    kernels = [(mine, theirs) for mine, theirs in zip(one, other, strict=True) if mine.ndim == 3]
    assert len(kernels) == 4
    for mine, theirs in kernels:
        assert np.abs(mine - theirs).max() > 0.1
        assert all(np.abs(mine[0] - kernel).max() > 0.1 for kernel in mine[1:])


def test_a_network_that_is_made_of_its_own_settings_gives_the_same_scores():
    network = class_vaes(split(BLOBS, tasks=3, scenario="class"), hidden=(8,), latent=2, samples=2, seed=4)
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    x = BLOBS.test[0].astype(np.float32)
    np.testing.assert_array_equal(network(x), copy(x))


def test_scores_do_not_move_the_noise_of_training():
    layer, x = random_layer(samples=3), pixels()
    layer.reseed(2)
    np.testing.assert_array_equal(layer(x), layer(x))
    assert layer.state.numpy().tolist() == [2, 0]


# ---- refusals ----------------------------------------------------------------------------------------------


def test_another_network_is_refused_in_one_sentence():
    message = "takes the network class_vaes, one generator per class, and not mlp"
    with pytest.raises(InputError, match=message):
        GenerativeClassifier(mlp(split(BLOBS, tasks=3, scenario="class"), hidden=(4,)))
    config = Config(
        method="generative_classifier", network="mlp", stream="split", dataset="mnist", scenario="class"
    )
    with pytest.raises(InputError, match=message):
        make_model(config, make_stream(config), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent is 0; a generator needs at least one latent unit"),
        ({"hidden": (4, 0)}, r"hidden is \(4, 0\); a layer needs at least one unit"),
        ({"samples": -1}, "samples is -1; it must not be negative"),
        ({"precision": "mixed_bfloat16"}, "runs in float32, and the precision is mixed_bfloat16"),
    ],
)
def test_options_of_the_network_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        class_vaes(split(BLOBS, tasks=3, scenario="class"), **options)
