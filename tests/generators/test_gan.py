"""The GAN: its losses and the order of its steps, what is drawn, normalisation by condition, refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same

from keras_cl.devices import replicas
from keras_cl.errors import InputError
from keras_cl.generators import GAN
from keras_cl.generators.gan import adam
from keras_cl.learning import batches
from keras_cl.learning.batches import Batch

SIDE, CLASSES = 4, 4
SMALL = {"dense": (8, 8), "conv": (4, 6)}
BARS = np.zeros((CLASSES, SIDE, SIDE, 1), np.float32)
BARS[np.arange(CLASSES), np.arange(CLASSES)] = 1  # one row is lit
every_form = pytest.mark.parametrize("form", SMALL)
with_and_without_conditions = pytest.mark.parametrize("conditions", [0, CLASSES])


def tiny(form="dense", *, shape=(SIDE, SIDE, 1), conditions=CLASSES, rate=1e-2, latent=2, seed=1, **options):
    gan = GAN(
        shape, form=form, hidden=SMALL[form], latent=latent, conditions=conditions, seed=seed, **options
    )
    gan.compile(adam(rate), adam(rate), jit=False)
    return gan


def batch_of(y, weight=None, noise=0.1, seed=0):
    """Rows of the classes `y`, with noise."""
    x = BARS[np.array(y)] + noise * np.random.default_rng(seed).normal(size=(len(y), SIDE, SIDE, 1))
    weight = tf.ones(len(y)) if weight is None else tf.constant(weight, tf.float32)
    y = tf.constant(y, tf.int32)
    return Batch(tf.constant(x.clip(0, 1), tf.float32), y, tf.zeros_like(y), weight)


def linear(weights):
    """A critic whose score is a product with `weights` and that knows no classes."""
    images = keras.Input((len(weights),))
    critic = keras.Model(images, keras.layers.Dense(1)(images))
    critic.set_weights([np.array(weights, np.float32)[:, None], np.zeros(1, np.float32)])
    return critic


def rows(*shape, seed=3):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, shape), tf.float32)


def values(model):
    return [variable.numpy() for variable in model.variables]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def inputs_of(gan, batch, seed=5):
    """Rows of the batch, generated ones and mixes, as a step hands them to the critic's loss."""
    B, D = len(batch.x), SIDE * SIDE
    fake = tf.constant(np.random.default_rng(seed).uniform(-1, 1, (B, D)), tf.float32)
    mix = tf.constant(np.random.default_rng(seed + 1).uniform(0, 1, (B, 1)), tf.float32)
    return gan.shown(tf.reshape(batch.x, [B, D])), fake, mix


# ---- losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_the_penalty_of_a_linear_critic_is_the_known_number(mix):
    gan = tiny(shape=(2,), conditions=0, activation="linear")
    gan.critic = linear([3, 4])
    one, other, mixes = rows(5, 2), rows(5, 2, seed=4), tf.fill([5, 1], mix)
    np.testing.assert_allclose(gan.gradient_penalty(one, other, mixes), np.full(5, 16), rtol=1e-5)
    batch = Batch(one, tf.zeros(5, tf.int32), tf.zeros(5, tf.int32), tf.ones(5))
    assert float(gan.critic_loss(batch, one, one, mixes)) == pytest.approx(160, rel=1e-5)


def test_the_norm_of_the_penalty_is_over_all_pixels_of_all_channels():
    gan = tiny(shape=(2, 2, 3), conditions=0)
    gan.critic = linear(np.arange(1, 13))
    expected = (np.sqrt((np.arange(1, 13) ** 2).sum()) - 1) ** 2
    penalty = gan.gradient_penalty(rows(2, 12), rows(2, 12), tf.zeros([2, 1]))
    np.testing.assert_allclose(penalty, np.full(2, expected), rtol=1e-5)


def test_the_gradient_of_the_penalty_is_finite_where_the_critic_has_none():
    gan = tiny(shape=(2,), conditions=0, activation="linear")
    gan.critic = linear([0, 0])
    with tf.GradientTape() as tape:
        penalty = tf.reduce_sum(gan.gradient_penalty(rows(3, 2), rows(3, 2), tf.zeros([3, 1])))
    kernel, _ = gan.critic.trainable_variables
    assert float(penalty) == pytest.approx(3, rel=1e-4)
    assert np.isfinite(tape.gradient(penalty, kernel)).all()


def test_every_weight_of_the_critic_has_a_gradient_that_is_not_only_rounding():
    gan, batch = tiny(), batch_of([0, 1, 2, 3] * 4)
    with tf.GradientTape() as tape:
        loss = gan.critic_loss(batch, *inputs_of(gan, batch))
    gradients = tape.gradient(loss, gan.critic.trainable_variables)
    assert min(np.abs(gradient).max() for gradient in map(np.array, gradients)) > 1e-5


@with_and_without_conditions
def test_the_losses_are_their_formulas(conditions):
    gan, batch = tiny(conditions=conditions, penalty_weight=3.0, class_weight=0.5), batch_of([0, 1, 3])
    real, fake, mix = inputs_of(gan, batch)
    (true, classes), (false, asked) = gan.judged(real), gan.judged(fake)
    penalty = gan.gradient_penalty(real, fake, mix).numpy()

    def entropy(logits):
        if not conditions:
            return 0
        logits = logits.numpy()
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return -log_p[np.arange(3), batch.y]

    expected = false - true + 3 * penalty + 0.5 * entropy(classes)
    assert float(gan.critic_loss(batch, real, fake, mix)) == pytest.approx(expected.numpy().mean(), rel=1e-5)
    expected = -false + 0.5 * entropy(asked)
    assert float(gan.generator_loss(batch, fake)) == pytest.approx(expected.numpy().mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["critic", "generator"])
def test_every_term_counts_a_row_by_its_weight(kind):
    gan, weight = tiny(), np.array([0.5, 0.0, 2.0, 1.5])
    batch = batch_of([0, 1, 2, 3], weight)
    real, fake, mix = inputs_of(gan, batch)

    def loss(i=slice(None)):
        part = batch._replace(x=batch.x[i], y=batch.y[i], task=batch.task[i], weight=batch.weight[i])
        if kind == "generator":
            return float(gan.generator_loss(part, fake[i]))
        return float(gan.critic_loss(part, real[i], fake[i], mix[i]))

    alone = [loss(slice(i, i + 1)) if weight[i] else 0.0 for i in range(4)]
    assert np.ptp(alone) > 0.1
    assert loss() == pytest.approx((weight * alone).sum() / weight.sum(), rel=1e-5)


def test_the_penalty_can_leave_replayed_rows_out():
    gan = tiny(conditions=0)
    batch = batch_of([0, 1, 2, 3, 1], [1.0, 0.0, 2.0, 1.5, 0.5])
    real, fake, mix = inputs_of(gan, batch)
    penalty = gan.gradient_penalty(real, fake, mix).numpy() * batch.weight.numpy()
    replaying, found = batch._replace(drawn=tf.fill([2], -1)), []
    for gan.penalises_replayed in (True, False):
        found.append([float(gan.critic_loss(one, real, fake, mix)) for one in (batch, replaying)])
    assert found[0][0] == found[0][1] == found[1][0]
    assert found[0][1] - found[1][1] == pytest.approx(10 * penalty[3:].sum() / 5, rel=1e-3)


def test_pixels_reach_the_critic_from_minus_one_to_one_and_features_as_they_are():
    np.testing.assert_array_equal(tiny().shown(tf.constant([[0.0, 0.5, 1.0]])), [[-1, 0, 1]])
    features = tiny(shape=(3,), activation="relu")
    np.testing.assert_array_equal(features.shown(tf.constant([[0.0, 5.0]])), [[0, 5]])
    np.testing.assert_array_equal(features.images(tf.constant([-1.0, 2.0])), [0, 2])
    np.testing.assert_array_equal(
        tiny(shape=(3,), activation="linear").images(tf.constant([-1.0, 2.0])), [-1, 2]
    )


# ---- steps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
def test_the_generator_takes_a_step_after_so_many_of_the_critic(traced):
    gan, batch, moved = tiny(critic_steps=3), batch_of([0, 1, 2, 3]), []
    step = tf.function(gan.train_step, jit_compile=True) if traced else gan.train_step
    for _ in range(7):
        before = [(part, values(part)) for part in (gan.pixels, gan.critic)]
        step(batch)
        moved.append([not same(values(part), old) for part, old in before])
    np.testing.assert_array_equal(moved, [[number % 3 == 0, True] for number in range(1, 8)])
    assert (int(gan.optimizer.iterations), int(gan.critic_optimizer.iterations)) == (2, 7)
    assert not traced or step.experimental_get_tracing_count() == 1
    gan.reseed(1)
    for _ in range(2):  # counted anew
        step(batch)
    assert int(gan.optimizer.iterations) == 2


@every_form
def test_replicas_that_undo_a_step_end_as_one_device_that_does_not_take_it(form, monkeypatch):
    ends, batch = [], batch_of([0, 1, 2, 3])
    for several in (False, True):
        gan = tiny(form, critic_steps=2)
        monkeypatch.setattr(replicas, "several", lambda several=several: several)
        for _ in range(5):
            gan.train_step(batch)
        ends.append([*values(gan), *(v.numpy() for v in gan.optimizer.variables)])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@with_and_without_conditions
def test_steps_of_a_compiled_loop_are_those_of_python(conditions):
    y = np.arange(40) % CLASSES
    x, ends = batch_of(y).x.numpy(), []
    for jit in (True, False, "eager"):
        gan = tiny(conditions=conditions, critic_steps=2, rate=1e-3)
        gan.compile(adam(1e-3), adam(1e-3), jit=jit is True, run_eagerly=jit == "eager")
        gan.fit(batches.chunks(x, y, np.zeros(40), batch_size=8, seed=0, length=4), verbose=0)
        ends.append([*values(gan.pixels), *values(gan.critic)])
    for other in ends[1:]:
        for one, two in zip(ends[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)


@pytest.mark.slow
@with_and_without_conditions
def test_convolutions_can_be_compiled(conditions):
    """As on a GPU; on a CPU that is slow. Some gradients are rounding, which Adam would make steps of."""
    gan, plain = (tiny("conv", conditions=conditions, critic_steps=2) for _ in range(2))
    for one in (gan, plain):
        one.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), jit=False)
    batch = batch_of([0, 1, 2, 3])
    step = tf.function(gan.train_step, jit_compile=True)
    for _ in range(2):
        step(batch)
        plain.train_step(batch)
    for one, other in zip(values(gan.pixels), values(plain.pixels), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@every_form
def test_steps_depend_on_the_seed_alone(form):
    batch, ends = batch_of([0, 1, 2, 3]), []
    for seed in (3, 3, 4):
        gan = tiny(form, critic_steps=1)
        gan.reseed(seed)
        for _ in range(2):
            gan.train_step(batch)
        ends.append(values(gan.pixels))
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


def test_each_step_draws_other_codes_and_the_generators_are_its_own(monkeypatch):
    gan, drawn = tiny(critic_steps=1), []
    real = gan._fakes

    def watched(*given):
        drawn.append(real(*given))
        return drawn[-1]

    monkeypatch.setattr(gan, "_fakes", watched)
    for _ in range(2):
        gan.train_step(batch_of([0, 0, 0]))
    images = np.concatenate(drawn)
    assert len(drawn) == 4 and len(np.unique(images.round(6), axis=0)) == 12


def test_the_losses_of_both_are_measured():
    gan = tiny(critic_steps=2)
    for _ in range(3):
        found = gan.train_step(batch_of([0, 1, 2, 3]))
    assert list(found) == ["generator_loss", "critic_loss"]
    assert float(gan.metrics[0].count) == 1 and float(gan.metrics[1].count) == 3


@with_and_without_conditions
def test_it_learns_images_and_their_classes(conditions):
    y = np.arange(400) % CLASSES
    gan = GAN((SIDE, SIDE, 1), hidden=(32, 32), latent=4, conditions=conditions, critic_steps=2, seed=1)
    gan.compile(adam(2e-3), adam(2e-3))
    x = batch_of(y, noise=0.05).x.numpy()
    gan.fit(batches.chunks(x, y, np.zeros(400), batch_size=32, seed=0, iterations=800), verbose=0)
    asked = np.arange(200) % CLASSES
    images = gan.sample(200, 3, asked if conditions else None).numpy()
    nearest = ((images[:, None] - BARS) ** 2).sum(axis=(2, 3, 4))
    found = nearest.argmin(axis=1)
    if conditions:
        assert (found == asked).mean() > 0.95
        _, logits = gan.judge(x)
        assert (logits.numpy().argmax(axis=1) == y).mean() > 0.95
    assert np.bincount(found, minlength=CLASSES).min() > 10
    assert np.median(nearest.min(axis=1)) < 1.5


# ---- images ------------------------------------------------------------------------------------------------


@every_form
@with_and_without_conditions
@pytest.mark.parametrize("shape", [(4, 4, 1), (5, 7, 3), (28, 28, 1)])
def test_images_have_any_size(form, conditions, shape):
    gan = GAN(shape, form=form, latent=3, conditions=conditions, hidden=(4, 4, 4), scale=1 / 255)
    images = gan.sample(3, 1, [0, 1, 1] if conditions else None).numpy()
    assert images.shape == (3, *shape) and np.ptp(images) > 0 and images.min() >= 0 and images.max() <= 1
    scores, logits = gan.judge(tf.cast(255 * images, tf.uint8))
    assert scores.shape == 3 and (logits.shape == (3, conditions) if conditions else logits is None)


def test_the_border_that_makes_an_image_fit_is_black_and_cut_off_again():
    gan = GAN((5, 7, 1), form="conv", latent=3, hidden=(4, 4, 4))
    padded = next(layer for layer in gan.critic.layers if isinstance(layer, keras.layers.ZeroPadding2D))
    shifted = keras.Model(gan.critic.input, gan.critic.layers[gan.critic.layers.index(padded) + 1].output)
    seen = shifted(tf.fill([1, 35], 0.5)).numpy()[0, :, :, 0]
    assert seen.shape == (8, 8)
    np.testing.assert_array_equal(seen[1:6, :7], 0.5)
    seen[1:6, :7] = -1
    np.testing.assert_array_equal(seen, -1)


def test_a_gan_without_conditions_takes_none_and_one_with_asks_for_them():
    assert tiny(conditions=0)(tf.zeros([2, 2])).shape == (2, SIDE, SIDE, 1)
    assert tiny()([tf.zeros([2, 2]), tf.constant([0, 1])]).shape == (2, SIDE, SIDE, 1)
    with pytest.raises(InputError, match="has to be told the classes"):
        tiny().sample(2)


# ---- normalisation by condition ----------------------------------------------------------------------------


def trained_on(gan, *ys):
    for y in ys:
        gan.train_step(batch_of(y))
    return gan


def pixels_of(gan, y, seed=2, training=False):
    z = tf.constant(np.random.default_rng(seed).normal(size=(len(y), 2)), tf.float32)
    return gan.pixels([z, tf.one_hot(y, CLASSES)], training=training).numpy()


def test_an_image_does_not_depend_on_those_that_it_is_generated_with():
    gan = trained_on(tiny("conv", critic_steps=1), [0, 1, 2, 3], [0, 0, 1, 1])
    together = pixels_of(gan, [0, 1, 1, 2, 0, 3])
    np.testing.assert_allclose(pixels_of(gan, [0, 1, 1]), together[:3], rtol=0, atol=1e-6)


def test_a_batch_of_one_class_is_normalised_as_in_a_mixed_one():
    gan = trained_on(tiny("conv", critic_steps=1), [0, 1, 2, 3])
    mixed, alone = pixels_of(gan, [1, 1, 1, 2, 0, 3], training=True), pixels_of(gan, [1, 1, 1], training=True)
    np.testing.assert_allclose(alone, mixed[:3], rtol=0, atol=1e-5)
    assert np.abs(alone - pixels_of(gan, [1, 1, 1])).max() > 1e-3  # not by the running means


def test_statistics_of_a_class_stay_while_others_are_learned():
    gan = trained_on(tiny("conv", critic_steps=1, rate=1e-9), [0, 1, 2, 3])
    before = pixels_of(gan, [0, 1])
    trained_on(gan, *[[2, 3, 3, 2]] * 3)
    np.testing.assert_allclose(pixels_of(gan, [0, 1]), before, rtol=0, atol=1e-5)
    trained_on(gan, [0, 0, 1, 1])
    assert np.abs(pixels_of(gan, [0, 1]) - before).max() > 1e-4


def test_statistics_are_means_and_variances_of_rows_of_a_class():
    norms = [layer for layer in tiny("conv").pixels.layers if "norm" in layer.name]
    norm, rng = norms[0], np.random.default_rng(0)
    x = rng.normal(size=(6, 3, 3, norm.mean.shape[1])).astype(np.float32) * 3 + 1
    y = np.array([0, 0, 0, 2, 2, 0])
    found = norm([tf.constant(x), tf.one_hot(y, CLASSES)], training=True).numpy()
    for c in (0, 2):
        own = x[y == c]
        expected = (own - own.mean(axis=(0, 1, 2))) / np.sqrt(own.var(axis=(0, 1, 2)) + norm.epsilon)
        np.testing.assert_allclose(found[y == c], expected, rtol=0, atol=1e-4)
        kept = 1 - norm.momentum
        np.testing.assert_allclose(norm.mean[c], kept * own.mean(axis=(0, 1, 2)), rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            norm.variance[c], norm.momentum + kept * own.var(axis=(0, 1, 2)), rtol=0, atol=1e-4
        )
    assert not norm.mean[1].numpy().any() and (norm.variance[1].numpy() == 1).all()


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent is 0; a generator needs at least one latent unit"),
        ({"hidden": (8, 0)}, "a layer needs at least one unit"),
        ({"critic_steps": 0}, "critic_steps is 0; it must be at least 1"),
        ({"penalty_weight": -1.0}, "penalty_weight is -1.0; it must not be negative"),
        ({"class_weight": -1.0}, "class_weight is -1.0; it must not be negative"),
        ({"form": "convs"}, "form 'convs' is not known; possible: dense, conv.*Did you mean conv"),
        ({"activation": "sigmid"}, "activation 'sigmid' is not known.*Did you mean sigmoid"),
        ({"form": "conv", "input_shape": (16,)}, r"form=conv is for images.*have the shape \[16\]"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        GAN(**{"input_shape": (SIDE, SIDE, 1)} | options)


@pytest.mark.parametrize(
    ("given", "message"),
    [((0.0,), "learning_rate is 0.0; it must be above 0"), ((1e-4, 1.0), "beta_1 is 1.0; it must be")],
)
def test_optimizers_that_cannot_be_used_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        adam(*given)


def test_initial_weights_depend_on_the_seed():
    one, again, other = (tiny(seed=seed).get_weights() for seed in (1, 1, 2))
    assert_same(one, again)
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 0.01
