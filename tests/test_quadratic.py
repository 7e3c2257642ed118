"""The quadratic penalty against finite differences and against the sum over anchors that it stands for."""

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.quadratic import QuadraticPenalty

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
    penalty, added = QuadraticPenalty(variables, strength, half), []
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
        assert sum(v.shape.num_elements() for v in held) == 2 * weights + 1
        assert all(v.dtype == tf.float32 and not v.trainable for v in held)


# ---- anchors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["add", "replace"])
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
