"""The variational auto-encoder: closed forms, known bounds, steps and what is drawn; random numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras
from helpers import assert_same, blobs
from scipy import stats

from keras_cl.errors import InputError
from keras_cl.generators import VAE
from keras_cl.learning import batches
from keras_cl.learning.batches import Batch
from keras_cl.numerics import random
from keras_cl.numerics.random import random_normal, random_uniform

KINDS = ("normal", "logvar", "tril")
SIDE = 4
D = SIDE * SIDE
X = blobs([32, 32], side=SIDE, dtype=np.float32)["x_train"]
BARS = np.tile(
    np.eye(SIDE, dtype=np.float32)[:, :, np.newaxis, np.newaxis], (16, 1, SIDE, 1)
)  # one row is lit


def tiny(kind="normal", *, hidden=(8,), latent=2, seed=1, **options):
    return VAE((SIDE, SIDE, 1), hidden=hidden, latent=latent, posterior=kind, seed=seed, **options)


def compiled(vae, optimizer=None, **options):
    vae.compile(optimizer or keras.optimizers.Adam(1e-2), **options)
    return vae


def batch_of(x, weight=None, y=None):
    zeros = tf.zeros(len(x), tf.int32)
    weight = tf.ones(len(x)) if weight is None else tf.constant(weight, tf.float32)
    return Batch(tf.constant(x), zeros if y is None else tf.constant(y, tf.int32), zeros, weight)


def raw(sigma):
    """What softplus makes `sigma` of."""
    return np.log(np.expm1(sigma))


def outputs_for(kind, mu, sigma):
    """Outputs of the encoder for a mean and deviations, or for a mean and a lower triangle."""
    if kind == "tril":
        triangle = np.diag(sigma) if np.ndim(sigma) == 1 else np.array(sigma)
        bijector = tfp.bijectors.FillScaleTriL(diag_shift=np.float32(1e-5))
        return np.concatenate([mu, bijector.inverse(triangle.astype(np.float32))])
    return np.concatenate([mu, raw(sigma) if kind == "normal" else 2 * np.log(sigma)])


def answer_always(model, outputs):
    """Sets the last layer of a model so that its outputs are the same ones for everything."""
    *below, kernel, _ = model.get_weights()
    model.set_weights([*below, np.zeros_like(kernel), np.array(outputs, np.float32)])


def encoding(kind, mu, sigma, n=3):
    """A VAE whose encoder answers with these parameters, and the answer for `n` images."""
    vae = tiny(kind)
    answer_always(vae.parameters_of, outputs_for(kind, np.array(mu), np.array(sigma)))
    return vae, vae.encode(X[:n])


def some_outputs(kind, latent, rows=1, seed=0):
    count = latent + latent * (latent + 1) // 2 if kind == "tril" else 2 * latent
    return np.random.default_rng(seed).normal(size=(rows, count)).astype(np.float32)


def losses(vae, x, seed=1, condition=None):
    vae.reseed(seed)
    return vae.rows_loss(tf.constant(x), vae.encode(x, condition), condition).numpy()


@pytest.fixture(scope="module")
def trained():
    """Mean loss before and after 100 steps on 64 images, under the same noise, and the VAE."""
    vae = compiled(tiny(hidden=(16,)), keras.optimizers.Adam(0.03), jit=False)
    before = losses(vae, BARS).mean()
    vae.fit(data(BARS, iterations=100), verbose=0)
    return before, losses(vae, BARS).mean(), vae


def data(x, y=None, *, batch_size=32, length=4, **options):
    y = np.zeros(len(x)) if y is None else y
    return batches.chunks(x, y, np.zeros(len(x)), batch_size=batch_size, seed=0, length=length, **options)


# ---- the distribution of codes -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_of_a_diagonal_posterior_is_the_known_number(kind):
    vae, q = encoding(kind, [1.0, 0.0], [1.0, 2.0])
    np.testing.assert_allclose(vae.divergence(q), np.full(3, 1.3068528), rtol=0, atol=2e-6)


def test_the_divergence_of_a_triangular_posterior_is_the_known_number():
    vae, q = encoding("tril", [0.5, -0.2], [[0.7, 0.0], [0.3, 1.2]])
    np.testing.assert_allclose(q.scale.to_dense()[0], [[0.7, 0.0], [0.3, 1.2]], atol=1e-6)
    np.testing.assert_allclose(vae.divergence(q), np.full(3, 0.3293534), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_from_the_prior_itself_is_zero(kind):
    vae, q = encoding(kind, [0.0, 0.0], [1.0, 1.0])
    np.testing.assert_allclose(vae.divergence(q), np.zeros(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["normal", "logvar"])
def test_the_divergence_of_any_diagonal_posterior_is_its_closed_form(kind):
    outputs = some_outputs(kind, 5, rows=20)
    vae = tiny(kind, latent=5)
    mu, other = outputs.astype(float)[:, :5], outputs.astype(float)[:, 5:]
    sigma = np.log1p(np.exp(other)) if kind == "normal" else np.exp(other / 2)
    expected = 0.5 * (mu**2 + sigma**2 - 1 - 2 * np.log(sigma)).sum(axis=1)
    np.testing.assert_allclose(vae.divergence(vae.posterior(outputs)), expected, rtol=2e-6)


def test_the_divergence_of_any_triangular_posterior_is_its_closed_form():
    vae = tiny("tril", latent=3)
    q = vae.posterior(some_outputs("tril", 3, rows=20))
    mu, L = q.loc.numpy().astype(float), q.scale.to_dense().numpy().astype(float)
    diagonal = np.diagonal(L, axis1=1, axis2=2)
    expected = 0.5 * ((L**2).sum(axis=(1, 2)) + (mu**2).sum(axis=1) - 3 - 2 * np.log(diagonal).sum(axis=1))
    assert (diagonal > 0).all() and np.abs(np.tril(L, -1)).max() > 0.1
    np.testing.assert_allclose(vae.divergence(q), expected, rtol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_codes_have_the_divergence_on_average(kind):
    n, vae = 5000, tiny(kind, latent=3)
    q = vae.posterior(np.repeat(some_outputs(kind, 3, seed=4), n, axis=0))
    z = vae.code(q, np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32))
    difference = (q.log_prob(z) - stats.norm.logpdf(z).sum(axis=1)).numpy()
    exact = vae.divergence(q).numpy()[0]
    assert exact > 0.3
    assert abs(difference.mean() - exact) < 3 * difference.std() / np.sqrt(n)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_codes_have_the_mean_and_the_covariance_of_the_posterior(kind):
    n, vae = 20000, tiny(kind, latent=2)
    q = vae.posterior(some_outputs(kind, 2, seed=3))
    z = vae.code(q, np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)).numpy()
    covariance = q.covariance().numpy()[0] if kind == "tril" else np.diag(q.variance().numpy()[0])
    spread = 4 * np.sqrt(np.diagonal(covariance) / n)
    assert (np.abs(z.mean(axis=0) - q.mean().numpy()[0]) < spread).all()
    np.testing.assert_allclose(np.cov(z.T), covariance, rtol=0, atol=0.05 * covariance.max())


@pytest.mark.parametrize(
    ("kind", "deviation"), [("normal", lambda s: np.log1p(np.exp(s))), ("logvar", lambda s: np.exp(s / 2))]
)
def test_the_deviation_is_what_the_outputs_stand_for(kind, deviation):
    outputs = some_outputs(kind, 4, rows=6)
    q = tiny(kind, latent=4).posterior(outputs)
    np.testing.assert_allclose(q.mean(), outputs[:, :4], rtol=1e-6)
    np.testing.assert_allclose(q.stddev(), deviation(outputs[:, 4:].astype(float)), rtol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tensor_that_a_posterior_stands_for_is_its_mean(kind):
    vae = tiny(kind)
    q = vae.encode(X[:5])
    np.testing.assert_array_equal(tf.convert_to_tensor(q), q.mean())
    np.testing.assert_array_equal(vae.reconstruct(X[:5]), vae.decode(q.mean()).mean())
    np.testing.assert_array_equal(vae(X[:5]), vae.reconstruct(X[:5]))


# ---- the loss ----------------------------------------------------------------------------------------------


def test_the_probability_of_an_image_is_the_known_number():
    vae = VAE((4,), hidden=(), latent=1)
    answer_always(vae.pixels, [0.0, 1.0, -1.0, 2.0])
    image = np.array([[0.3, 0.6, 0.0, 1.0]], np.float32)
    np.testing.assert_allclose(vae.decode(np.ones((1, 1))).log_prob(image), [-1.8465985], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_where_codes_do_not_matter_the_loss_is_that_of_the_images_exactly(kind):
    """A decoder that ignores z gives log p(x) itself: with q the prior nothing is lost, else the KL is."""
    bias = np.random.default_rng(2).normal(size=D)
    p = 1 / (1 + np.exp(-bias))
    x = X[:8].reshape(8, D).astype(float)
    exact = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)
    for mu, sigma, lost in (([0.0, 0.0], [1.0, 1.0], 0.0), ([1.0, 0.0], [1.0, 2.0], 1.3068528)):
        vae, _ = encoding(kind, mu, sigma)
        answer_always(vae.pixels, bias)
        np.testing.assert_allclose(losses(vae, X[:8]), exact + lost, rtol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_images_that_the_noise_makes(kind):
    """By hand, from the noise of the seed and step that are due."""
    vae = tiny(kind)
    vae.reseed(9)
    for step in range(2):
        q = vae.encode(X[:6])
        eps = random_normal(9, step, [6, 2]).numpy()
        if kind == "tril":
            z = q.loc.numpy() + np.einsum("nij,nj->ni", q.scale.to_dense(), eps)
        else:
            z = q.mean().numpy() + q.stddev().numpy() * eps
        p, x = vae.decode(z.astype(np.float32)).mean().numpy().astype(float), X[:6].astype(float)
        reconstruction = -(x * np.log(p) + (1 - x) * np.log1p(-p)).reshape(6, D).sum(axis=1)
        found = vae.rows_loss(tf.constant(X[:6]), q)
        np.testing.assert_allclose(found, reconstruction + vae.divergence(q).numpy(), rtol=1e-5)


def features(n=6, width=5):
    return np.random.default_rng(3).normal(0, 3, (n, width)).astype(np.float32)


@pytest.mark.parametrize("shape", [(6,), (1, 3, 2)])
def test_the_loss_of_normal_values_is_half_their_squared_distance_and_a_constant(shape):
    """Values may have any sign and size; `scale` divides the standard deviation."""
    vae, x = VAE(shape, hidden=(4,), latent=2, likelihood="normal", scale=5.0), features(width=6) / 5
    x = x.reshape(6, *shape)
    vae.reseed(2)
    q = vae.encode(x)
    z = q.mean().numpy() + q.stddev().numpy() * random_normal(2, 0, [6, 2]).numpy()
    mean = vae.decode(z).mean().numpy().astype(float)
    assert mean.shape == (6, *shape) and mean.min() < 0
    squares = ((5 * x.astype(float) - mean) ** 2).reshape(6, -1).sum(axis=1)
    expected = squares / 2 + 3 * np.log(2 * np.pi) + vae.divergence(q).numpy()
    np.testing.assert_allclose(vae.rows_loss(tf.constant(x), q), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bernoulli", "normal"])
def test_images_are_the_means_for_the_outputs_of_the_pixels(kind):
    vae = tiny(likelihood=kind)
    z = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    flat = vae.images(vae.pixels(z))
    np.testing.assert_array_equal(tf.reshape(flat, [7, SIDE, SIDE, 1]), vae.decode(z).mean())
    np.testing.assert_array_equal(tf.convert_to_tensor(vae.decode(z)), vae.decode(z).mean())
    assert (flat.numpy().min() < 0) == (kind == "normal")


def test_normal_values_are_learned():
    vae = compiled(VAE((5,), hidden=(16,), latent=3, likelihood="normal", seed=1), jit=False)
    x = features(64)
    before = losses(vae, x).mean()
    vae.fit(data(x, iterations=100), verbose=0)
    assert losses(vae, x).mean() < 0.6 * before
    assert vae.sample(20, 1).shape == (20, 5)


def test_bytes_are_scaled_to_the_same_loss():
    images = np.rint(255 * X[:8]).astype(np.uint8)
    floats = losses(tiny(), (images / 255).astype(np.float32))
    np.testing.assert_allclose(losses(tiny(scale=1 / 255), images), floats, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_by_pixel_is_the_loss_divided_by_the_pixels(kind):
    whole, by_pixel = losses(tiny(kind), X), losses(tiny(kind, per_pixel=True), X)
    np.testing.assert_allclose(by_pixel, whole / D, rtol=2e-6)


@pytest.mark.parametrize("beta", [1.0, 3.5])
def test_beta_weighs_the_divergence_alone(beta):
    without, with_it = losses(tiny(beta=0.0), X), losses(tiny(beta=beta), X)
    vae = tiny()
    np.testing.assert_allclose(with_it - without, beta * vae.divergence(vae.encode(X)), rtol=0, atol=5e-6)


def test_the_loss_falls_on_few_images(trained):
    before, after, _ = trained
    assert after < before / 2


def test_the_loss_is_a_bound_of_what_importance_sampling_estimates(trained):
    vae, S, n = trained[2], 500, 32
    x, rng = np.repeat(BARS[:n], S, axis=0), np.random.default_rng(0)
    q = vae.encode(x)
    z = vae.code(q, rng.normal(size=(n * S, 2)).astype(np.float32))
    reconstruction = vae.decode(z).log_prob(x).numpy().astype(float)
    ratio = reconstruction + stats.norm.logpdf(z).sum(axis=1) - q.log_prob(z).numpy()
    log_p = np.logaddexp.reduce(ratio.reshape(n, S), axis=1) - np.log(S)
    bound = (vae.divergence(q).numpy() - reconstruction).reshape(n, S).mean(axis=1)
    assert (bound + log_p > 0.1).all()
    assert (bound + log_p).mean() < 2
    assert log_p.mean() < -np.log(SIDE)  # of four images none can be more probable on average
    np.testing.assert_allclose(losses(vae, BARS).mean(), bound.mean(), rtol=0, atol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_no_layer_adds_a_divergence_of_its_own(kind):
    vae = compiled(tiny(kind), jit=False)
    assert vae.losses == []
    vae.train_step(batch_of(X[:4]))
    assert vae.losses == []


# ---- steps -------------------------------------------------------------------------------------------------


def fitted(**options):
    """A VAE after some epochs of batches, the last of which is not full."""
    vae = compiled(tiny(), **options)
    vae.reseed(5)
    vae.fit(data(X[:58], batch_size=16, length=3), epochs=3, verbose=0)
    return vae


@pytest.fixture(scope="module")
def plain():
    return fitted(jit=False, run_eagerly=True)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.slow
def test_fit_takes_the_same_steps_with_and_without_a_compiler_and_is_traced_once(jit, plain):
    vae = fitted(jit=jit)
    pairs = zip(vae.trainable_variables, tiny().trainable_variables, strict=True)
    assert all(np.abs(one - other).max() > 0.01 for one, other in pairs)
    for one, other in zip(vae.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert vae.state.numpy().tolist() == plain.state.numpy().tolist() == [5, 12]
    vae.fit(data(X, batch_size=16, length=3), verbose=0)
    assert vae.train_function.steps.experimental_get_tracing_count() == 1


def test_the_loss_that_fit_shows_is_that_of_its_rows():
    vae = compiled(tiny(), keras.optimizers.SGD(0.0), jit=False)
    vae.reseed(1)
    shown = vae.fit(data(X, batch_size=64, length=1), verbose=0).history
    assert list(shown) == ["generator_loss"]
    (order, _), *_ = data(X, batch_size=64, length=1)
    assert shown["generator_loss"][0] == pytest.approx(losses(vae, order.x[0]).mean(), rel=1e-5)


def after_a_step(batch, **options):
    vae = compiled(tiny(**options), keras.optimizers.SGD(0.1), jit=False)
    vae.reseed(3)
    vae.train_step(batch)
    return vae.get_weights()


def test_rows_of_weight_zero_do_not_matter():
    other = X[:6].copy()
    other[4:] = 1 - other[4:]
    weight = [1.0, 2.0, 0.5, 1.0, 0.0, 0.0]
    assert_same(after_a_step(batch_of(X[:6], weight)), after_a_step(batch_of(other, weight)))


def test_a_step_follows_the_weighted_mean_of_the_rows_losses():
    weight = np.array([1.0, 2.0, 0.5, 1.0, 0.0, 3.0], np.float32)
    vae = tiny()
    vae.reseed(3)
    with tf.GradientTape() as tape:
        L = tf.reduce_sum(vae.rows_loss(tf.constant(X[:6]), vae.encode(X[:6])) * weight / weight.sum())
    gradients = tape.gradient(L, vae.trainable_variables)
    expected = [v - 0.1 * g for v, g in zip(vae.trainable_variables, gradients, strict=True)]
    found = compiled(tiny(), keras.optimizers.SGD(0.1), jit=False)
    found.reseed(3)
    shown = found.train_step(batch_of(X[:6], weight))
    for one, two in zip(found.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)
    assert float(shown["generator_loss"]) == pytest.approx(float(L), rel=1e-6)


def test_weight_decay_adds_to_the_gradient_of_kernels_alone():
    batch, decay = batch_of(X[:6]), 0.5
    start = tiny().get_weights()
    plain, decayed = after_a_step(batch), after_a_step(batch, weight_decay=decay)
    kernels = 0
    for before, one, other in zip(start, plain, decayed, strict=True):
        expected = 0.1 * decay * before if before.ndim == 2 else np.zeros_like(one)
        np.testing.assert_allclose(one - other, expected, rtol=0, atol=1e-6)
        kernels += before.ndim == 2
    assert kernels == 4


def test_weight_decay_is_not_in_the_loss_that_is_shown():
    shown = []
    for decay in (0.0, 0.5):
        vae = compiled(tiny(weight_decay=decay), jit=False)
        shown.append(float(vae.train_step(batch_of(X[:6]))["generator_loss"]))
    assert shown[0] == shown[1]


# ---- what is drawn -----------------------------------------------------------------------------------------


def test_images_depend_on_the_seed_alone(trained):
    vae = trained[2]
    one, again, other = vae.sample(20, seed=3), vae.sample(20, seed=3), vae.sample(20, seed=4)
    assert one.shape == (20, SIDE, SIDE, 1)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01
    assert len(np.unique(one.numpy().reshape(20, -1), axis=0)) == 20
    assert (one.numpy() > 0).all() and (one.numpy() < 1).all()


def test_images_are_the_same_after_weights_are_loaded(trained):
    vae = trained[2]
    new = tiny(hidden=(16,), seed=8)
    assert np.abs(new.sample(9) - vae.sample(9)).max() > 0.01
    new.set_weights(vae.get_weights())
    np.testing.assert_array_equal(new.sample(9), vae.sample(9))


def test_drawing_does_not_move_the_noise_of_training():
    vae = tiny()
    vae.reseed(6)
    vae.sample(5)
    assert vae.state.numpy().tolist() == [6, 0]


def test_initial_weights_depend_on_the_seed_alone():
    assert_same(tiny(seed=2).get_weights(), tiny(seed=2).get_weights())
    pairs = zip(tiny(seed=2).trainable_variables, tiny(seed=3).trainable_variables, strict=True)
    assert all(np.abs(one - other).max() > 0.1 for one, other in pairs if one.shape.rank == 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_changes_codes_and_images(kind):
    vae = tiny(kind, conditions=3)
    zeros, ones = np.zeros(4, int), np.ones(4, int)
    assert np.abs(vae.sample(4, condition=zeros) - vae.sample(4, condition=ones)).max() > 1e-3
    np.testing.assert_array_equal(vae.sample(4, condition=ones), vae.sample(4, condition=ones))
    means = [vae.encode(X[:4], condition).mean() for condition in (zeros, ones)]
    assert np.abs(means[0] - means[1]).max() > 1e-3
    assert np.abs(losses(vae, X[:4], condition=zeros) - losses(vae, X[:4], condition=ones)).max() > 1e-3


def test_a_conditional_one_asks_for_the_class():
    vae = tiny(conditions=3)
    with pytest.raises(ValueError):
        vae.sample(4)
    with pytest.raises(ValueError):
        vae.encode(X[:4])


def test_a_conditional_one_learns_what_images_of_a_class_are_like():
    dark, bright = 0.1 * np.ones((16, SIDE, SIDE, 1)), 0.9 * np.ones((16, SIDE, SIDE, 1))
    x, y = np.concatenate([dark, bright]).astype(np.float32), np.repeat([0, 2], 16)
    vae = compiled(tiny(conditions=3, beta=5.0), keras.optimizers.Adam(0.05), jit=False)
    vae.fit(data(x, y, iterations=100), verbose=0)
    assert vae.sample(20, condition=np.zeros(20, int)).numpy().mean() < 0.3
    assert vae.sample(20, condition=np.full(20, 2)).numpy().mean() > 0.7


# ---- size, refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "latent", "times", "count"),
    [
        ((512, 256), 2, 1, 1_068_820),
        ((400, 400), 100, 1, 1_069_784),
        ((85, 85), 5, 10, 1_501_390),
    ],
)
@pytest.mark.parametrize("kind", ["normal", "logvar"])
def test_the_number_of_weights_is_the_known_one(kind, hidden, latent, times, count):
    vae = VAE((28, 28, 1), hidden=hidden, latent=latent, posterior=kind)
    assert times * sum(weight.size for weight in map(np.array, vae.trainable_variables)) == count


def test_the_decoder_has_the_hidden_layers_in_reverse():
    vae = tiny(hidden=(7, 5), latent=3)
    layers = [[w.shape[1] for w in model.get_weights()[::2]] for model in (vae.parameters_of, vae.pixels)]
    assert layers == [[7, 5, 6], [5, 7, D]]


def test_a_triangle_needs_an_output_for_each_of_its_entries():
    assert tiny("tril", latent=4).parameters_of.output_shape == (None, 4 + 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent is 0; a generator needs at least one latent unit"),
        ({"hidden": (8, 0)}, r"hidden is \(8, 0\); a layer needs at least one unit"),
        ({"beta": -0.5}, "beta is -0.5; it must not be negative"),
        ({"weight_decay": -1e-5}, "weight_decay is -1e-05; it must not be negative"),
        (
            {"posterior": "logvr"},
            "posterior 'logvr' is not known; possible: normal, logvar, tril.*Did you mean logvar",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        VAE((SIDE, SIDE, 1), **options)


# ---- random numbers ----------------------------------------------------------------------------------------


def in_mode(function, mode):
    return function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")


def drawn(function, mode="eager", seed=3, step=7, shape=(2**16,)):
    return in_mode(lambda: function(tf.constant(seed), tf.constant(step), shape), mode)().numpy()


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_the_least_and_the_largest_bits_stay_inside_of_zero_and_one(mode, monkeypatch):
    extremes = np.array([0, 2**32 - 1], np.uint32)
    monkeypatch.setattr(random, "random_bits", lambda *_: tf.constant(extremes))
    low, high = drawn(random_uniform, mode, shape=(2,))
    assert 0 < low < 1e-6
    assert 1 - 1e-6 < high < 1


def test_uniform_numbers_are_uniform():
    u = drawn(random_uniform)
    assert u.dtype == np.float32
    assert u.min() > 0 and u.max() < 1
    assert stats.kstest(u.astype(float), "uniform").pvalue > 1e-3


def test_normal_numbers_are_normal():
    n = 2**16
    z = drawn(random_normal).astype(float)
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_normal_numbers_of_all_seeds_steps_and_places_are_unrelated():
    n = 2**14
    columns = [
        drawn(random_normal, seed=s, step=t, shape=(n, 2)) for s, t in itertools.product((0, 1), (0, 1, 2))
    ]
    correlation = np.corrcoef(np.concatenate(columns, axis=1).T)
    assert np.abs(correlation - np.eye(12)).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("function", [random_uniform, random_normal])
def test_the_same_numbers_come_again_and_with_a_compiler(function):
    eager = drawn(function, shape=(50, 3))
    assert eager.shape == (50, 3)
    np.testing.assert_array_equal(drawn(function, shape=(50, 3)), eager)
    for mode in ("graph", "xla"):
        np.testing.assert_allclose(drawn(function, mode, shape=(50, 3)), eager, rtol=0, atol=2e-6)
    assert np.abs(drawn(function, seed=4, shape=(50, 3)) - eager).max() > 0.1
    assert np.abs(drawn(function, step=8, shape=(50, 3)) - eager).max() > 0.1
