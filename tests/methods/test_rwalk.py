"""RWalk: worked numbers of single steps, and streams of quadratics against a simulation in float64."""

import numpy as np
import pytest
import tf_keras as keras
from quadratics import OPTIMIZERS, flat, place, quadratic, train

from keras_cl.errors import InputError
from keras_cl.methods import RWalk
from keras_cl.networks.mlp import mlp
from keras_cl.streams.split import split

pytestmark = pytest.mark.usefixtures("any_order")

# Two weights of the kernel and two of the bias.
CURVATURES = np.array([[1, 4, 0.5, 2], [3, 1, 2, 0.5], [0.5, 2, 4, 1]])
CENTERS = np.array([[0, 0, 1, -1], [1, -1, 0.5, 2], [-1, 0.5, 0, 1]])
START = np.array([1, -0.5, 0.25, 0.75])

NORMS = {
    "none": lambda values: values,
    "max": lambda values: values / values.max(),
    "minmax": lambda values: (values - values.min()) / (values.max() - values.min()),
}


def simulated(
    change_of, steps, *, strength=1.0, alpha=0.9, interval=10, eps=1e-3, kl_half=True, norm="minmax"
):
    """`(theta, F, S, F_n + S_n)` after each task of the quadratics above, from the formulas of the paper."""
    theta, anchor, Omega, F, S = START, START, np.zeros_like(START), None, None
    for a, c in zip(CURVATURES, CENTERS, strict=True):
        change, checkpoint, squares, w, s = change_of(), theta, [], 0, 0
        for step in range(1, steps + 1):
            g = a * (theta - c)
            delta = change(g + 2 * strength * Omega * (theta - anchor))
            theta, w, squares = theta + delta, w - g * delta, [*squares, g**2]
            if len(squares) == interval or step == steps:
                new = np.mean(squares, axis=0)
                F = new if F is None else alpha * new + (1 - alpha) * F
                distance = (0.5 if kl_half else 1) * F * (theta - checkpoint) ** 2
                s = s + np.maximum(w / (distance + eps), 0)
                checkpoint, squares, w = theta, [], 0
        S = s if S is None else (S + s) / 2
        Omega, anchor = NORMS[norm](F) + NORMS[norm](S), theta
        yield theta, F, S, Omega


def made(optimizer=None, a=CURVATURES, c=CENTERS, start=START, **options):
    """RWalk on quadratics: `(model, stream)`."""
    return quadratic(RWalk, a, c, start, optimizer or keras.optimizers.SGD(0.05), **options)


def learn(model, stream, steps):
    """Learns the tasks of `stream`; yields after each."""
    for task in stream:
        train(model, task, steps)
        model.end_task(task)
        yield task


def assigned(model, F, S):
    """`model` with these running values, as if they had been gathered in a task that did not end yet."""
    for variables, values in ((model.F, F), (model.S, S)):
        kernel, bias = np.split(np.float32(values), 2)
        variables[0].assign(kernel[np.newaxis])
        variables[1].assign(bias)
    return model


# ---- one step and one interval ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kl_half", "eps", "score"),
    [(True, 1e-3, 22.2222222), (True, 0, 50), (False, 1e-3, 0.04 / 0.0026), (False, 0, 25)],
)
def test_the_worked_example(kl_half, eps, score):
    """a = 4, theta = -0.5 and a step of 0.01: g = -2, w = 0.04 and 1/2 F D^2 = 0.0008; half of it: a = 0."""
    a, start = [[4, 0, 0, 4]], [-0.5, -0.5, 0.3, -0.5]
    model, stream = made(
        keras.optimizers.SGD(0.01), a, [[0] * 4], start, interval=1, kl_half=kl_half, eps=eps
    )
    train(model, stream[0], 1)
    np.testing.assert_allclose(flat(model.F), [4, 0, 0, 4], rtol=1e-6)
    np.testing.assert_allclose(flat(model.S), [score, 0, 0, score], rtol=1e-5)


def gradients(steps, rate=0.05):
    """Gradients of the first steps of task 1, without a penalty."""
    contraction = 1 - rate * CURVATURES[0]
    return [CURVATURES[0] * (START - CENTERS[0]) * contraction**k for k in range(steps)]


def test_within_an_interval_squares_and_path_integrals_gather():
    model, stream = made(interval=5)
    train(model, stream[0], 3)
    squares = sum(g**2 for g in gradients(3))
    np.testing.assert_allclose(flat(model.f), squares, rtol=1e-5)
    np.testing.assert_allclose(flat(model.w), 0.05 * squares, rtol=1e-5)
    assert not flat(model.F).any() and not flat(model.S).any()


@pytest.mark.parametrize("alpha", [0.9, 0.25, 1.0])
def test_the_first_value_of_the_fisher_information_is_taken_whole_and_later_ones_with_alpha(alpha):
    model, stream = made(interval=2, alpha=alpha)
    first, second = (np.mean([g**2 for g in gradients(4)[k : k + 2]], axis=0) for k in (0, 2))
    train(model, stream[0], 2)
    np.testing.assert_allclose(flat(model.F), first, rtol=1e-5)
    train(model, stream[0], 2)  # begun anew from where it is
    np.testing.assert_allclose(flat(model.F), alpha * second + (1 - alpha) * first, rtol=1e-5)


def test_the_end_of_a_task_counts_what_is_left_of_an_interval():
    model, stream = made(interval=3, alpha=0.5)
    train(model, stream[0], 4)
    before = flat(model.F), flat(model.S)
    model.end_task(stream[0])
    *_, last = gradients(4)
    np.testing.assert_allclose(flat(model.F), 0.5 * last**2 + 0.5 * before[0], rtol=1e-5)
    added = 0.05 * last**2 / (0.5 * flat(model.F) * (0.05 * last) ** 2 + 1e-3)
    np.testing.assert_allclose(flat(model.S), before[1] + added, rtol=1e-5)


def test_the_end_of_a_task_adds_nothing_where_no_step_is_left():
    model, stream = made(interval=3)
    train(model, stream[0], 6)
    F, S = flat(model.F), flat(model.S)
    model.end_task(stream[0])
    np.testing.assert_array_equal(flat(model.F), F)
    np.testing.assert_array_equal(flat(model.S), S)


def test_a_way_that_raised_the_loss_scores_nothing():
    model, stream = made(keras.optimizers.SGD(-0.05), interval=2, norm="none")
    next(learn(model, stream, 5))
    assert not flat(model.S).any()
    assert flat(model.F).all()
    np.testing.assert_array_equal(flat(model.penalty.importance), flat(model.F))


# ---- streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("sgd", {}),
        ("sgd", {"interval": 3}),
        ("sgd", {"interval": 1, "eps": 0.0}),
        ("momentum", {"interval": 4, "alpha": 0.3, "kl_half": False}),
        ("adam", {"interval": 5, "norm": "max"}),
        ("sgd", {"interval": 5, "norm": "none", "strength": 0.05}),
    ],
    ids=str,
)
@pytest.mark.slow
def test_tasks_with_a_penalty_follow_the_simulation(optimizer, options):
    """Thirteen steps: whole intervals and, but for steps alone, one that is left over."""
    make, change_of = OPTIMIZERS[optimizer]
    options = {"strength": 0.7} | options
    model, stream = made(make(), **options)
    simulation = list(simulated(change_of, 13, **options))
    free = list(simulated(change_of, 13, **options | {"strength": 0}))
    assert np.abs(simulation[1][0] - free[1][0]).max() > 0.05  # the penalty does something in task 2
    for _, (theta, F, S, Omega) in zip(learn(model, stream, 13), simulation, strict=True):
        np.testing.assert_allclose(flat(model.network.trainable_variables), theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(model.F), F, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(model.S), S, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(flat(model.penalty.importance), Omega, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(flat(model.penalty.anchor), flat(model.network.trainable_variables))


def test_a_task_without_gradient_halves_the_scores_and_lets_the_fisher_information_fade():
    a = np.stack([CURVATURES[0], np.zeros(4)])
    model, stream = made(a=a, c=CENTERS[:2], interval=2, alpha=0.25)
    tasks = learn(model, stream, 5)
    next(tasks)
    F, S = flat(model.F), flat(model.S)
    next(tasks)
    np.testing.assert_allclose(flat(model.F), 0.75**3 * F, rtol=1e-6)  # two intervals and what is left
    np.testing.assert_array_equal(flat(model.S), S / 2)


# ---- where a task starts ---------------------------------------------------------------------------------


def test_weights_loaded_after_the_model_was_made_are_the_first_checkpoint():
    loaded = made(start=START + 3)
    place(loaded[0].network, START)
    S = []
    for model, stream in (made(), loaded):
        next(learn(model, stream, 4))
        S.append(flat(model.S))
    np.testing.assert_array_equal(*S)
    assert S[0].all()


def test_a_task_begun_anew_forgets_the_interval_that_it_was_in():
    interrupted = made(interval=4)
    train(interrupted[0], interrupted[1][0], 3)
    fresh = made(interval=4, start=flat(interrupted[0].network.trainable_variables))
    found = []
    for model, stream in (interrupted, fresh):
        next(learn(model, stream, 6))
        found.append(flat([*model.F, *model.S, *model.penalty.importance]))
    np.testing.assert_array_equal(*found)


# ---- what the importances are ----------------------------------------------------------------------------

F, S = [1, 3, 2, 5], [8, 2, 4, 2]  # kernel and bias, whose own ranges are smaller than that of all four


@pytest.mark.parametrize(
    ("norm", "Omega"),
    [
        ("minmax", [0 + 1, 0.5 + 0, 0.25 + 1 / 3, 1 + 0]),
        ("max", [0.2 + 1, 0.6 + 0.25, 0.4 + 0.5, 1 + 0.25]),
        ("none", [9, 5, 6, 7]),
    ],
)
def test_importances_are_the_sum_of_both_on_one_scale_for_all_tensors(norm, Omega):
    model, stream = made(norm=norm)
    model.begin_task(stream[0])
    assigned(model, F, S).end_task(stream[0])
    np.testing.assert_allclose(flat(model.penalty.importance), Omega, rtol=1e-6)


@pytest.mark.parametrize("one", ["F", "S"])
def test_each_of_the_two_comes_to_span_0_to_1(one):
    model, stream = made()
    next(learn(model, stream, 7))
    gathered = {name: flat(getattr(model, name)) for name in ("F", "S")}
    zeros = {name: np.zeros(4) for name in gathered}
    other, stream = made()
    other.begin_task(stream[0])
    assigned(other, **zeros | {one: gathered[one]}).end_task(stream[0])
    Omega = flat(other.penalty.importance)
    assert Omega.min() == 0
    assert Omega.max() == 1
    assert np.array_equal(np.argsort(Omega), np.argsort(gathered[one]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("value", [0, 2])
def test_scores_that_are_all_equal_are_not_divided_by_zero(norm, value):
    model, stream = made(norm=norm)
    model.begin_task(stream[0])
    assigned(model, [value] * 4, [value] * 4).end_task(stream[0])
    Omega = flat(model.penalty.importance)
    assert np.isfinite(Omega).all()
    assert (Omega == Omega[0]).all()
    assert Omega[0] >= 0


def test_tasks_without_any_gradient_leave_everything_finite():
    model, stream = made(a=np.zeros((3, 4)), interval=2, eps=0.0)
    for _ in learn(model, stream, 3):
        np.testing.assert_array_equal(flat(model.penalty.importance), np.zeros(4))
        np.testing.assert_array_equal(flat(model.network.trainable_variables), START)


# ---- mixed precision -------------------------------------------------------------------------------------


def test_steps_that_loss_scaling_skips_leave_the_importances_finite():
    class Loud(RWalk):
        def task_loss(self, batch, logits):
            return 1e3 * super().task_loss(batch, logits)

    stream = split("digits", tasks=5)
    model = Loud(mlp(stream, hidden=(4,), precision="mixed_float16"))
    model.compile(keras.optimizers.SGD(1e-5), jit=False)
    model.begin_task(stream[0])
    scale = float(model.optimizer.loss_scale)
    model.fit(model.batches(stream[0], 32, iterations=30), verbose=0)
    model.end_task(stream[0])
    assert float(model.optimizer.loss_scale) < scale  # some steps were skipped
    for values in (model.F, model.S, model.penalty.importance):
        assert np.isfinite(flat(values)).all()
        assert flat(values).any()


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha is 0; it must be above 0 and at most 1."),
        ({"alpha": 1.5}, "alpha is 1.5; it must be above 0 and at most 1."),
        ({"interval": 0}, "interval is 0; it must be at least 1."),
        ({"eps": -1e-3}, "eps is -0.001; it must not be negative."),
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"norm": "minmx"}, "norm 'minmx' is not known; possible: none, max, minmax. Did you mean minmax?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(InputError) as error:
        RWalk(network, **options)
    assert str(error.value) == message
