"""EWC: minimisers known in closed form, the laws that tie it to fine-tuning, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl.errors import InputError
from keras_cl.methods.ewc import EWC
from keras_cl.methods.finetune import Finetune
from keras_cl.networks.mlp import mlp
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

pytestmark = pytest.mark.usefixtures("any_order")

STREAM = split("digits", tasks=5, scenario="task")
BATCH = 96


def model_of(method=EWC, stream=STREAM, jit=False, **options):
    model = method(mlp(stream, hidden=(6,), seed=3), seed=1, **options)
    model.compile(keras.optimizers.Adam(0.01), jit=jit)
    return model


def learn(model, tasks, stream=STREAM, epochs=2, batch_size=BATCH):
    """Trains on the first `tasks` tasks; yields the weights at the end of each."""
    for task in stream[:tasks]:
        model.begin_task(task)
        model.fit(model.batches(task, batch_size), epochs=epochs, verbose=0)
        model.end_task(task)
        yield model.network.get_weights()


def equal(weights, others):
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


# ---- the minimum in closed form --------------------------------------------------------------------------

CENTERS = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, -2, 5], [3, -1, 2, 0, 4, 4]], np.float32)
FISHERS = np.array([[0, 1, 0, 2, 0.5, 1], [0, 0, 1, 1, 2, 0.25]], np.float32)
CURVATURE, STRENGTH = 0.5, 1.5  # b and lambda


class Quadratic(EWC):
    """EWC on six independent weights, whose loss in task t is b/2 (theta - theta_t)^2."""

    def task_loss(self, batch, logits):
        (kernel,) = self.network.trainable_variables
        return CURVATURE / 2 * tf.reduce_sum((kernel - tf.gather(CENTERS, self.task)) ** 2)


def learn_quadratics(**options):
    """The weights after each of three tasks whose Fisher information is `FISHERS`, and the model."""
    rows = np.repeat(np.arange(6, dtype=np.int32), 16)
    data = (np.ones((96, 1), np.float32), rows)
    stream = split(Source("rows", (1,), tuple(range(6)), 1.0, lambda: (data, data)), tasks=3)
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(6, use_bias=False)])
    model = Quadratic(network, strength=STRENGTH, **options)
    model._fisher = lambda x, y, mask, **_: [FISHERS[np.argmax(mask) // 2 % 2][np.newaxis]]
    # Contracts by 1 - 0.2 (b + lambda F), at most 0.9 in size.
    model.compile(keras.optimizers.SGD(0.2), jit=False)
    after = [kernel[0] for (kernel,) in learn(model, 3, stream, epochs=10, batch_size=2)]
    return after, model


def test_quadratic_losses_end_at_their_weighted_mean():
    first, second, third = learn_quadratics()[0]
    F1, F2 = STRENGTH * FISHERS
    b, (A, B, C) = CURVATURE, CENTERS
    np.testing.assert_allclose(first, A, atol=1e-5)
    np.testing.assert_allclose(second, (b * B + F1 * first) / (b + F1), atol=1e-5)
    np.testing.assert_allclose(third, (b * C + F1 * first + F2 * second) / (b + F1 + F2), atol=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_online_form_ends_at_the_mean_of_two(gamma):
    (first, second, third), model = learn_quadratics(online=True, gamma=gamma)
    F1, F2 = STRENGTH * FISHERS
    b, (A, B, C) = CURVATURE, CENTERS
    np.testing.assert_allclose(first, A, atol=1e-5)
    np.testing.assert_allclose(second, (b * B + gamma * F1 * first) / (b + gamma * F1), atol=1e-5)
    running = gamma * (gamma * F1 + F2)
    np.testing.assert_allclose(third, (b * C + running * second) / (b + running), atol=1e-5)
    # After the third task, whose Fisher information is again the first.
    F1, F2 = FISHERS
    kept = gamma * (gamma * (gamma * F1 + F2) + F1)
    np.testing.assert_allclose(model.penalty.importance[0][0], kept, rtol=1e-6)
    np.testing.assert_array_equal(model.penalty.anchor[0][0], third)


# ---- laws ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    """The weights after each of two tasks of fine-tuning."""
    return list(learn(model_of(Finetune), 2))


@pytest.fixture(scope="module")
def separate():
    """EWC on three tasks: the model, the weights after each task, and the bytes that it held then."""
    model, after, held = model_of(strength=1e3), [], []
    for weights in learn(model, 3):
        after.append(weights)
        held.append(sum(v.dtype.size * v.shape.num_elements() for v in model.method_variables))
    return model, after, held


@pytest.fixture(scope="module")
def online():
    """The online form of the same: the model and the weights after each task."""
    model = model_of(strength=1e3, online=True)
    return model, list(learn(model, 3))


def test_strength_0_is_fine_tuning_bit_for_bit(plain):
    model = model_of(strength=0)
    for weights, others in zip(learn(model, 2), plain, strict=True):
        assert equal(weights, others)
    assert all(np.any(F) for F in model.penalty.importance)  # there was something to multiply by 0


def test_the_first_task_is_fine_tuning_whatever_the_strength(plain, separate, online):
    _, after, _ = separate
    assert equal(after[0], plain[0])
    assert equal(online[1][0], plain[0])
    assert not equal(after[1], plain[1])


def test_one_anchor_or_many_are_the_same_for_two_tasks_and_not_for_three(separate, online):
    _, after, _ = separate
    assert equal(after[1], online[1][1])
    assert not np.allclose(after[2][0], online[1][2][0], atol=1e-4)


def test_the_weights_that_mattered_stay_nearer_than_in_fine_tuning(plain, separate):
    _, after, _ = separate

    def moved(weights):
        return sum(np.sum((one - old) ** 2) for one, old in zip(weights, plain[0], strict=True))

    assert moved(after[1]) < 0.5 * moved(plain[1])


def test_memory_does_not_grow_with_the_tasks(separate):
    model, _, held = separate
    weights = sum(v.shape.num_elements() for v in model.network.trainable_variables)
    # An importance and an anchor each, the constant, and the number of tasks, an int64.
    assert held == [4 * (2 * weights + 1) + 8] * 3


def test_the_step_is_traced_once_for_all_tasks(separate):
    model, *_ = separate
    assert model.train_function.steps.experimental_get_tracing_count() == 1


# ---- the end of a task -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fisher", ["exact", "batched"])
@pytest.mark.parametrize("on", [False, True], ids=["separate", "online"])
def test_the_end_of_a_task_leaves_network_and_predictions_as_they_are(fisher, on):
    model, task = model_of(fisher=fisher, online=on), STREAM[0]
    model.begin_task(task)
    x, _ = task.test.open()
    logits, weights = model.predict_logits(x), [v.numpy() for v in model.network.variables]
    model.end_task(task)
    np.testing.assert_array_equal(model.predict_logits(x), logits)
    assert equal([v.numpy() for v in model.network.variables], weights)
    assert equal([v.numpy() for v in model.penalty.anchor], weights)
    assert all(np.any(F) for F in model.penalty.importance)


@pytest.mark.parametrize("scenario, units", [("task", [2, 3]), ("class", [0, 1, 2, 3]), ("domain", [0, 1])])
def test_the_fisher_information_is_of_the_task_s_own_training_rows_and_the_classes_that_answer(
    scenario, units
):
    stream = split("digits", tasks=5, scenario=scenario, valid_fraction=0.1)
    model, asked = model_of(stream=stream), []

    def fisher(x, y, mask, seed, jit, progress):
        asked.append((x, y, np.flatnonzero(mask).tolist(), seed))
        return [np.ones(v.shape, np.float32) for v in model.network.trainable_variables]

    model._fisher = fisher
    for task in (stream[1], stream[2], stream[1]):
        model.end_task(task)
    (x, y, answering, seed), (*_, other), (*_, again) = asked
    want_x, want_y = stream[1].train.open()
    np.testing.assert_array_equal(x, want_x)
    np.testing.assert_array_equal(y, want_y)
    assert answering == units
    assert seed == again != other


def test_importances_are_brought_to_the_scale_asked_for_before_they_are_added():
    model = model_of(normalise="max")
    shapes = [v.shape for v in model.network.trainable_variables]
    for F in ([np.full(s, 8, np.float32) for s in shapes], [np.full(s, 2, np.float32) for s in shapes]):
        model._fisher = lambda x, y, mask, F=F, **_: F
        model.end_task(STREAM[0])
    assert all(np.all(omega == 2) for omega in model.penalty.importance)  # 1 + 1


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"online": True, "gamma": 0}, "gamma is 0; it must be above 0 and at most 1."),
        ({"online": True, "gamma": 1.5}, "gamma is 1.5; it must be above 0 and at most 1."),
        ({"gamma": 0.9}, "gamma is 0.9, but only the online form decays: give online too."),
        ({"fisher": "exat"}, "Did you mean exact?"),
        ({"fisher": "exat"}, "possible: exact, sample, empirical, argmax, batched."),
        ({"normalise": "mean"}, "Did you mean mean1?"),
        ({"n_samples": -1}, "n_samples is -1; it must not be negative."),
        ({"fisher_batch": 0}, "fisher_batch is 0; it must be at least 1."),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        model_of(**options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
