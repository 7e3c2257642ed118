"""SI: path integrals in closed form, and whole streams of quadratics against a simulation in float64."""

import numpy as np
import pytest
import tf_keras as keras
from quadratics import OPTIMIZERS, flat, place, quadratic, sgd, train

from keras_cl.errors import InputError
from keras_cl.methods import SI
from keras_cl.networks.mlp import mlp
from keras_cl.streams.split import split

pytestmark = pytest.mark.usefixtures("any_order")

# Two weights of the kernel and two of the bias.
CURVATURES = np.array([[1, 4, 0.5, 2], [3, 1, 2, 0.5], [0.5, 2, 4, 1]])
CENTERS = np.array([[0, 0, 1, -1], [1, -1, 0.5, 2], [-1, 0.5, 0, 1]])
START = np.array([1, -0.5, 0.25, 0.75])


def simulated(
    change_of, steps, *, strength, xi, clip="increment", a=CURVATURES, c=CENTERS, start=START, kept=False
):
    """`(theta, w, Omega)` after each task, from the formulas of the paper.

    Args:
      change_of: function that makes an optimizer of `quadratics`.
      kept: whether the optimizer's state is kept from task to task.
      others: of the method and of the quadratics.
    """
    theta, anchor, Omega, change = start, start, np.zeros_like(start), change_of()
    for a_t, c_t in zip(a, c, strict=True):
        w, begun, change = np.zeros_like(start), theta, change if kept else change_of()
        for _ in range(steps):
            g = a_t * (theta - c_t)
            delta = change(g + 2 * strength * Omega * (theta - anchor))
            w, theta = w - g * delta, theta + delta
        new = w / ((theta - begun) ** 2 + xi)
        if clip == "increment":
            Omega = Omega + np.maximum(new, 0)
        else:
            Omega = np.maximum(Omega + new, 0) if clip == "total" else Omega + new
        anchor = theta
        yield theta, w, Omega


def assert_follows(model, stream, steps, simulation):
    """Weights, path integrals, importances and anchors are those of the simulation, task by task."""
    for task, (theta, w, Omega) in zip(stream, simulation, strict=True):
        train(model, task, steps)
        np.testing.assert_allclose(flat(model.w), w, rtol=1e-5, atol=1e-6)
        model.end_task(task)
        np.testing.assert_allclose(flat(model.network.trainable_variables), theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(model.penalty.importance), Omega, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(flat(model.penalty.anchor), flat(model.network.trainable_variables))


# ---- closed forms ----------------------------------------------------------------------------------------


def falling(rate, steps):
    """SI after `steps` steps of gradient descent on a = (1, 4) from (1, -0.5), in kernel and bias."""
    a, start = np.array([1, 4, 4, 1]), np.array([1, -0.5, -0.5, 1])
    model, stream = quadratic(SI, [a], [np.zeros(4)], start, keras.optimizers.SGD(rate), xi=1e-3)
    train(model, stream[0], steps)
    end = flat(model.network.trainable_variables)
    return model, stream[0], a / 2 * (start**2 - end**2)


def test_the_worked_example():
    model, task, decrease = falling(0.01, 1000)
    w = flat(model.w)
    np.testing.assert_allclose(w, [0.502513, 0.510204, 0.510204, 0.502513], rtol=1e-5)
    np.testing.assert_allclose(decrease, 0.5, rtol=1e-6)
    model.end_task(task)
    Omega = flat(model.penalty.importance)
    np.testing.assert_allclose(Omega, [0.502054, 2.032686, 2.032686, 0.502054], rtol=1e-5)


@pytest.mark.parametrize(("rate", "steps"), [(0.01, 30), (0.1, 1), (0.4, 8)])
def test_path_integrals_are_the_decrease_of_the_loss_and_what_the_step_size_adds(rate, steps):
    model, _, decrease = falling(rate, steps)
    a = np.array([1, 4, 4, 1])
    np.testing.assert_allclose(flat(model.w), decrease / (1 - rate * a / 2), rtol=1e-5)


def test_the_only_step_of_a_task_counts():
    model, task, _ = falling(0.01, 1)
    g = np.array([1, -2, -2, 1])
    np.testing.assert_allclose(flat(model.w), 0.01 * g**2, rtol=1e-5)
    model.end_task(task)
    np.testing.assert_allclose(flat(model.penalty.importance), 0.01 * g**2 / (1e-4 * g**2 + 1e-3), rtol=1e-5)


# ---- streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tasks_with_a_penalty_follow_the_simulation(optimizer):
    make, change_of = OPTIMIZERS[optimizer]
    options = {"strength": 0.7, "xi": 0.05}
    model, stream = quadratic(SI, CURVATURES, CENTERS, START, make(), **options)
    simulation = list(simulated(change_of, 12, **options))
    free = list(simulated(change_of, 12, strength=0, xi=0.05))
    assert np.abs(simulation[1][0] - free[1][0]).max() > 0.05  # the penalty does something in task 2
    assert_follows(model, stream, 12, simulation)


@pytest.mark.parametrize("clip", ["increment", "total", "none"])
def test_negative_importances_are_clipped_where_asked(clip):
    """Velocity from task 1 carries two weights up the slope of task 2, so that their w is negative there."""
    a, c = np.ones((3, 4)), np.array([[1, 1, 1, 1], [2, -0.05, -0.55, 2], [0.5, 0.5, 0.5, 0.5]])
    others = {"a": a, "c": c, "start": np.zeros(4), "kept": True}
    options = {"strength": 0.2, "xi": 1e-5}

    def importances(clip):
        made = simulated(lambda: sgd(0.05, 0.9), 1, clip=clip, **options, **others)
        return [Omega for *_, Omega in made]

    first, second, _ = importances("none")
    assert (second < first).tolist() == [False, True, True, False]
    assert (second < 0).tolist() == [False, False, True, False]
    expected = {"increment": np.maximum(first, second), "total": np.maximum(second, 0), "none": second}
    np.testing.assert_allclose(importances(clip)[1], expected[clip])
    momentum = keras.optimizers.SGD(0.05, momentum=0.9)
    model, stream = quadratic(SI, a, c, np.zeros(4), momentum, reset_optimizer=False, clip=clip, **options)
    assert_follows(model, stream, 1, simulated(lambda: sgd(0.05, 0.9), 1, clip=clip, **options, **others))


def test_what_the_loss_does_not_depend_on_gathers_nothing_even_where_it_moves():
    a = np.array([[1, 2, 3, 4], [0, 1, 0, 1]])
    momentum = keras.optimizers.SGD(0.01, momentum=0.9)
    options = {"strength": 1.0, "reset_optimizer": False}
    model, stream = quadratic(SI, a, np.ones((2, 4)), np.zeros(4), momentum, **options)
    train(model, stream[0], 4)
    model.end_task(stream[0])
    theta, Omega = flat(model.network.trainable_variables), flat(model.penalty.importance)
    train(model, stream[1], 4)
    assert (flat(model.network.trainable_variables) != theta).all()
    assert (flat(model.w) != 0).tolist() == [False, True, False, True]
    model.end_task(stream[1])
    assert (flat(model.penalty.importance) == Omega).tolist() == [True, False, True, False]


def test_every_task_begins_with_empty_path_integrals():
    model, stream = quadratic(SI, CURVATURES, CENTERS, START, keras.optimizers.SGD(0.05))
    for task in stream:
        model.begin_task(task)
        assert not flat(model.w).any()
        train(model, task, 2)
        assert flat(model.w).all()
        model.end_task(task)


# ---- where a task starts ---------------------------------------------------------------------------------


def test_weights_loaded_after_the_model_was_made_are_the_start():
    made_there = quadratic(SI, CURVATURES, CENTERS, START, keras.optimizers.SGD(0.05))
    loaded = quadratic(SI, CURVATURES, CENTERS, START + 3, keras.optimizers.SGD(0.05))
    place(loaded[0].network, START)
    Omega = []
    for model, stream in (made_there, loaded):
        train(model, stream[0], 5)
        model.end_task(stream[0])
        Omega.append(flat(model.penalty.importance))
    np.testing.assert_array_equal(*Omega)
    assert Omega[0].all()


def test_a_task_begun_anew_forgets_what_was_gathered():
    model, stream = quadratic(SI, CURVATURES, CENTERS, START, keras.optimizers.SGD(0.05))
    train(model, stream[0], 2)
    here = flat(model.network.trainable_variables)
    train(model, stream[0], 3)
    model.end_task(stream[0])
    simulation = simulated(lambda: sgd(0.05), 3, strength=1, xi=0.1, start=here)
    np.testing.assert_allclose(flat(model.penalty.importance), next(simulation)[2], rtol=1e-5)


# ---- mixed precision -------------------------------------------------------------------------------------


def test_steps_that_loss_scaling_skips_leave_the_path_integrals_finite():
    class Loud(SI):
        def task_loss(self, batch, logits):
            return 1e3 * super().task_loss(batch, logits)

    stream = split("digits", tasks=5)
    model = Loud(mlp(stream, hidden=(4,), precision="mixed_float16"))
    model.compile(keras.optimizers.SGD(1e-5), jit=False)
    model.begin_task(stream[0])
    scale = float(model.optimizer.loss_scale)
    model.fit(model.batches(stream[0], 32, iterations=30), verbose=0)
    assert float(model.optimizer.loss_scale) < scale  # some steps were skipped
    w = flat(model.w)
    assert np.isfinite(w).all()
    assert w.any()


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xi": 0}, "xi is 0; it must be above 0."),
        ({"xi": -0.1}, "xi is -0.1; it must be above 0."),
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"clip": "totl"}, "clip 'totl' is not known; possible: increment, total, none."),
        ({"clip": "totl"}, "Did you mean total?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(InputError) as error:
        SI(network, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
