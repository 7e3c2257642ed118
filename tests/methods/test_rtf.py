"""Replay through feedback: one network both ways, its two losses, its one copy, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.methods.rtf import RtF
from keras_cl.numerics.random import random_normal
from keras_cl.runs.results import Results
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config

B, STEPS, SIDE = 4, 3, 4  # rows of a batch, batches of a task, pixels of a side
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs([5] * 6, side=SIDE))
    return str(path)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The model of the paper, for ten classes of images of 28 by 28 bytes."""
    path = tmp_path_factory.mktemp("data") / "large.npz"
    np.savez(path, **blobs([1] * 10, side=28))
    config = Config(method="rtf", stream="split", scenario="class", dataset=str(path))
    return make_model(config, make_stream(config), seed=0)


def settings(dataset, *, options=None, **given):
    own = {"network.hidden": (7, 6), "method.latent": 2} | (options or {})
    fixed = {"stream": "split", "scenario": "class", "tasks": 2 if dataset == "mnist" else 3}
    fixed |= {"batch_size": B, "jit": "off"}
    return Config(method="rtf", dataset=dataset, options=own, **{**fixed, **given})


def at_task(number, dataset, **given):
    """A model of random weights, and its copies of other ones, that begins a task."""
    config = settings(dataset, **given)
    stream = make_stream(config)
    model, rng = make_model(config, stream, seed=0), np.random.default_rng(1)
    for part in (model.network, model.joint, model.way_back, model.memory.solver, model.memory.pixels):
        part.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in part.get_weights()])
    model.begin_task(stream[number - 1])
    return model


def batch_of(number, scenario="class", weight=(1, 1, 1, 0)):
    rng = np.random.default_rng(2)
    first = 0 if scenario == "domain" else 2 * (number - 1)
    return Batch(
        tf.constant(rng.uniform(0, 255, (B, SIDE, SIDE, 1)), tf.uint8),
        tf.constant(first + rng.integers(0, 2, B), tf.int32),
        tf.fill([B], number - 1),
        tf.constant(weight, tf.float32),
        drawn=tf.fill([B], -1) if number > 1 else None,
    )


def stepped(model, batch, monkeypatch):
    """Gradients `{variable: array}` that a step on the batch hands to the optimizer."""
    caught = []
    monkeypatch.setattr(RtF, "apply", lambda self, gradients: caught.extend(gradients))
    model.memory.generator.reseed(5)
    model.train_step(batch)
    return {v.ref(): g.numpy() for v, g in zip(model.trained, caught, strict=True)}


def both_terms(model, batch):
    """Gradients by all that is trained of the generative and of the classification term."""
    vae = model.memory.generator
    vae.reseed(5)
    found = []
    for term in (lambda: generative(vae, batch), lambda: model.task_loss(batch, model.logits(batch))):
        with tf.GradientTape() as tape:
            L = term()
        found.append(tape.gradient(L, model.trained, unconnected_gradients="zero"))
    return [[g.numpy() for g in gradients] for gradients in found]


def generative(vae, batch):
    """The VAE's loss on its own way through the network, weighed by row."""
    return tf.reduce_sum(vae.rows_loss(batch.x, vae.encode(batch.x)) * batch.weight) / tf.reduce_sum(
        batch.weight
    )


# ---- one network -------------------------------------------------------------------------------------------


def test_the_number_of_trained_weights_is_the_known_one(published):
    assert sum(int(np.prod(v.shape)) for v in published.trained) == 1_073_794


def test_network_and_what_is_kept_beside_it_have_the_known_size(published):
    kept = sum(int(np.prod(v.shape)) for v in published.memory.kept)
    assert published.network.count_params() + kept == 1_073_794
    record = Results().add(published, np.zeros(5))
    assert record["parameters"] + record["generator_parameters"] == 1_073_794
    assert record["network_bytes"] + record["memory_bytes"] == 4_295_176


def test_every_weight_is_trained_once(dataset):
    model = at_task(1, dataset)
    parts = [model.network, model.memory.generator]
    assert len({v.ref() for v in model.trained}) == len(model.trained)
    assert {v.ref() for v in model.trained} == {v.ref() for part in parts for v in part.trainable_variables}


def test_hidden_layers_are_shared_and_the_way_back_has_them_in_reverse(dataset):
    model = at_task(1, dataset)
    generator = {v.ref() for v in model.memory.generator.parameters_of.trainable_variables}
    *hidden, kernel, bias = model.network.trainable_variables
    assert {v.ref() for v in hidden} < generator and not {kernel.ref(), bias.ref()} & generator
    widths = [layer.units for layer in model.way_back.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [6, 7, SIDE**2]
    assert not {v.ref() for v in model.memory.kept} & {v.ref() for v in model.network.variables}


def test_there_is_one_copy_of_the_network_and_one_of_the_way_back(dataset):
    model = at_task(1, dataset)
    living = {v.ref() for v in (*model.trained, *model.memory.generator.variables)}
    frozen = [v for v in model.memory.variables if v.ref() not in living and v.dtype == tf.float32]
    copied = [v for part in (model.network, model.way_back) for v in part.trainable_variables]
    assert sorted(tuple(v.shape) for v in frozen) == sorted(tuple(v.shape) for v in copied)


def test_what_is_answered_does_not_depend_on_the_noise(dataset):
    model = at_task(2, dataset)
    x, vae = batch_of(2).x.numpy(), model.memory.generator
    answers, drawn = [], []
    for seed in (1, 2):
        vae.reseed(seed)
        vae.rows_loss(tf.constant(x), vae.encode(x))
        answers.append(model.predict_logits(x))
        drawn.append(model.memory.generated(50, 3, 1))
    np.testing.assert_array_equal(*answers)
    assert_same(*drawn)
    assert np.abs(answers[0]).max() > 0.1


# ---- the loss ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("labels", ["soft", "hard"])
@every_scenario
def test_a_step_follows_the_sum_of_both_terms(dataset, scenario, labels, number, monkeypatch):
    model = at_task(number, dataset, scenario=scenario, options={"method.labels": labels})
    batch = model.memory.mixed(batch_of(number, scenario))
    terms = both_terms(model, batch)
    caught = stepped(model, batch, monkeypatch)
    for variable, generating, classifying in zip(model.trained, *terms, strict=True):
        np.testing.assert_allclose(
            caught[variable.ref()], generating + classifying, rtol=1e-4, atol=1e-5 * np.abs(generating).max()
        )


def test_both_terms_reach_the_hidden_layers_and_each_one_its_own_end(dataset, monkeypatch):
    model = at_task(2, dataset)
    generating, classifying = both_terms(model, model.memory.mixed(batch_of(2)))
    place = {v.ref(): i for i, v in enumerate(model.trained)}
    *hidden, kernel, bias = (place[v.ref()] for v in model.network.trainable_variables)
    back = [place[v.ref()] for v in model.way_back.trainable_variables]
    assert all(generating[i].any() and classifying[i].any() for i in hidden)
    assert not any(generating[i].any() for i in (kernel, bias)) and classifying[kernel].any()
    assert all(generating[i].any() for i in back) and not any(classifying[i].any() for i in back)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_generative_loss_is_by_pixel_and_has_the_share_of_each_part(dataset, number):
    model = at_task(number, dataset)
    vae, batch = model.memory.generator, model.memory.mixed(batch_of(number))
    q = vae.encode(batch.x)
    mu, sigma = q.mean().numpy().astype(float), q.stddev().numpy().astype(float)
    z = mu + sigma * random_normal(5, 0, mu.shape).numpy()
    logits, x = vae.pixels(z.astype(np.float32)).numpy(), batch.x.numpy().reshape(len(mu), -1) / 255
    entropy = (np.logaddexp(0, logits) - x * logits).sum(axis=1)
    KL = (mu**2 + sigma**2 - 1 - 2 * np.log(sigma)).sum(axis=1) / 2
    rows = (entropy + KL) / SIDE**2
    expected = rows[:3].mean() / number
    expected += (1 - 1 / number) * rows[B : B + 3].mean() if number > 1 else 0
    vae.reseed(5)
    model.train_step(batch)
    assert float(vae.metrics[0].result()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("number", [2, 3])
def test_current_rows_have_the_share_of_one_task(dataset, number):
    weight = at_task(number, dataset).memory.mixed(batch_of(number)).weight.numpy()
    np.testing.assert_allclose(weight[:B], np.array([1, 1, 1, 0]) / (3 * number), rtol=1e-6)
    np.testing.assert_allclose(weight[B:], np.array([1, 1, 1, 0]) * (1 - 1 / number) / 3, rtol=1e-6)


def test_hard_labels_have_no_probabilities_and_soft_ones_do(dataset):
    hard, soft = (at_task(2, dataset, options={"method.labels": labels}) for labels in ("hard", "soft"))
    mixed = [model.memory.mixed(batch_of(2)) for model in (hard, soft)]
    assert mixed[0].target is None and mixed[1].target.shape == (B, 6)
    np.testing.assert_array_equal(mixed[0].y, mixed[1].y)
    np.testing.assert_array_equal(mixed[0].y[B:], mixed[1].target.numpy().argmax(axis=1))


# ---- a stream of tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_the_first_task_replays_nothing_and_every_step_of_later_ones_does(dataset, labels):
    config = settings(dataset, options={"method.labels": labels})
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    draws = [int(model.memory.state[1]) for _ in learn(model, stream, batch_size=B)]
    assert draws == [0, STEPS, STEPS]
    assert int(model.memory.generator.state[1]) == STEPS
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_the_memory_learns_nothing_by_itself(dataset):
    model = at_task(2, dataset)
    before = [v.numpy() for v in (*model.variables, *model.memory.variables)]
    model.memory.learn(batch_of(2))
    assert_same([v.numpy() for v in (*model.variables, *model.memory.variables)], before)


def test_both_losses_are_shown(dataset):
    config = settings(dataset)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.begin_task(stream[0])
    history = model.fit(model.batches(stream[0], B), epochs=30, verbose=0).history
    assert list(history) == ["loss", "accuracy", "generator_loss"]
    for name in ("loss", "generator_loss"):
        assert history[name][-1] < history[name][0]
    assert 0.3 < history["generator_loss"][0] < 1.5  # nats of a pixel, not of an image


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("latent", 0, "latent is 0; a generator needs at least one latent unit"),
        ("temperature", 0.0, "temperature is 0.0; it must be above 0"),
        ("temperature", -1.0, "temperature is -1.0; it must be above 0"),
        ("labels", "sotf", "labels 'sotf' is not known; possible: hard, soft.*Did you mean soft"),
        ("labels", "condition", "labels 'condition' is not known"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_data_is_read(option, value, message):
    with pytest.raises(InputError, match=message):
        config = settings("mnist", options={f"method.{option}": value})
        make_model(config, make_stream(config), seed=0)


def test_the_constructor_refuses_labels_too(dataset):
    network = at_task(1, dataset).network
    with pytest.raises(InputError, match="labels 'condition' is not known; possible: hard, soft"):
        RtF(network, labels="condition")


def test_a_memory_besides_is_refused():
    with pytest.raises(InputError, match="--memory is vae, and the method rtf can have no memory"):
        settings("mnist", memory="vae")
