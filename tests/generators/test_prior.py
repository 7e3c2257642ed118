"""The conditional prior: its density, codes drawn from it, and a VAE with it."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_cl.errors import InputError
from keras_cl.generators import VAE
from keras_cl.generators.prior import MixturePrior
from keras_cl.numerics.random import random_normal

SHAPE, Z, C = (2, 3, 1), 2, 3
X = np.random.default_rng(5).uniform(size=(6, *SHAPE)).astype(np.float32)


def prior_of(mu, variance, modes=1):
    """A prior with these means and variances `[C * M, Z]`."""
    mu, variance = np.array(mu, np.float32), np.broadcast_to(np.array(variance, np.float32), np.shape(mu))
    prior = MixturePrior(len(mu) // modes, mu.shape[1], modes)
    prior.build(None)
    prior.set_weights([mu, np.log(variance)])
    return prior


def vae_of(modes=1, seed=1, **options):
    return VAE(SHAPE, hidden=(5,), latent=Z, conditions=C, prior="gmm", modes=modes, seed=seed, **options)


def some_modes(modes=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (C * modes, Z)), rng.uniform(0.3, 2, (C * modes, Z))


def density(z, q, mu, variance):
    """float64 log sum_y q_y 1/M sum_m N(z; mu_ym, variance_ym) `[n]`."""
    each = stats.norm.pdf(z[:, None], mu, np.sqrt(variance)).prod(axis=2)
    return np.log((q * each.reshape(len(z), q.shape[1], -1).mean(axis=2)).sum(axis=1))


# ---- its density -------------------------------------------------------------------------------------------


def test_the_density_of_two_modes_is_the_known_number():
    prior = prior_of([[0.0, 0.0], [2.0, 0.0]], 1.0)
    found = prior.log_prob(tf.constant([[1.0, 0.0]]), tf.constant([[0.5, 0.5]]))
    np.testing.assert_allclose(found, [-2.3378771], rtol=0, atol=1e-6)


@pytest.mark.parametrize("modes", [1, 3])
@pytest.mark.parametrize("sharp", [True, False])
def test_the_density_is_that_of_the_mixture(modes, sharp):
    rng = np.random.default_rng(1)
    mu, variance = some_modes(modes)
    z = rng.normal(0, 2, (20, Z)).astype(np.float32)
    q = np.eye(C)[rng.integers(0, C, 20)] if sharp else rng.dirichlet(np.ones(C), 20)
    found = prior_of(mu, variance, modes).log_prob(z, q.astype(np.float32))
    np.testing.assert_allclose(found, density(z.astype(float), q, mu, variance), rtol=1e-5, atol=1e-5)


def test_modes_without_weight_have_no_part_and_no_gradient():
    prior = prior_of([[0.0, 0.0], [1e3, 0.0]], 1.0)
    with tf.GradientTape() as tape:
        found = tf.reduce_sum(prior.log_prob(tf.ones([4, 2]), tf.constant([[1.0, 0.0]] * 4)))
    assert float(found) == pytest.approx(4 * 2 * stats.norm.logpdf(1), rel=1e-6)
    mu, log_variance = tape.gradient(found, prior.trainable_variables)
    np.testing.assert_allclose(mu, [[4.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(log_variance, np.zeros([2, 2]), atol=1e-6)


def test_it_begins_close_to_the_standard_prior():
    """Means from N(0, 1) would need more steps to come together than a task has."""
    prior = MixturePrior(20, 50, modes=2, seed=3)
    prior.build(None)
    mu, log_variance = prior.get_weights()
    assert mu.shape == log_variance.shape == (40, 50)
    assert not log_variance.any()
    assert mu.std() == pytest.approx(0.01, rel=0.1) and abs(mu.mean()) < 1e-3


# ---- a VAE with it -----------------------------------------------------------------------------------------


def test_with_every_mode_at_the_standard_prior_it_is_the_standard_vae_on_average():
    n = 5000
    vae = vae_of(modes=2)
    vae.prior.set_weights([np.zeros([2 * C, Z])] * 2)
    plain = VAE(SHAPE, hidden=(5,), latent=Z)
    outputs = np.tile(np.array([[0.8, -0.3, 0.2, -1.0]], np.float32), (n, 1))
    q = vae.posterior(outputs)
    z = vae.code(q, np.random.default_rng(0).normal(size=(n, Z)).astype(np.float32))
    found = vae.divergence(q, z, np.arange(n) % C).numpy()
    exact = plain.divergence(plain.posterior(outputs[:1])).numpy()[0]
    assert exact > 0.3 and found.std() > 0.3
    assert abs(found.mean() - exact) < 3 * found.std() / np.sqrt(n)
    soft = vae.divergence(q, z, np.full((n, C), 1 / C, np.float32))
    np.testing.assert_allclose(soft, found, rtol=1e-4, atol=1e-5)


def test_certain_classes_have_the_divergence_from_their_own_mode():
    n, (mu, variance) = 20000, some_modes()
    vae = vae_of()
    vae.prior.set_weights([mu, np.log(variance)])
    outputs = np.tile(np.array([[0.8, -0.3, 0.2, -1.0]], np.float32), (n, 1))
    q = vae.posterior(outputs)
    m, s2 = q.mean().numpy()[0].astype(float), q.variance().numpy()[0].astype(float)
    z = vae.code(q, np.random.default_rng(0).normal(size=(n, Z)).astype(np.float32))
    for y in range(C):
        exact = 0.5 * (np.log(variance[y] / s2) + (s2 + (m - mu[y]) ** 2) / variance[y] - 1).sum()
        found = vae.divergence(q, z, np.full(n, y)).numpy()
        assert abs(found.mean() - exact) < 3 * found.std() / np.sqrt(n)
        np.testing.assert_array_equal(vae.divergence(q, z, np.eye(C, dtype=np.float32)[np.full(n, y)]), found)


def test_the_loss_has_the_estimate_at_the_code_that_is_decoded():
    vae, y = vae_of(), np.arange(6) % C
    vae.prior.set_weights(some_modes())
    vae.reseed(4)
    q = vae.encode(X)
    z = vae.code(q, random_normal(4, 0, [6, Z]))
    expected = vae.divergence(q, z, y) - vae.decode(z).log_prob(X)
    np.testing.assert_allclose(vae.rows_loss(tf.constant(X), q, y), expected, rtol=1e-6)


@pytest.mark.parametrize("modes", [1, 2])
def test_codes_come_from_the_modes_of_their_class_with_equal_probability(modes):
    n, (mu, variance) = 20000, some_modes(modes, seed=2)
    vae = vae_of(modes)
    vae.prior.set_weights([mu, np.log(variance)])
    z = vae.codes(n, 3, 0, np.full(n, 1)).numpy()
    own = slice(modes, 2 * modes)
    spread = np.sqrt((variance[own] + mu[own] ** 2).mean(axis=0) - mu[own].mean(axis=0) ** 2)
    assert (np.abs(z.mean(axis=0) - mu[own].mean(axis=0)) < 4 * spread / np.sqrt(n)).all()
    np.testing.assert_allclose(z.std(axis=0), spread, rtol=0.03)
    np.testing.assert_array_equal(vae.codes(n, 3, 0, np.full(n, 1)), z)


@pytest.mark.parametrize("gate_prop", [0.0, 0.5])
def test_pixels_of_noise_and_a_mode_are_those_of_the_code(gate_prop):
    vae = vae_of(2, gate_prop=gate_prop)
    vae.prior.set_weights(some_modes(2))
    noise = np.random.default_rng(3).normal(size=(6, Z)).astype(np.float32)
    mode = np.array([0, 1, 2, 3, 4, 5])
    mu, log_variance = vae.prior.get_weights()
    z = mu[mode] + np.exp(log_variance[mode] / 2) * noise
    flat = vae.images(vae.pixels([noise, tf.one_hot(mode, 6)]))
    expected = vae.decode(z, mode // 2).mean()
    np.testing.assert_allclose(tf.reshape(flat, [6, *SHAPE]), expected, rtol=1e-5)


def test_its_modes_are_learned_with_the_rest():
    vae = vae_of(2)
    assert {v.ref() for v in vae.prior.trainable_variables} < {v.ref() for v in vae.trainable_variables}
    with tf.GradientTape() as tape:
        L = tf.reduce_sum(vae.rows_loss(tf.constant(X), vae.encode(X), np.zeros(6, int)))
    mu, log_variance = (tf.convert_to_tensor(g) for g in tape.gradient(L, vae.prior.trainable_variables))
    assert np.abs(mu[:2]).min() > 0 and np.abs(log_variance[:2]).min() > 0
    assert not np.any(mu[2:]) and not np.any(log_variance[2:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "gm"}, "prior 'gm' is not known; possible: standard, gmm"),
        ({"prior": "gmm", "modes": 0, "conditions": 2}, "modes is 0; a conditional prior needs at least one"),
        ({"modes": 2}, "modes is 2, and the prior standard has one; give prior=gmm"),
        ({"prior": "gmm"}, "The prior gmm has modes of each class; give conditions"),
        ({"gate_prop": 0.5}, "gate_prop is the share of units that a class closes; give conditions"),
        ({"gate_prop": 1.0, "conditions": 2}, "gate_prop is 1.0; it must be at least 0 and below 1"),
        ({"gate_prop": -0.1, "conditions": 2}, "gate_prop is -0.1; it must be at least 0 and below 1"),
        ({"gate_prop": 0.1, "conditions": 2, "hidden": ()}, "this decoder has no hidden layer"),
        ({"likelihood": "gauss"}, "likelihood 'gauss' is not known; possible: bernoulli, normal"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        VAE(SHAPE, **options)


def test_a_class_has_to_be_told():
    with pytest.raises(InputError, match="has to be told the classes"):
        vae_of().sample(3)
