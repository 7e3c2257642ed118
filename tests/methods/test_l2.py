"""L2: the minimisers of quadratics, which are known in closed form, and its ties to fine-tuning."""

import numpy as np
import pytest
import tf_keras as keras
from quadratics import OPTIMIZERS, flat, quadratic, train

from keras_cl.errors import InputError
from keras_cl.methods import L2, Finetune

# Two weights of the kernel and two of the bias.
CURVATURES = np.array([[1, 2, 0.5, 2], [2, 1, 2, 0.5], [0.5, 2, 1.5, 1]])
CENTERS = np.array([[0, 0, 1, -1], [1, -1, 0.5, 2], [-1, 0.5, 0, 1]])
START = np.array([1, -0.5, 0.25, 0.75])


def made(method, optimizer, **options):
    return quadratic(method, CURVATURES, CENTERS, START, optimizer, **options)


def learn(model, stream, steps):
    """Learns all tasks; yields the weights after each."""
    for task in stream:
        train(model, task, steps)
        model.end_task(task)
        yield flat(model.network.trainable_variables)


@pytest.mark.parametrize("strength", [0.05, 1.0, 3.0])
def test_quadratics_end_at_the_mean_of_their_center_and_the_last_weights(strength):
    rate = 1 / (2 + 2 * strength)  # contracts by at least 1 - rate * 0.5 a step, in task 1
    model, stream = made(L2, keras.optimizers.SGD(rate), strength=strength)
    first, second, third = learn(model, stream, 300)
    (_, b, d), (A, B, C), pull = CURVATURES, CENTERS, 2 * strength
    np.testing.assert_allclose(first, A, atol=2e-6)
    np.testing.assert_allclose(second, (b * B + pull * A) / (b + pull), atol=2e-6)
    np.testing.assert_allclose(third, (d * C + pull * second) / (d + pull), atol=2e-6)


def test_the_weights_stay_where_they_are_as_the_strength_grows():
    """At the minimum they are a / (a + 2 strength) of the way to the center."""
    moved = []
    for strength in (1e2, 1e4):
        model, stream = made(L2, keras.optimizers.SGD(0.5 / (2 + 2 * strength)), strength=strength)
        theta = list(learn(model, stream, 60))
        for t in (1, 2):
            a, to_go = CURVATURES[t], CENTERS[t] - theta[t - 1]
            np.testing.assert_allclose(theta[t] - theta[t - 1], a / (a + 2 * strength) * to_go, atol=1e-6)
        moved.append(np.abs(theta[1] - theta[0]).max())
    assert moved[0] > 1e-3
    assert moved[1] < 2e-4


@pytest.mark.parametrize(("strength", "same"), [(0.0, [True, True, True]), (2.0, [True, False, False])])
def test_without_a_penalty_it_is_fine_tuning_bit_for_bit(strength, same):
    make, _ = OPTIMIZERS["adam"]
    model, stream = made(L2, make(), strength=strength)
    plain, _ = made(Finetune, make())
    pairs = zip(learn(model, stream, 7), learn(plain, stream, 7), strict=True)
    assert [np.array_equal(one, other) for one, other in pairs] == same
    assert (flat(model.penalty.importance) == 1).all()  # there was something to multiply by 0


def test_the_anchor_is_replaced_and_its_weight_does_not_add_up():
    model, stream = made(L2, keras.optimizers.SGD(0.1), strength=0.5)
    for theta in learn(model, stream, 5):
        np.testing.assert_array_equal(flat(model.penalty.anchor), theta)
        assert (flat(model.penalty.importance) == 1).all()


def test_the_anchor_is_all_that_it_remembers():
    model, stream = made(L2, keras.optimizers.Adam(0.1))
    for _ in learn(model, stream, 2):
        known = [v for v in model.method_variables if v.shape.rank]
        np.testing.assert_array_equal(flat(known), flat(model.penalty.anchor))


def test_a_negative_strength_is_refused_in_a_sentence():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(InputError) as error:
        L2(network, strength=-1)
    assert str(error.value) == "strength is -1; it must not be negative."
