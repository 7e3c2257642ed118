"""MeRGAN: replay by joint retraining and by alignment, their ties to other methods, and what is refused."""

import numpy as np
import protected
import pytest
import tensorflow as tf
from helpers import assert_same
from protected import B, made, moved, weights

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.numerics.random import REPLAY, seed_of

pytestmark = pytest.mark.usefixtures("any_order")

JOINT, FORGETS = {"method.replay": "joint"}, {"method.strength": 0.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return protected.dataset(tmp_path_factory.mktemp("data"))


def learned(dataset, options=None, tasks=3, method="mergan"):
    return protected.learned(dataset, method, tasks, options=options)


def at_task_2(dataset, options=None):
    """A model that begins task 2, with the weights that it began with."""
    model, stream = made(dataset, "mergan", options=options)
    model.begin_task(stream[1])
    return model, stream[1]


def batch_of(rows=B):
    return Batch(tf.zeros([rows, 4, 4, 1]), tf.fill([rows], 2), tf.fill([rows], 1), tf.ones(rows))


def aligned(model, rows=B):
    """L_RA, and its gradient by the generator's weights."""
    with tf.GradientTape() as tape:
        loss = model.alignment(batch_of(rows))
    return float(loss), [
        g.numpy() for g in tape.gradient(loss, model.memory.generator.pixels.trainable_weights)
    ]


def images(pixels, codes):
    return 2 / (1 + np.exp(-pixels(codes).numpy().astype(float))) - 1  # as a critic sees them


# ---- alignment ---------------------------------------------------------------------------------------------


def test_right_after_the_copy_there_is_nothing_to_align(dataset):
    loss, gradient = aligned(at_task_2(dataset)[0])
    assert loss == 0 and not any(g.any() for g in gradient)


@pytest.mark.parametrize(
    ("options", "weight"),
    [
        ({}, 1e-3 / 2 * 2),  # 4 rows of two classes
        ({"method.strength": 0.5}, 0.5 / 2 * 2),
        ({"method.strength": 0.5, "method.reduction": "mean"}, 0.5),
    ],
)
def test_the_loss_is_the_squared_distance_of_images_of_the_same_codes(dataset, options, weight):
    model = moved(at_task_2(dataset, options)[0])
    memory = model.memory
    step = memory.generator.state[1]
    codes, condition, task = memory.codes(B, seed_of(0, 1, REPLAY), step, 1)
    assert set(condition.numpy()) <= {0, 1} and not task.numpy().any()
    apart = images(memory.generator.pixels, codes) - images(memory.pixels, codes)
    loss, gradient = aligned(model)
    assert loss == pytest.approx(weight * np.sum(apart**2) / B, rel=1e-4)
    assert loss > 0 and all(g.any() for g in gradient)


def test_other_codes_are_other_images(dataset):
    """So that it takes the same codes to have no distance."""
    memory = at_task_2(dataset)[0].memory
    pair = [images(memory.pixels, memory.codes(B, 1, step, 1)[0]) for step in (0, 1)]
    assert np.abs(np.subtract(*pair)).max() > 1e-3


def test_each_step_aligns_at_new_codes(dataset):
    model = moved(at_task_2(dataset)[0])
    first = aligned(model)[0]
    assert aligned(model)[0] == first  # the codes are those of the generator's step
    model.memory.generator.state.assign([0, 1])
    assert aligned(model)[0] != first


@pytest.mark.parametrize(("k", "expected"), [(0, 0.0), (1, 0.032), (2, 0.016), (9, 0.0035)])
def test_the_weight_of_the_mean_is_the_published_one(dataset, k, expected):
    model, _ = made(dataset, "mergan")
    assert float(model.weight(tf.constant(64.0), tf.constant(k))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 9, 200])
def test_the_weight_never_vanishes_and_that_of_a_mean_is_constant(dataset, k):
    mean, _ = made(dataset, "mergan", options={"method.reduction": "mean", "method.strength": 0.1})
    total, _ = made(dataset, "mergan")
    assert float(mean.weight(tf.constant(64.0), tf.constant(k))) == pytest.approx(0.1)
    assert float(total.weight(tf.constant(64.0), tf.constant(k))) >= 5e-4


def test_alignment_keeps_what_the_generator_gives_for_earlier_classes(dataset):
    held = {"method.strength": 10.0, "method.reduction": "mean"}
    pair = (at_task_2(dataset, options | {"memory.learning_rate": 0.02}) for options in (held, FORGETS))
    distances = []
    for model, task in pair:
        model.fit(model.batches(task, B), epochs=4, verbose=0)
        codes, *_ = model.memory.codes(50, 1, 0, 1)
        both = [images(pixels, codes) for pixels in (model.memory.generator.pixels, model.memory.pixels)]
        distances.append(np.mean(np.subtract(*both) ** 2))
    assert 0 < distances[0] < distances[1] / 2


@pytest.mark.parametrize("options", [{}, JOINT])
def test_the_copy_of_the_generator_changes_at_the_end_of_a_task_alone(dataset, options):
    model, stream = made(dataset, "mergan", options=options)
    protected.learn(model, stream[:1])
    before = model.memory.pixels.get_weights()
    assert_same(before, model.memory.generator.pixels.get_weights())
    model.begin_task(stream[1])
    model.fit(model.batches(stream[1], B), verbose=0)
    assert_same(model.memory.pixels.get_weights(), before)
    assert not np.array_equal(model.memory.generator.pixels.get_weights()[0], before[0])
    model.end_task(stream[1])
    assert_same(model.memory.pixels.get_weights(), model.memory.generator.pixels.get_weights())


# ---- ties to other methods ---------------------------------------------------------------------------------


def test_joint_replay_is_deep_generative_replay_with_a_gan(dataset):
    options = {"memory.conditional": True, "memory.labels": "condition"}
    other = protected.learned(dataset, "dgr", memory="gan", options=options)
    model = learned(dataset, JOINT | {"method.penalise_replayed": True})
    assert_same(weights(model), weights(other))


def test_joint_replay_has_the_gradient_penalty_on_rows_of_the_task_alone(dataset):
    """As in the released program: L_D = ... + 10 of the rows of the task, of t parts of equal weight."""
    found = []
    for options in (JOINT, JOINT | {"method.penalise_replayed": True}):
        model, _ = at_task_2(dataset, options)
        generator = model.memory.generator
        batch = model.memory.mixed(batch_of()._replace(drawn=tf.fill([B], -1)))
        real, mix = generator.shown(tf.reshape(batch.x / 255, [2 * B, -1])), tf.fill([2 * B, 1], 0.5)
        fake = real[::-1]
        loss = generator.critic_loss(batch, real, fake, mix)
        penalty = generator.gradient_penalty(real, fake, mix).numpy()
        generator.penalty_weight = 0.0
        found.append((float(loss - generator.critic_loss(batch, real, fake, mix)), penalty))
    (own, penalty), (every, _) = found
    assert own == pytest.approx(10 * penalty[:B].mean() / 2, rel=1e-4)
    assert every == pytest.approx(10 * penalty.mean(), rel=1e-4) and abs(own / every - 1) > 0.1


def test_without_earlier_classes_all_forms_learn_the_same(dataset):
    forms = [learned(dataset, options, tasks=1) for options in (JOINT, {}, FORGETS)]
    for other in forms[1:]:
        assert_same(weights(forms[0]), weights(other))


@pytest.mark.parametrize("method", ["mergan", "ewc_m"])
@pytest.mark.parametrize("epochs", [0, 2])
def test_strength_0_is_a_generator_that_learns_the_rows_of_each_task_alone(dataset, method, epochs):
    model = learned(dataset, FORGETS | {"memory.epochs": epochs}, tasks=2, method=method)
    plain, stream = made(dataset, "finetune", memory="gan", options={"memory.conditional": True})
    for task in stream[:2]:
        plain.begin_task(task)
        data = plain.batches(task, B)
        passes = [
            [chunk.step(k) for chunk, count in data for k in range(int(count))] for _ in range(epochs + 1)
        ]
        for batch in sum(passes[min(epochs, 1) :], []):  # in the first pass the network may learn alone
            plain.memory.generator.train_step(batch)
        plain.memory.update(task)
    pair = [weights(one)[len(one.network.weights) :] for one in (model, plain)]
    if epochs:  # in a loop of their own, which is traced
        assert max(np.abs(one - other).max() for one, other in zip(*pair, strict=True)) < 1e-6
    else:
        assert_same(*pair)


def test_strength_and_replay_change_the_generator(dataset):
    options = [{}, JOINT, FORGETS, {"method.reduction": "mean", "method.strength": 0.1}]
    steps = {"memory.learning_rate": 0.01, "memory.critic_steps": 1}
    found = [learned(dataset, one | steps, tasks=2) for one in options]
    kernels = [model.memory.generator.pixels.get_weights()[0] for model in found]
    for place, kernel in enumerate(kernels):
        assert not any(np.array_equal(kernel, other) for other in kernels[:place])
    networks = [model.network.get_weights() for model in found]
    for other in networks[1:]:  # learns what the copy of the first task generates
        assert_same(networks[0], other)


def test_the_network_learns_generated_rows_of_earlier_classes_with_their_class(dataset):
    model, _ = at_task_2(dataset)
    batch = model.memory.mixed(batch_of()._replace(drawn=tf.fill([50], -1)))
    _, condition, _ = model.memory.codes(50, *[int(n) for n in (model.memory.state - [0, 1])], 1)
    np.testing.assert_array_equal(batch.y[B:], condition)
    assert set(batch.y[B:].numpy()) == {0, 1}
    np.testing.assert_allclose(tf.reduce_sum(batch.weight[:B]), 1 / 2, rtol=1e-6)


# ---- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("mergan", {"method.strength": -1.0}, "strength is -1.0; it must not be negative"),
        ("ewc_m", {"method.strength": -1.0}, "strength is -1.0; it must not be negative"),
        (
            "mergan",
            {"method.replay": "joined"},
            "replay 'joined' is not known; possible: joint, align.*joint",
        ),
        ("mergan", {"method.reduction": "men"}, "reduction 'men' is not known; possible: sum, mean"),
        ("ewc_m", {"method.n_samples": 0}, "n_samples is 0; it must be at least 1"),
        *[
            (
                method,
                {"memory.conditional": False, "memory.labels": "hard"} | options,
                "of a conditional generator",
            )
            for method, options in (("mergan", {}), ("mergan", JOINT), ("ewc_m", {}))
        ],
    ],
)
def test_options_that_cannot_be_used_are_refused(dataset, method, options, message):
    with pytest.raises(InputError, match=message):
        made(dataset, method, options=options)


@pytest.mark.parametrize("method", ["mergan", "ewc_m"])
@pytest.mark.parametrize("given", [{"scenario": "domain"}, {"scenario": "task"}, {"memory": "vae"}])
def test_what_the_sources_do_not_define_is_refused_before_data_is_read(method, given):
    what = "does not support the" if "scenario" in given else "cannot have|can only have|possible"
    with pytest.raises(InputError, match=what):
        protected.settings("mnist", method, **given)
