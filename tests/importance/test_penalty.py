"""The quadratic penalty against finite differences, the sum over anchors it stands for, and its rules."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.errors import InputError
from keras_cl.importance.penalty import QuadraticPenalty

SHAPES = ((7, 5), (5,), ())


def normal(rng, shapes=SHAPES):
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def wide(rng, shapes=SHAPES):
    """Importances over eighteen orders of magnitude, a fifth of them zero."""
    spread = [10 ** rng.uniform(-12, 6, shape) * (rng.random(shape) > 0.2) for shape in shapes]
    return [np.asarray(one, np.float32) for one in spread]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def made(rng, *, strength=3.0, half=False, quadratics=1, shapes=SHAPES, draw=wide):
    """`(penalty, variables, [(F_k, theta_k)])`, the variables left at random values."""
    variables = [tf.Variable(one) for one in normal(rng, shapes)]
    penalty, added = QuadraticPenalty(variables, strength, half=half), []
    for _ in range(quadratics):
        theta, F = normal(rng, shapes), draw(rng, shapes)
        assign(variables, theta)
        penalty.add(F)
        added.append((F, theta))
    assign(variables, normal(rng, shapes))
    return penalty, variables, added


def small(rng, shapes):
    return [rng.uniform(size=shape).astype(np.float32) for shape in shapes]


# ---- one quadratic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
def test_the_value_is_the_formula(half):
    penalty, variables, [(F, anchor)] = made(np.random.default_rng(0), half=half, draw=small)
    total = sum(
        np.sum(f.astype(float) * (v.numpy() - a) ** 2) for f, v, a in zip(F, variables, anchor, strict=True)
    )
    np.testing.assert_allclose(penalty.value(), (1.5 if half else 3) * total, rtol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_the_gradient_is_the_finite_difference_of_the_value(half):
    penalty, variables, _ = made(np.random.default_rng(1), half=half, quadratics=2, draw=small)
    gradient = [g.numpy() for g in penalty.gradient()]
    step = 0.5  # central differences of a quadratic are exact for any step
    for variable, one in zip(variables, gradient, strict=True):
        here = variable.numpy()
        for place in np.ndindex(here.shape):
            away = np.zeros_like(here)
            away[place] = step
            variable.assign(here + away)
            above = float(penalty.value())
            variable.assign(here - away)
            below = float(penalty.value())
            variable.assign(here)
            assert (above - below) / (2 * step) == pytest.approx(one[place], rel=1e-3, abs=1e-3)


def test_the_gradient_is_the_derivative_of_the_value():
    penalty, variables, _ = made(np.random.default_rng(2), quadratics=3)
    with tf.GradientTape() as tape:
        value = penalty.value()
    for one, other in zip(penalty.gradient(), tape.gradient(value, variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_half_a_penalty_of_twice_the_strength_is_a_whole_one():
    whole, variables, [(F, anchor)] = made(np.random.default_rng(3))
    theta = [v.numpy() for v in variables]
    assign(variables, anchor)
    half = QuadraticPenalty(variables, 6.0, half=True)
    half.add(F)
    assign(variables, theta)
    assert float(half.value()) == float(whole.value()) > 0
    for one, other in zip(half.gradient(), whole.gradient(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_penalty_pulls_nowhere():
    variables = [tf.Variable(one) for one in normal(np.random.default_rng(4))]
    penalty = QuadraticPenalty(variables, 1e6, half=False)
    assign(variables, normal(np.random.default_rng(5)))
    assert float(penalty.value()) == 0
    assert all(not np.any(g) for g in penalty.gradient())


def test_the_penalty_over_two_tensors_is_the_sum_of_the_two():
    rng = np.random.default_rng(6)
    shapes = ((4, 3), (6,))
    both, variables, added = made(rng, quadratics=2, shapes=shapes, draw=small)
    theta, alone = [v.numpy() for v in variables], []
    for i, variable in enumerate(variables):
        one = QuadraticPenalty([variable], 3.0, half=False)
        for F, anchor in added:
            variable.assign(anchor[i])
            one.add([F[i]])
        variable.assign(theta[i])
        alone.append(one)
    first, second = (float(one.value()) for one in alone)
    assert first != pytest.approx(second, rel=0.01)
    assert float(both.value()) == pytest.approx(first + second, rel=1e-6)
    for one, other in zip(both.gradient(), [*alone[0].gradient(), *alone[1].gradient()], strict=True):
        np.testing.assert_array_equal(one, other)


# ---- many quadratics in the place of one -----------------------------------------------------------------


@pytest.mark.parametrize("quadratics", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_added_quadratics_is_the_sum_of_their_gradients(quadratics, seed):
    penalty, variables, added = made(np.random.default_rng([7, seed]), quadratics=quadratics)
    for i, (variable, got) in enumerate(zip(variables, penalty.gradient(), strict=True)):
        theta = variable.numpy().astype(float)
        want = 2 * 3 * sum(F[i].astype(float) * (theta - anchor[i]) for F, anchor in added)
        np.testing.assert_allclose(got, want, rtol=1e-4)
        # Rounding of float32 and nothing more: a millionth of S times the numbers that are subtracted.
        S = 2 * 3 * sum(F[i].astype(float) for F, _ in added)
        assert np.all(np.abs(got - want) <= 1e-6 * S * (np.abs(theta) + 3))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6, None], ids=str)
def test_the_value_of_added_quadratics_is_the_sum_of_their_values(scale):
    def draw(rng, shapes):
        return wide(rng, shapes) if scale is None else [scale * one for one in small(rng, shapes)]

    penalty, variables, added = made(np.random.default_rng(8), quadratics=4, draw=draw)
    want = 3 * sum(
        np.sum(f.astype(float) * (v.numpy().astype(float) - a) ** 2)
        for F, anchor in added
        for f, v, a in zip(F, variables, anchor, strict=True)
    )
    np.testing.assert_allclose(penalty.value(), want, rtol=2e-6)


def test_the_value_at_the_common_minimum_counts_what_the_anchors_differ():
    theta = tf.Variable([0.0])
    penalty = QuadraticPenalty([theta], 2.0, half=True)
    for F, at in ((1.0, 0.0), (3.0, 4.0)):
        theta.assign([at])
        penalty.add([np.array([F])])
    theta.assign([3.0])  # (1 * 0 + 3 * 4) / (1 + 3)
    np.testing.assert_array_equal(penalty.gradient()[0], [0])
    assert float(penalty.value()) == 1 * 3**2 + 3 * 1**2


def test_adding_nothing_changes_nothing():
    penalty, variables, _ = made(np.random.default_rng(9), quadratics=2, draw=small)
    value, gradient = float(penalty.value()), [g.numpy() for g in penalty.gradient()]
    penalty.add([np.zeros(v.shape) for v in variables])
    assert float(penalty.value()) == value
    for one, old in zip(penalty.gradient(), gradient, strict=True):
        np.testing.assert_array_equal(one, old)


def test_memory_does_not_grow_with_the_quadratics():
    weights = sum(int(np.prod(shape)) for shape in SHAPES)
    for quadratics in (1, 20):
        penalty, variables, _ = made(np.random.default_rng(10), quadratics=quadratics)
        known = {id(v) for v in variables}
        held = [v for v in penalty.variables if id(v) not in known]
        assert sum(v.shape.num_elements() for v in held) == 2 * weights + 2  # the constant and the count
        assert all(not v.trainable for v in held)
        assert [v for v in held if v.dtype != tf.float32] == [penalty.tasks]


# ---- anchors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["add", "replace", "update"])
def test_anchors_and_importances_are_copies(how):
    rng = np.random.default_rng(11)
    variables = [tf.Variable(one) for one in normal(rng)]
    first = [v.numpy() for v in variables]
    penalty = QuadraticPenalty(variables, 1.0, half=False)
    assign(variables, normal(rng))
    for anchor, old in zip(penalty.anchor, first, strict=True):
        np.testing.assert_array_equal(anchor, old)
    at, given = [v.numpy() for v in variables], small(rng, SHAPES)
    F = [one.copy() for one in given]
    getattr(penalty, how)(given)
    assign(variables, normal(rng))
    for one in given:
        one[...] = -1
    for anchor, old in zip(penalty.anchor, at, strict=True):
        np.testing.assert_array_equal(anchor, old)
    for omega, old in zip(penalty.importance, F, strict=True):
        np.testing.assert_array_equal(omega, old)
    held = {id(v) for v in [*penalty.importance, *penalty.anchor]}
    assert len(held) == 2 * len(SHAPES)
    assert held.isdisjoint(id(v) for v in variables)


def test_replace_leaves_nothing_of_what_was_there():
    rng = np.random.default_rng(12)
    penalty, variables, _ = made(rng, quadratics=3)
    assert float(penalty.constant) > 0
    fresh = QuadraticPenalty(variables, 3.0, half=False)
    F = small(rng, SHAPES)
    penalty.replace(F)
    fresh.add(F)
    assert float(penalty.value()) == 0  # at its own anchor
    assign(variables, normal(rng))
    assert float(penalty.value()) == float(fresh.value()) > 0
    for one, other in zip(penalty.gradient(), fresh.gradient(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- the end of a task -----------------------------------------------------------------------------------

# The weights of the old importance and of the new one, where there is one anchor.
MIXED = {"sum": (1, 1), "ema": (0.25, 0.75), "replace": (0, 1)}


def ended(merge, tasks, *, uniform=False, strength=3.0, half=False, seed=13):
    """`(penalty, variables, [(importance, weights) of every task])`, the variables where the last ended."""
    rng = np.random.default_rng(seed)
    variables = [tf.Variable(one) for one in normal(rng)]
    penalty = QuadraticPenalty(variables, strength, half=half, merge=merge, alpha=0.25, uniform=uniform)
    learned = []
    for _ in range(tasks):
        theta, F = normal(rng), small(rng, [()] * len(SHAPES) if uniform else SHAPES)
        assign(variables, theta)
        penalty.update(F)
        learned.append((F, theta))
    return penalty, variables, learned


def merged(merge, importances):
    """What one importance after another comes to, in float64; the first counts whole."""
    total, *others = [np.float64(one) for one in importances]
    for one in others:
        old, new = MIXED[merge]
        total = old * total + new * one
    return total


every_merge = pytest.mark.parametrize("merge", ["anchors", *MIXED])
own_or_uniform = pytest.mark.parametrize("uniform", [False, True], ids=["own", "uniform"])


@pytest.mark.parametrize("tasks", [1, 2, 3])
@pytest.mark.parametrize("merge", MIXED)
def test_importances_are_merged_by_the_rule_and_the_anchor_is_where_the_task_ended(merge, tasks):
    penalty, _, learned = ended(merge, tasks)
    for i, omega in enumerate(penalty.importance):
        np.testing.assert_allclose(omega, merged(merge, [F[i] for F, _ in learned]), rtol=1e-6)
    for anchor, at in zip(penalty.anchor, learned[-1][1], strict=True):
        np.testing.assert_array_equal(anchor, at)
    assert float(penalty.value()) == 0


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_anchors_of_their_own_add_up_and_the_anchor_is_their_weighted_mean(tasks):
    penalty, variables, learned = ended("anchors", tasks)
    for i, (omega, anchor) in enumerate(zip(penalty.importance, penalty.anchor, strict=True)):
        total = sum(np.float64(F[i]) for F, _ in learned)
        np.testing.assert_allclose(omega, total, rtol=1e-6)
        mean = sum(F[i].astype(float) * theta[i] for F, theta in learned) / total
        np.testing.assert_allclose(anchor, mean, rtol=1e-5, atol=1e-6)
    # At the last weights the anchors of the tasks before pull.
    want = 3 * sum(
        np.sum(f.astype(float) * (v.numpy() - a) ** 2)
        for F, anchor in learned
        for f, v, a in zip(F, variables, anchor, strict=True)
    )
    assert float(penalty.value()) == pytest.approx(want, rel=1e-6)


@every_merge
def test_the_first_task_counts_whole_and_tasks_are_counted(merge):
    penalty, variables, [(F, theta)] = ended(merge, 1)
    for got, want in zip([*penalty.importance, *penalty.anchor], [*F, *theta], strict=True):
        np.testing.assert_array_equal(got, want)
    assert int(penalty.tasks) == 1
    for count in (2, 3):
        penalty.update(F)
        assert int(penalty.tasks) == count
    assert int(QuadraticPenalty(variables, 1.0, merge=merge).tasks) == 0


@own_or_uniform
@every_merge
def test_a_first_importance_of_zero_is_a_first_importance_all_the_same(merge, uniform):
    variables = [tf.Variable([1.0, 2.0])]
    penalty = QuadraticPenalty(variables, 1.0, merge=merge, alpha=0.25, uniform=uniform)
    shape = () if uniform else (2,)
    penalty.update([np.zeros(shape, np.float32)])
    variables[0].assign([3.0, 5.0])
    penalty.update([np.full(shape, 4, np.float32)])
    np.testing.assert_array_equal(penalty.importance[0], np.full(shape, 3 if merge == "ema" else 4))
    np.testing.assert_array_equal(penalty.anchor[0], [3, 5])


@every_merge
def test_what_a_penalty_knows_is_in_its_variables(merge):
    penalty, variables, [(F, _)] = ended(merge, 1)
    twin = QuadraticPenalty(variables, 3.0, merge=merge, alpha=0.25)
    for one, other in zip(twin.variables, penalty.variables, strict=True):
        one.assign(other)
    assign(variables, normal(np.random.default_rng(14)))
    for one in (penalty, twin):
        one.update([2 * f for f in F])
    assign(variables, normal(np.random.default_rng(15)))
    assert int(twin.tasks) == 2
    assert float(twin.value()) == float(penalty.value()) > 0
    for one, other in zip(twin.importance, penalty.importance, strict=True):
        np.testing.assert_array_equal(one, other)


def test_replacement_is_the_rule_where_no_other_is_asked_for():
    variables = [tf.Variable([1.0])]
    penalty = QuadraticPenalty(variables, 2.0)
    for one in (5.0, 7.0):
        penalty.update([np.array([one])])
    variables[0].assign([4.0])
    assert float(penalty.value()) == 2 * 7 * 3**2  # the factor is 1, not 1/2


@every_merge
@own_or_uniform
@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
def test_after_any_merge_the_gradient_is_the_finite_difference_of_the_value(merge, uniform, half):
    penalty, variables, _ = ended(merge, 2, uniform=uniform, half=half)
    assign(variables, normal(np.random.default_rng(16)))
    for variable, slope in zip(variables, penalty.gradient(), strict=True):
        here, away = variable.numpy(), np.random.default_rng(17).normal(size=variable.shape)
        away /= np.linalg.norm(away)
        values = []
        for step in (0.5, -0.5):  # central differences of a quadratic are exact for any step
            variable.assign(here + step * away)
            values.append(float(penalty.value()))
        variable.assign(here)
        assert slope.shape == variable.shape
        assert values[0] - values[1] == pytest.approx(np.sum(away * slope.numpy()), rel=1e-4, abs=1e-4)


@every_merge
@own_or_uniform
def test_doubling_the_strength_makes_up_for_the_half(merge, uniform):
    double, variables, _ = ended(merge, 2, uniform=uniform, strength=6.0, half=True)
    whole, others, _ = ended(merge, 2, uniform=uniform, strength=3.0)
    for some in (variables, others):
        assign(some, normal(np.random.default_rng(18)))
    assert float(double.value()) == float(whole.value()) > 0
    for one, other in zip(double.gradient(), whole.gradient(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- what steps use --------------------------------------------------------------------------------------


def test_the_pull_is_added_to_the_gradients_of_the_loss():
    penalty, variables, [(F, anchor)] = made(np.random.default_rng(19), draw=small)
    gradients = normal(np.random.default_rng(20))
    got = penalty.added_to([tf.constant(g) for g in gradients])
    for one, g, f, theta, at in zip(got, gradients, F, variables, anchor, strict=True):
        want = g.astype(float) + 2 * 3 * f.astype(float) * (theta.numpy().astype(float) - at)
        np.testing.assert_allclose(one, want, rtol=1e-5, atol=1e-6)


def test_a_traced_gradient_follows_weights_importances_and_anchors():
    penalty, variables, _ = made(np.random.default_rng(21), quadratics=0)
    traced = tf.function(penalty.gradient)
    assert not any(np.any(g) for g in traced())
    penalty.update(small(np.random.default_rng(22), SHAPES))
    assign(variables, normal(np.random.default_rng(23)))
    for one, other in zip(traced(), penalty.gradient(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        assert np.any(one)


def test_moving_puts_the_anchor_at_the_weights_and_leaves_the_importance():
    penalty, variables, [(F, _)] = ended("sum", 1)
    theta = normal(np.random.default_rng(24))
    assign(variables, theta)
    assert float(penalty.value()) > 0
    penalty.move()
    assert float(penalty.value()) == 0
    assign(variables, normal(np.random.default_rng(25)))
    for got, want in zip([*penalty.anchor, *penalty.importance], [*theta, *F], strict=True):
        np.testing.assert_array_equal(got, want)
    assert int(penalty.tasks) == 1  # no task ended


@every_merge
def test_one_importance_a_tensor_is_that_importance_for_every_weight_in_it(merge):
    one, variables, learned = ended(merge, 3, uniform=True)
    assert [v.shape for v in one.importance] == [()] * len(SHAPES)
    assert [v.shape for v in one.anchor] == list(SHAPES)
    every = QuadraticPenalty(variables, 3.0, merge=merge, alpha=0.25)
    for F, theta in learned:
        assign(variables, theta)
        every.update([np.full(shape, f) for f, shape in zip(F, SHAPES, strict=True)])
    assign(variables, normal(np.random.default_rng(26)))
    assert float(one.value()) == pytest.approx(float(every.value()), rel=1e-6)
    for got, want in zip(one.gradient(), every.gradient(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": -1}, "strength is -1; it must not be negative."),
        ({"strength": float("nan")}, "strength is nan; it must not be negative."),
        ({"merge": "ema", "alpha": -0.1}, "alpha is -0.1; it must be at least 0 and at most 1."),
        ({"merge": "ema", "alpha": 1.1}, "alpha is 1.1; it must be at least 0 and at most 1."),
        ({"merge": "eam"}, "merge 'eam' is not known; possible: anchors, sum, ema, replace."),
        ({"merge": "eam"}, "Did you mean ema?"),
        ({"merge": "anchor"}, "Did you mean anchors?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        QuadraticPenalty([tf.Variable([1.0])], **{"strength": 1.0, **options})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_both_ends_of_alpha_are_possible(alpha):
    penalty = QuadraticPenalty([tf.Variable([1.0])], 0, merge="ema", alpha=alpha)
    for one in (8.0, 4.0):
        penalty.update([np.array([one])])
    np.testing.assert_array_equal(penalty.importance[0], [alpha * 8 + (1 - alpha) * 4])
