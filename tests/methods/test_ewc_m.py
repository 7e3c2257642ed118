"""EWC on a generator: its Fisher information by single draws, its penalty, and what it keeps."""

import numpy as np
import protected
import pytest
import tensorflow as tf
from helpers import assert_same
from protected import LATENT, B, made, moved

from keras_cl.errors import InputError
from keras_cl.runs.results import Results

pytestmark = pytest.mark.usefixtures("any_order")

STRENGTH = 10.0
OPTIONS = {"method.strength": STRENGTH, "method.n_samples": 12}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return protected.dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def after_task_1(dataset):
    """A model that has learned task 1; tests leave it as it is."""
    return protected.learned(dataset, "ewc_m", 1, options=OPTIONS)


def by_hand(model, codes):
    """The mean over draws of the squared gradient of the critic's score, one draw after the other."""
    generator = model.memory.generator
    total = [0.0] * len(generator.pixels.trainable_variables)
    for row in codes:
        z, c = tf.constant(row[None, :LATENT]), tf.constant(row[None, LATENT:])
        with tf.GradientTape() as tape:
            score = generator.critic(2 * tf.sigmoid(generator.pixels([z, c])) - 1)[0]
        gradient = tape.gradient(score, generator.pixels.trainable_variables)
        total = [old + g.numpy().astype(float) ** 2 for old, g in zip(total, gradient, strict=True)]
    return [squares / len(codes) for squares in total]


def penalised(model):
    """The penalty as the generator's step adds it, and its gradient."""
    generator = model.memory.generator
    with tf.GradientTape() as tape:
        loss = generator.penalty(None)
    return float(loss), tape.gradient(loss, generator.pixels.trainable_variables)


# ---- the Fisher information --------------------------------------------------------------------------------


def test_it_is_the_mean_of_squared_gradients_of_single_draws(after_task_1):
    codes = after_task_1._scored.draws(10, [0, 1], seed=3)
    found, expected = after_task_1._fisher(codes, jit=False), by_hand(after_task_1, codes)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * other.max())
    assert all((one >= 0).all() and one.any() for one in found)


def test_it_is_that_of_convolutions_too(dataset):
    options = OPTIONS | {"memory.form": "conv", "memory.hidden": (3, 4)}
    model = moved(made(dataset, "ewc_m", options=options)[0])
    codes = model._scored.draws(3, [0, 1], seed=3)
    for one, other in zip(model._fisher(codes, jit=False), by_hand(model, codes), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * other.max())
        assert other.any()


def test_it_is_not_the_square_of_a_mean(after_task_1):
    """Of which a pair of draws with opposite gradients would have less."""
    codes = after_task_1._scored.draws(10, [0, 1], seed=3)
    each = [by_hand(after_task_1, codes[i : i + 1]) for i in range(len(codes))]
    roots = [np.sqrt([one[place] for one in each]) for place in range(len(each[0]))]
    bound = [root.mean(axis=0) ** 2 for root in roots]  # no square of a mean is larger
    found = after_task_1._fisher(codes, jit=False)
    assert all((one >= low * (1 - 1e-3) - 1e-9).all() for one, low in zip(found, bound, strict=True))
    assert any((one > 1.2 * low).any() for one, low in zip(found, bound, strict=True))


def test_draws_that_are_there_twice_do_not_change_it(after_task_1):
    codes = after_task_1._scored.draws(6, [0, 1], seed=3)
    once, twice = (after_task_1._fisher(x, jit=False) for x in (codes, np.concatenate([codes, codes])))
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_weights_that_no_draw_uses_have_none(after_task_1):
    """Those of the classes that have not come yet."""
    kernel = after_task_1.penalty.importance[0].numpy()
    assert kernel.shape[0] == LATENT + 6
    assert not kernel[LATENT + 2 :].any() and kernel[: LATENT + 2].any(axis=1).all()


def test_draws_are_of_the_given_classes_in_equal_numbers_and_of_the_seed(after_task_1):
    draws = after_task_1._scored.draws
    codes = draws(12, [1, 3, 4], 7)
    assert codes[:, LATENT:].sum(axis=0).tolist() == [0, 4, 0, 4, 4, 0]
    np.testing.assert_array_equal(codes, draws(12, [1, 3, 4], 7))
    assert not np.isin(codes[:, 0], draws(12, [1, 3, 4], 8)[:, 0]).any()
    assert abs(draws(2000, [1], 0)[:, :LATENT].std() - 1) < 0.05


def test_there_are_draws_of_every_class(dataset):
    model, stream = made(dataset, "ewc_m", options={"method.n_samples": 1})
    with pytest.raises(InputError, match="n_samples is 1, fewer than the 2 classes that they are draws of"):
        model.begin_task(stream[0])


# ---- the penalty -------------------------------------------------------------------------------------------


def test_at_the_anchor_there_is_no_penalty_and_elsewhere_its_gradient_is_known(dataset):
    model = protected.learned(dataset, "ewc_m", 1, options=OPTIONS)
    loss, gradient = penalised(model)
    assert loss == 0 and not any(g.numpy().any() for g in gradient)
    anchor = model.memory.generator.pixels.get_weights()
    moved(model)
    loss, gradient = penalised(model)
    apart = [new - old for new, old in zip(model.memory.generator.pixels.get_weights(), anchor, strict=True)]
    F = [importance.numpy() for importance in model.penalty.importance]
    expected = STRENGTH / 2 * sum(np.sum(f * d.astype(float) ** 2) for f, d in zip(F, apart, strict=True))
    assert loss == pytest.approx(expected, rel=1e-5) and loss > 0
    for found, f, d in zip(gradient, F, apart, strict=True):
        np.testing.assert_allclose(found, STRENGTH * f * d, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("online", [False, True])
def test_the_penalty_is_that_of_each_task_around_its_own_weights(dataset, online, monkeypatch):
    """Or, online, of the last one with all classes."""
    model, stream = made(dataset, "ewc_m", options=OPTIONS | {"method.online": online})
    pixels, rng = model.memory.generator.pixels, np.random.default_rng(0)
    seen = []

    def fisher(codes, **_):
        classes = np.unique(codes[:, LATENT:].argmax(axis=1)).tolist()
        F = [rng.uniform(size=w.shape).astype(np.float32) for w in pixels.get_weights()]
        seen.append((classes, F, pixels.get_weights()))
        return F

    monkeypatch.setattr(model, "_fisher", fisher)
    protected.learn(model, stream)
    own = [[0, 1], [2, 3], [4, 5]]
    assert [classes for classes, *_ in seen] == ([sum(own[: t + 1], []) for t in range(3)] if online else own)
    weights = moved(model).memory.generator.pixels.get_weights()
    terms = [
        np.sum(f * (w - a.astype(float)) ** 2)
        for _, F, anchor in (seen[-1:] if online else seen)
        for f, w, a in zip(F, weights, anchor, strict=True)
    ]
    assert penalised(model)[0] == pytest.approx(STRENGTH / 2 * sum(terms), rel=1e-4)


def test_the_penalty_holds_the_generator(dataset):
    steps = {"memory.learning_rate": 0.01, "memory.critic_steps": 1}
    found = []
    for strength in (0.0, 1e4):
        model, stream = made(dataset, "ewc_m", options=steps | OPTIONS | {"method.strength": strength})
        protected.learn(model, stream[:1])
        before, F = model.memory.generator.pixels.get_weights(), model.penalty.importance
        model.begin_task(stream[1])
        model.fit(model.batches(stream[1], B), epochs=3, verbose=0)
        pairs = zip(F, model.memory.generator.pixels.get_weights(), before, strict=True)
        found.append(sum(np.sum(f.numpy() * (new - old) ** 2) for f, new, old in pairs))
    assert found[1] < found[0] / 4


# ---- what is kept ------------------------------------------------------------------------------------------


def test_two_vectors_of_the_generators_size_are_kept_however_many_tasks_there_are(dataset):
    model, stream = made(dataset, "ewc_m", options=OPTIONS)
    size = 4 * sum(v.shape.num_elements() for v in model.memory.generator.pixels.trainable_variables)
    results, plain = Results(), Results().add(made(dataset, "mergan")[0], np.zeros(3))
    for task in stream:
        protected.learn(model, [task])
        record = results.add(model, np.zeros(3))
        assert 2 * size <= record["method_bytes"] <= 2 * size + 64
        assert record["memory_bytes"] == plain["memory_bytes"] > size
    assert plain["method_bytes"] <= 64


def test_it_comes_back_from_a_checkpoint(dataset, tmp_path):
    model = protected.learned(dataset, "ewc_m", 2, options=OPTIONS)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "after"))
    other, stream = made(dataset, "ewc_m", options=OPTIONS)
    other.restore(stream, 2, lambda: tf.train.Checkpoint(model=other).read(path).assert_consumed())
    assert_same(*([v.numpy() for v in one.penalty.variables] for one in (model, other)))
    assert penalised(moved(model))[0] == penalised(moved(other))[0] > 0
