"""Brain-inspired options of replay through feedback: a prior and gates of each class, features as rows."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl.check import laws, placement
from keras_cl.check.laws import LAWS
from keras_cl.check.subject import Subject
from keras_cl.errors import InputError
from keras_cl.generators.gates import FixedGates
from keras_cl.learning.batches import Batch
from keras_cl.learning.features import split_at_features
from keras_cl.methods.rtf import RtF
from keras_cl.numerics.random import random_normal
from keras_cl.runs import samples, saved_model
from keras_cl.runs.results import Results
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config

B, SIDE, C, TASKS = 4, 4, 6, 3  # rows of a batch, pixels of a side, classes, tasks
BOTH = {"method.prior": "gmm", "method.modes": 2, "method.gate_prop": 0.5}
INTERNAL = {"method.internal": True, "network.filters": (3,), "network.hidden": (7, 6)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([5] * C, side=SIDE))
    return str(path)


def settings(dataset, options, **given):
    network = "cnn" if "network.filters" in options else "mlp"
    own = {"network.hidden": (7, 6), "method.latent": 2} | options
    fixed = {"stream": "split", "scenario": "class", "tasks": 5 if dataset == "mnist" else TASKS}
    fixed |= {"batch_size": B, "jit": "off"}
    return Config(method="rtf", network=network, dataset=dataset, options=own, **{**fixed, **given})


def at_task(number, dataset, options, **given):
    """A model of random weights, and its copies, that begins a task; its steps are not traced."""
    config = settings(dataset, options, **given)
    stream = make_stream(config)
    model, rng = make_model(config, stream, seed=0), np.random.default_rng(1)
    model.run_eagerly = True
    for theta in model.trained:
        theta.assign(rng.normal(0, 0.5, theta.shape))
    model.memory._copy_solver()
    model.memory._copy_pixels()
    model.begin_task(stream[number - 1])
    return model


def batch_of(number, scenario="class"):
    rng = np.random.default_rng(2)
    first = 0 if scenario == "domain" else 2 * (number - 1)
    return Batch(
        tf.constant(rng.uniform(0, 255, (B, SIDE, SIDE, 1)), tf.uint8),
        tf.constant(first + rng.integers(0, 2, B), tf.int32),
        tf.fill([B], number - 1),
        tf.ones(B),
        drawn=tf.fill([B], -1) if number > 1 else None,
    )


def values(variables):
    return [v.numpy() for v in variables]


def layers_of(model, kind):
    return [layer for layer in model.memory.generator.decoder.layers if isinstance(layer, kind)]


# ---- a class for every generated row -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"method.prior": "gmm"}, {"method.gate_prop": 0.5}, BOTH])
def test_replay_draws_all_old_classes_with_equal_probability(dataset, options):
    model = at_task(3, dataset, options)
    drawn = model.memory._drawn(4000, 1, 0, 2)
    task, target, condition = (part.numpy() for part in (drawn.task, drawn.target, drawn.condition))
    counts = np.bincount(condition, minlength=C)
    assert not counts[4:].any()
    np.testing.assert_allclose(counts[:4], 1000, atol=4 * np.sqrt(750))
    np.testing.assert_array_equal(task, condition // 2)
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-5)
    assert not target[:, 4:].any()


def test_in_the_domain_incremental_scenario_rows_are_drawn_by_task(dataset):
    model = at_task(3, dataset, BOTH, scenario="domain")
    assert model.memory.generator.conditions == TASKS
    mixed = model.memory.mixed(batch_of(3, "domain"))
    np.testing.assert_array_equal(mixed.condition, mixed.task[B:])
    np.testing.assert_array_equal(model.memory.conditioned(mixed, mixed.x).y, mixed.task)


@pytest.mark.parametrize("modes", [1, 2])
def test_rows_are_decoded_from_the_prior_and_by_the_gates_of_their_class(dataset, modes):
    model = at_task(2, dataset, BOTH | {"method.modes": modes})
    vae, memory, n = model.memory.generator, model.memory, 3000
    drawn = memory._drawn(n, 5, 0, 1)
    x, condition = drawn.x, drawn.condition
    means = [vae.images(vae.pixels([tf.zeros([1, 2]), tf.one_hot([c * modes], C * modes)])) for c in (0, 1)]
    assert np.abs(means[0] - means[1]).max() > 0.01
    own = [vae.decode(vae.codes(n, 3, 0, np.full(n, c)), np.full(n, c)).mean() for c in (0, 1)]
    for c in (0, 1):
        found = x.numpy()[condition.numpy() == c].mean(axis=0) / 255
        expected = own[c].numpy() / vae.scale / 255
        spread = expected.std(axis=0) * np.sqrt(2 / 1400) + 1e-4
        assert (np.abs(found - expected.mean(axis=0)) < 5 * spread).all()


@pytest.mark.parametrize("condition", ["sampled", "soft"])
def test_the_generative_loss_takes_the_asked_class_or_probabilities(dataset, condition):
    model = at_task(2, dataset, BOTH | {"method.condition": condition})
    batch = model.memory.mixed(batch_of(2))
    y = model.memory.conditioned(batch, batch.x).y.numpy()
    if condition == "sampled":
        np.testing.assert_array_equal(y, np.concatenate([batch.y[:B], batch.condition]))
    else:
        np.testing.assert_array_equal(y[:B], np.eye(C)[batch.y[:B]])
        np.testing.assert_array_equal(y[B:], batch.target)
    assert batch.target.shape == (B, C)  # the classifier has soft labels in both


@pytest.mark.parametrize("number", [1, 2])
def test_a_step_follows_both_terms_and_moves_the_modes_of_the_classes_it_has(dataset, number, monkeypatch):
    model, caught = at_task(number, dataset, BOTH), []
    memory, vae = model.memory, model.memory.generator
    batch = memory.mixed(batch_of(number))
    seen = memory.conditioned(batch, batch.x)
    with tf.GradientTape() as tape:
        vae.reseed(5)
        L = vae.rows_loss(batch.x, vae.encode(batch.x), seen.y)
        L = tf.reduce_sum(L * batch.weight) / tf.reduce_sum(batch.weight)
        L += model.task_loss(batch, model.logits(batch))
    expected = tape.gradient(L, model.trained, unconnected_gradients="zero")
    monkeypatch.setattr(RtF, "apply", lambda self, gradients: caught.extend(gradients))
    vae.reseed(5)
    model.train_step(batch)
    for found, wanted in zip(caught, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    mu = caught[[v.ref() for v in model.trained].index(vae.prior.mu.ref())].numpy()
    present = np.isin(np.arange(C), seen.y)
    np.testing.assert_array_equal(mu.reshape(C, 2, 2).any(axis=(1, 2)), present)


def test_without_the_options_nothing_is_conditional(dataset):
    model = at_task(2, dataset, {})
    vae, batch = model.memory.generator, model.memory.mixed(batch_of(2))
    assert vae.conditions == 0 and vae.prior is None and not layers_of(model, FixedGates)
    assert batch.condition is None


# ---- what is kept ------------------------------------------------------------------------------------------


def test_prior_and_masks_are_kept_and_a_mask_counts_as_bits(dataset):
    options = {"method.prior": "gmm", "method.gate_prop": 0.5}
    plain, model = (Results().add(at_task(1, dataset, own), np.zeros(TASKS)) for own in ({}, options))
    assert model["generator_parameters"] - plain["generator_parameters"] == 2 * C * 2
    bits = [C * 6, C * 7]
    assert model["memory_bytes"] - plain["memory_bytes"] == 4 * 2 * C * 2 + sum(-(-n // 8) for n in bits)


def test_training_moves_the_modes_and_neither_masks_nor_copies(dataset):
    config = settings(dataset, BOTH)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    gates, prior = layers_of(model, FixedGates), model.memory.generator.prior
    masks, modes = values([gate.masks for gate in gates]), []
    for _ in learn(model, stream[:2], batch_size=B):
        modes.append(values(prior.trainable_variables))
        copied = [layer for layer in model.memory.pixels.submodules if type(layer) is type(prior)]
        assert_same(values(copied[0].weights), modes[-1])
    assert_same(values([gate.masks for gate in gates]), masks)
    assert all((one != other).all() for one, other in zip(*(m[:1] for m in modes), strict=True)) is False
    moved = (modes[0][0] != modes[1][0]).reshape(C, 2, 2).any(axis=(1, 2))
    np.testing.assert_array_equal(moved, [True] * 4 + [False] * 2)


# ---- features in place of images ---------------------------------------------------------------------------


def test_a_network_is_split_at_the_input_of_its_first_dense_layer(dataset):
    network = at_task(1, dataset, INTERNAL).network
    x = np.random.default_rng(0).uniform(0, 255, (5, SIDE, SIDE, 1)).astype(np.float32)
    extractor, rest, hidden = split_at_features(network)
    assert extractor.output_shape == rest.input_shape == (None, 12)
    np.testing.assert_array_equal(rest(extractor(x)), network(x))
    assert hidden(extractor(x)).shape == (5, 6)
    parts = [v for part in (extractor, rest) for v in part.variables]
    assert sorted(map(id, parts)) == sorted(map(id, network.variables))


def test_the_extractor_is_never_applied_to_generated_rows(dataset, monkeypatch):
    model, taken = at_task(2, dataset, INTERNAL), []
    extractor = model.memory.extractor
    original = type(extractor).call
    monkeypatch.setattr(
        type(extractor),
        "call",
        lambda self, x, *a, **k: (self is extractor and taken.append(x.shape), original(self, x, *a, **k))[1],
    )
    batch = model.memory.mixed(batch_of(2))
    assert taken == [(B, SIDE, SIDE, 1)]
    rest = tf.nn.softmax(model.memory.rest(batch.x[B:])[:, :2] / 2)
    model.train_step(batch)
    assert len(taken) == 1
    assert batch.x.shape == (2 * B, 12)
    np.testing.assert_array_equal(batch.x[:B], extractor(tf.cast(batch_of(2).x, tf.float32)))
    drawn = model.memory._drawn(B, *model.memory.state.numpy() - [0, 1], 1)
    np.testing.assert_array_equal(batch.x[B:], drawn.x)
    np.testing.assert_allclose(drawn.target[:, :2], rest, rtol=1e-5)


def test_the_generative_loss_is_half_the_squared_distance_by_feature(dataset):
    model = at_task(2, dataset, INTERNAL)
    vae, batch = model.memory.generator, model.memory.mixed(batch_of(2))
    vae.reseed(5)
    found = vae.rows_loss(batch.x, vae.encode(batch.x))
    q = vae.encode(batch.x)
    z = q.mean() + q.stddev() * random_normal(5, 0, [2 * B, 2])
    squares = tf.reduce_sum((batch.x - vae.pixels(z)) ** 2, axis=1) / 2 + 6 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, (squares + vae.divergence(q)) / 12, rtol=1e-5)


def test_a_network_of_one_dense_layer_has_codes_of_its_features(dataset):
    stream = make_stream(settings(dataset, {}))
    images = keras.Input((SIDE, SIDE, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 2)(images / 255))
    network = keras.Model(images, keras.layers.Dense(C)(pooled))
    model = RtF(network, latent=2, internal=True, prior="gmm")
    model.compile(keras.optimizers.Adam(0.01), jit=False)
    model.run_eagerly = True
    for _ in learn(model, stream[:2], batch_size=B):
        pass
    assert model.memory.generator.image_shape == (3,)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_layers_of_the_generator_have_no_name_that_a_network_has(dataset):
    """Keras names a dense layer by the number of those before it in the process."""
    stream = make_stream(settings(dataset, {}))
    number = int(keras.layers.Dense(1).name.partition("_")[2] or 0)
    images = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Flatten(name="flatten")(images)
    for place in range(4):
        x = keras.layers.Dense(C, name=f"dense_{number + 1 + place}")(x)
    for internal in (False, True):
        model = RtF(keras.Model(images, x), latent=2, internal=internal)
        model.compile(keras.optimizers.Adam(0.01), jit=False)
        model.begin_task(stream[0])


@pytest.mark.parametrize("reset", [True, False])
def test_the_extractor_learns_in_the_first_task_only(dataset, reset):
    config = settings(dataset, INTERNAL, reset_optimizer=reset)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    states = [values(model.network.variables)]
    frozen = {id(v) for v in model.memory.extractor.variables}
    early = [id(v) in frozen for v in model.network.variables]
    for _ in learn(model, stream[:2], batch_size=B):
        states.append(values(model.network.variables))
    changed = [
        [not np.array_equal(one, other) for one, other in zip(*pair, strict=True)]
        for pair in (states[:2], states[1:])
    ]
    assert any(early) and all(changed[0])
    assert changed[1] == [not one for one in early]


def test_an_extractor_that_is_frozen_before_is_never_trained(dataset):
    config = settings(dataset, INTERNAL)
    stream = make_stream(config)
    network = make_model(config, stream, seed=0).network
    for layer in network.layers:
        layer.trainable = not isinstance(layer, keras.layers.Conv2D)
    model = RtF(network, latent=2, internal=True)
    model.compile(keras.optimizers.Adam(0.01), jit=False)
    model.run_eagerly = True
    before = values(model.memory.extractor.variables)
    for _ in learn(model, stream[:2], batch_size=B):
        pass
    assert_same(values(model.memory.extractor.variables), before)


def test_generated_features_have_no_grid_and_are_exported_as_such(dataset, tmp_path):
    config = settings(dataset, INTERNAL | BOTH)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    (task,) = learn(model, stream[:1], batch_size=B)
    samples.draw(tmp_path, task, model.memory, board=False)
    assert not list(tmp_path.iterdir())
    assert sum(samples.label_counts(task, model.memory, C)) == 2000
    saved_model.export_generator(model.memory.generator, [0, 1], tmp_path / "1", {})
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    made = signatures["generate"](num=tf.constant(5), seed=tf.constant([3, 0]))
    assert made["features"].shape == (5, 12)
    x = model.memory.extractor(tf.zeros([2, SIDE, SIDE, 1]))
    q = model.memory.generator.encode(x)
    np.testing.assert_allclose(
        signatures["encode"](features=x, condition=tf.constant([0, 1]))["mean"], q.mean(), rtol=1e-5
    )
    asked = signatures["generate_classes"](condition=tf.constant([0, 1]), seed=tf.constant([3, 0]))
    codes = model.memory.generator.codes(2, 3, 0, tf.constant([0, 1]))
    expected = model.memory.generator.decode(codes, tf.constant([0, 1])).mean()
    np.testing.assert_allclose(asked["features"], expected, rtol=1e-4, atol=1e-5)


def test_features_may_have_any_values_and_so_may_the_images(dataset, tmp_path):
    arrays = blobs([5] * C, side=SIDE, dtype=np.float32)
    arrays["x_train"] -= 3
    np.savez(tmp_path / "floats.npz", **arrays)
    for options, refused in (({}, True), (INTERNAL, False)):
        config = settings(str(tmp_path / "floats.npz"), options)
        stream = make_stream(config)
        memory = make_model(config, stream, seed=0).memory
        if refused:
            with pytest.raises(InputError, match="generator's pixels are in"):
                memory.require_images(stream)
        else:
            memory.require_images(stream)
            assert memory.generator.scale == 1.0


# ---- the laws of all methods -------------------------------------------------------------------------------

SOLITARY = [law for law in LAWS if law.check not in (laws.two_devices, placement.other_device)]
OPTIONS = {
    "prior and gates": {"network.dropout": 0.0} | BOTH,
    "soft": {"network.dropout": 0.0, "method.condition": "soft"} | BOTH,
    "features": INTERNAL | BOTH | {"network.hidden": (8,)},
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    def made(name):
        network = "cnn" if "network.filters" in OPTIONS[name] else "mlp"
        return Subject("rtf", tmp_path_factory.mktemp("laws"), options=OPTIONS[name], network=network)

    return functools.cache(made)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("law", SOLITARY, ids=lambda law: law.check.__name__)
def test_the_laws_of_all_methods_hold_with_the_options(law, options, subject):
    for scenario in SCENARIOS if law.everywhere else [None]:
        try:
            law.check(subject(options), *filter(None, [scenario]))
        except laws.DoesNotApply as reason:
            pytest.skip(str(reason))


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "gm"}, "prior 'gm' is not known; possible: standard, gmm.*Did you mean gmm"),
        ({"modes": 2}, "modes is 2, and the prior standard has one; give prior=gmm"),
        ({"modes": 0, "prior": "gmm"}, "modes is 0"),
        ({"gate_prop": 1.0}, "gate_prop is 1.0; it must be at least 0 and below 1"),
        ({"condition": "hard"}, "condition 'hard' is not known; possible: sampled, soft"),
        (
            {"condition": "soft", "labels": "hard"},
            "condition=soft takes the probabilities of soft labels, and labels is hard",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_before_data_is_read(options, message):
    with pytest.raises(InputError, match=message):
        config = settings("mnist", {f"method.{name}": value for name, value in options.items()})
        make_model(config, make_stream(config), seed=0)


def test_a_model_made_for_another_scenario_is_refused(dataset):
    config = settings(dataset, {}, scenario="domain")
    stream = make_stream(config)
    model = RtF(make_model(config, stream, seed=0).network, latent=2, prior="gmm")
    model.compile(jit=False)
    with pytest.raises(InputError, match="is for 2 classes or tasks.*has 3 tasks; give scenario='domain'"):
        model.begin_task(stream[0])


def test_a_network_whose_features_are_not_all_is_refused():
    images = keras.Input((SIDE, SIDE, 1))
    around = keras.layers.Dense(3)(keras.layers.Flatten()(images[:, :1]))
    through = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    logits = keras.layers.Dense(2)(through + around)
    with pytest.raises(InputError, match="the input of its first dense layer.*in another way"):
        RtF(keras.Model(images, logits), internal=True)
