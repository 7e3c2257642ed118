"""GEM: the projection by hand and its optimality, the rows and gradients behind it, task 1, and refusals."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn
from linears import linear, projected

from keras_cl.errors import InputError
from keras_cl.memories.reservoir import Reservoir
from keras_cl.memories.ring import Ring
from keras_cl.methods.agem import AGEM
from keras_cl.methods.finetune import Finetune
from keras_cl.methods.gem import GEM
from keras_cl.networks.mlp import mlp
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

pytestmark = pytest.mark.usefixtures("any_order")


def by_enumeration(G, g, gamma, ridge, absolute=False):
    """u >= gamma that minimises 1/2 u'(GG' + ridge D)u + (Gg)'u: the best of all sets of free entries.

    D is the diagonal of GG', or the identity for an absolute ridge.
    """
    t = len(G)
    Q, c = G @ G.T, G @ g
    Q = Q + ridge * (np.eye(t) if absolute else np.diag(np.diag(Q)))
    best, least = None, np.inf
    for free in itertools.product([False, True], repeat=t):
        free, u = np.array(free), np.full(t, float(gamma))
        if free.any():
            right = -c[free] - Q[np.ix_(free, ~free)] @ u[~free]
            u[free] = np.linalg.lstsq(Q[np.ix_(free, free)], right, rcond=None)[0]
        value = u @ Q @ u / 2 + c @ u
        if (u >= gamma - 1e-12).all() and value < least:
            best, least = u, value
    return best


def random_problem(seed, t=None, size=9):
    """G `[t, P]` and g, as float32 numbers, of which at least one product is negative."""
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(t or 1 + seed % 5, size)).astype(np.float32).astype(float)
    g = rng.normal(size=size).astype(np.float32).astype(float)
    return G, g if (G @ g < 0).any() else -g


# ---- the projection --------------------------------------------------------------------------------------

HAND = {"earlier": [[0, 1, 0], [-1, 0, 0.25]], "g": [1, -1, 2]}  # Gg = (-1, -0.5)


def test_a_step_that_is_projected_by_hand():
    v, model = projected(GEM, **HAND, margin=0.0, ridge=0.0)  # u = (1, 8 / 17)
    np.testing.assert_allclose(v, [0.529412, 0, 2.117647], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.array(HAND["earlier"]) @ v, [0, 0], rtol=0, atol=1e-7)
    assert model.report() == {"violations": 1.0}


def test_the_margin_is_a_lower_bound_of_u_and_not_added_to_it():
    v, _ = projected(GEM, **HAND, margin=0.5, ridge=0.0)  # u = (1, 0.5); added it would be (1.5, 0.970588)
    np.testing.assert_allclose(v, [0.5, 0, 2.125], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.array(HAND["earlier"]) @ v, [0, 0.03125], rtol=0, atol=1e-7)
    usual, _ = projected(GEM, **HAND, ridge=0.0)
    np.testing.assert_array_equal(usual, v)


def test_the_ridge_is_part_of_the_program():
    v, _ = projected(GEM, **HAND, margin=0.0, ridge=1.0)  # u = (1 / 2, 0.5 / 2.125)
    u = np.array([1 / 2, 0.5 / 2.125])
    np.testing.assert_allclose(v, HAND["g"] + u @ HAND["earlier"], rtol=1e-6)
    v, _ = projected(GEM, **HAND, margin=0.0, ridge=1.0, absolute_ridge=True)  # u = (1 / 2, 0.5 / 2.0625)
    u = np.array([1 / 2, 0.5 / 2.0625])
    np.testing.assert_allclose(v, HAND["g"] + u @ HAND["earlier"], rtol=1e-6)


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_constraints_hold_at_the_norms_of_gradients_on_a_memory(margin):
    """The ridge of the released code, 1e-3, is as large as the square of such norms."""
    missed = {False: 0, True: 0}
    for seed in range(5):
        G, g = random_problem(seed, t=4)
        G *= 0.03 / np.linalg.norm(G, axis=1, keepdims=True)
        g *= 0.3 / np.linalg.norm(g)
        for absolute in missed:
            ridge = {"ridge": 1e-3, "absolute_ridge": True} if absolute else {}
            v, _ = projected(GEM, G, g, margin=margin, **ridge)
            missed[absolute] += (G @ v < -1e-5 * np.linalg.norm(v) * 0.03).any()
    assert missed[False] == 0
    assert missed[True] == 5


@pytest.mark.parametrize("seed", range(10))
def test_the_optimality_conditions_hold(seed):
    G, g = random_problem(seed)
    v, _ = projected(GEM, G, g, margin=0.0, ridge=0.0)
    u = np.linalg.lstsq(G.T, v - g, rcond=None)[0]  # rows of G are independent
    np.testing.assert_allclose(v - g, u @ G, rtol=0, atol=1e-6)
    assert (u >= -1e-6).all()
    assert (G @ v >= -1e-5).all()
    np.testing.assert_allclose(u * (G @ v), 0, rtol=0, atol=1e-5)
    assert np.linalg.norm(v - g) <= np.linalg.norm(g)  # v = 0 is allowed


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("margin, ridge", [(0.0, 0.0), (0.5, 1e-3), (0.5, 0.7), (2.0, 0.0)])
def test_it_is_the_best_of_all_solutions(margin, ridge, absolute):
    for seed in range(5):
        G, g = random_problem(seed, t=1 + seed)
        v, _ = projected(GEM, G, g, margin=margin, ridge=ridge, absolute_ridge=absolute)
        expected = g + by_enumeration(G, g, margin, ridge, absolute) @ G
        np.testing.assert_allclose(v, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_earlier_task_it_is_agem(seed):
    G, g = random_problem(seed, t=1)
    v, _ = projected(GEM, G, g, margin=0.0, ridge=0.0)
    np.testing.assert_allclose(v, projected(AGEM, G, g)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("G", [[[1, 1, 0], [0, 0, 3]], [[0, 0, 0], [1, -1, 0]]])
def test_a_step_that_violates_nothing_is_untouched_whatever_the_margin(G):
    v, model = projected(GEM, G, [1, -1, 1], margin=0.5)
    np.testing.assert_array_equal(v, [1, -1, 1])
    assert model.report() == {"violations": 0.0}


def test_a_memory_without_gradient_is_no_constraint():
    v, _ = projected(GEM, [[0, 0, 0], [-1, 0, 0.25]], [1, -1, 2], margin=0.0, ridge=0.0)
    np.testing.assert_allclose(v, [0.529412, -1, 2.117647], rtol=1e-6)


def test_only_earlier_tasks_constrain():
    alone, _ = projected(GEM, **HAND)
    more, model = projected(GEM, **HAND, later=[[-1, 1, -1], [-9, 3, -4]])
    np.testing.assert_allclose(more, alone, rtol=1e-6)
    assert not model._memory_gradients()[2:].numpy().any()


def test_gradients_that_are_all_but_parallel_need_more_than_float32():
    # GG' has 1e8 + 1 and 1e8 - 1, which float32 takes for one number.
    G, g = np.array([[1e4, 1, 0], [1e4, -1, 0]]), np.array([-1.0, 3.0, 1.0])
    v, _ = projected(GEM, G, g, margin=0.0, ridge=0.0)
    np.testing.assert_allclose(v, g + by_enumeration(G, g, 0, 0) @ G, rtol=1e-5, atol=1e-7)
    assert (G @ v >= -1e-7 * np.abs(G) @ np.abs(v)).all()


def test_what_is_no_number_is_not_hidden():
    for bad in (np.inf, np.nan):
        assert not np.isfinite(projected(GEM, [[1, 0, 1], [bad, 0, 1]], [1, -1, 2])[0]).all()
        assert not np.isfinite(projected(GEM, [[1, 0, 1], [0, 0, 1]], [bad, -1, 2])[0]).all()


@pytest.mark.usefixtures("eagerly")
def test_violations_are_the_share_of_the_steps_of_a_task():
    model, stream = linear(GEM, [[1, 2], [1, -1], [1, 0]])
    for task, expected in zip(stream, (0.0, 1.0, 0.0), strict=True):
        model.begin_task(task)
        model.fit(model.batches(task, 1, iterations=5), verbose=0)
        model.end_task(task)
        assert model.report() == {"violations": expected}
    assert int(model.steps) == 5


# ---- the rows behind it ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs((40, 9, 40, 40, 3, 40)))  # two classes have fewer rows than their share
    return str(path)


def stream_of(dataset, scenario="task"):
    return make_stream(Config(method="gem", stream="split", scenario=scenario, dataset=dataset, tasks=3))


@pytest.mark.parametrize(
    "by, capacity, most, there_are",
    [("class", 60, 20, [19, 20, 13]), ("class", 65, 20, [19, 20, 13]), ("task", 65, 21, [21, 21, 21])],
)
def test_a_ring_gives_all_rows_of_a_task_and_no_others(dataset, by, capacity, most, there_are):
    stream = stream_of(dataset)
    memory = Ring(stream, capacity=capacity, by=by)
    for task in stream:
        assert not memory.of_task(task.index).weight.numpy().any()
        memory.update(task)
        x, y, own = memory.rows()
        for index in range(task.number):
            rows = memory.of_task(tf.constant(index))
            there = rows.weight.numpy() == 1
            assert len(there) == most
            np.testing.assert_array_equal(rows.task.numpy()[there], index)
            for found, held in zip(rows[:2], (x, y), strict=True):
                np.testing.assert_array_equal(found.numpy()[there], held[own == index])
    assert [int(memory.of_task(index).weight.numpy().sum()) for index in range(3)] == there_are


@pytest.mark.parametrize("jit", [False, True])
def test_a_ring_gives_the_same_rows_in_a_compiled_step(dataset, jit):
    stream = stream_of(dataset)
    memory = Ring(stream, capacity=60)
    compiled = tf.function(memory.of_task, jit_compile=jit)
    for task in stream:
        memory.update(task)
        for index in range(3):
            assert_same(compiled(tf.constant(index))[:4], memory.of_task(tf.constant(index))[:4])


# ---- the gradients behind it -----------------------------------------------------------------------------


def dense(stream, regularised=False):
    l2 = keras.regularizers.L2(0.05) if regularised else None
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(9, "tanh", kernel_regularizer=l2),
        keras.layers.Dense(stream.num_classes, bias_initializer="normal"),
    ]
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(stream.input_shape), *layers])


def compiled(method, network, rate=0.5, jit=False, eagerly=False, **options):
    model = method(network, **options)
    model.compile(keras.optimizers.SGD(rate), jit=jit, run_eagerly=eagerly)
    return model


def gradient(network, x, y, mask):
    """Mean cross entropy of rows under one mask, by hand; flat, in float64."""
    with tf.GradientTape() as tape:
        z = tf.where(mask, network(tf.constant(x), training=False), -np.inf)
        p = tf.gather(tf.nn.softmax(z), y, batch_dims=1)
        loss = tf.add_n([-tf.reduce_mean(tf.math.log(p)), *network.losses])
    zero = tf.UnconnectedGradients.ZERO
    return flat(tape.gradient(loss, network.trainable_variables, unconnected_gradients=zero))


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts]).astype(float)


def mask_of(stream, index, task):
    """What may answer for rows of task `index` while `task` is learned."""
    return stream.class_mask[index if stream.scenario == "task" else task]


@pytest.mark.parametrize(
    "scenario, regularised", [("task", False), ("task", True), ("domain", False), ("class", False)]
)
def test_a_step_projects_on_the_whole_memory_of_every_earlier_task(dataset, scenario, regularised):
    stream = stream_of(dataset, scenario)
    network, memory = dense(stream, regularised), Ring(stream, capacity=60)
    model = compiled(GEM, network, memory=memory, ridge=0.01)
    for _ in learn(model, stream[:2], batch_size=8, epochs=2):
        pass
    model.begin_task(stream[2])
    chunk, _ = next(iter(model.batches(stream[2], 8)))
    x, y, own = memory.rows()
    projections = 0
    for k in range(5):  # of one task, so that gradients of an earlier step would be found out
        batch, before = chunk.step(k), flat(network.trainable_variables)
        assert batch.drawn is None
        g = gradient(network, batch.x.numpy(), batch.y.numpy(), mask_of(stream, 2, 2))
        G = np.array([gradient(network, x[own == i], y[own == i], mask_of(stream, i, 2)) for i in range(2)])
        model.train_step(batch)
        violated = bool((G @ g < 0).any())
        projections += violated
        v = g + by_enumeration(G, g, 0.5, 0.01) @ G if violated else g
        np.testing.assert_allclose((before - flat(network.trainable_variables)) / 0.5, v, rtol=0, atol=5e-6)
    assert int(model.violations) == projections > 0


def test_a_weight_without_gradient_keeps_its_place_and_its_value(dataset):
    stream = stream_of(dataset)
    base = dense(stream)
    images = keras.Input(stream.input_shape)
    idle = keras.layers.Dense(stream.num_classes, name="idle")(keras.layers.Flatten()(images) / 255)
    # The idle layer's weights come before those of the last layer.
    total = keras.layers.Lambda(lambda z: z[0] + tf.stop_gradient(z[1]))([base(images), idle])
    network = keras.Model(images, total)
    model = compiled(GEM, network, memory=Ring(stream, capacity=60))
    still = network.get_layer("idle").get_weights()
    for _ in learn(model, stream, batch_size=8, epochs=2):
        pass
    assert model.report()["violations"] > 0
    assert_same(network.get_layer("idle").get_weights(), still)
    x, y, own = model.memory.rows()
    G = model._memory_gradients().numpy()
    for index in range(2):
        rows = own == index
        expected = gradient(network, x[rows], y[rows], stream.class_mask[index])
        np.testing.assert_allclose(G[index], expected, rtol=0, atol=1e-6)


def test_the_heads_of_later_tasks_are_not_changed(dataset):
    stream = stream_of(dataset)
    network = dense(stream)
    model = compiled(GEM, network, memory=Ring(stream, capacity=60))
    kernel, bias = network.layers[-1].get_weights()
    for task in learn(model, stream[:2], batch_size=8, epochs=2):
        later = ~stream.class_mask[: task.number].any(axis=0)
        after_kernel, after_bias = network.layers[-1].get_weights()
        np.testing.assert_array_equal((after_kernel != kernel).any(axis=0), ~later)
        np.testing.assert_array_equal(after_bias != bias, ~later)
    assert model.report()["violations"] > 0


def test_a_task_that_left_no_rows_does_not_constrain(dataset):
    stream = stream_of(dataset)
    model = compiled(GEM, dense(stream), memory=Ring(stream, capacity=60))
    for task in stream[:2]:
        model.begin_task(task)
        model.fit(model.batches(task, 8), verbose=0)
    assert not model._memory_gradients().numpy().any()
    assert np.isfinite(flat(model.network.weights)).all()


def violating(dataset, **how):
    """Weights after all tasks, violations of each, and the model that learned them."""
    stream = stream_of(dataset)
    model = compiled(GEM, dense(stream), rate=0.05, memory=Ring(stream, capacity=60), **how)
    violations = [int(model.violations) for _ in learn(model, stream, batch_size=8)]
    return flat(model.network.weights), violations, model


@pytest.fixture(scope="module")
def traced(dataset):
    return violating(dataset)


@pytest.mark.parametrize("other", [{"jit": True}, {"eagerly": True}], ids=["xla", "eager"])
@pytest.mark.slow
def test_compiled_and_eager_projections_are_the_same(dataset, traced, other):
    theta, violations, model = traced
    other_theta, other_violations, _ = violating(dataset, **other)
    assert min(violations[1:]) > 0
    assert violations == other_violations
    np.testing.assert_allclose(theta, other_theta, rtol=0, atol=1e-5)
    assert model.train_function.steps.experimental_get_tracing_count() == 1


# ---- ties to fine-tuning ---------------------------------------------------------------------------------


def dropping(stream):
    return mlp(stream, hidden=(9,), dropout=0.5, seed=3)


def normalising(stream):
    network = dense(stream)
    layers = [*network.layers[:-1], keras.layers.BatchNormalization(), network.layers[-1]]
    return keras.Sequential([keras.Input(stream.input_shape), *layers])


@pytest.mark.parametrize("make, jit", [(dropping, False), (dropping, True), (normalising, False)])
@pytest.mark.slow
def test_the_first_task_is_fine_tuning_bit_for_bit_and_the_second_is_not(dataset, make, jit):
    stream = stream_of(dataset)
    networks = [make(stream), make(stream)]
    models = [
        compiled(GEM, networks[0], jit=jit, memory=Ring(stream, capacity=60)),
        compiled(Finetune, networks[1], jit=jit),
    ]
    for same, tasks in ((True, stream[:1]), (False, stream[1:])):
        for model in models:
            for _ in learn(model, tasks, batch_size=8):
                assert np.isfinite(flat(model.network.weights)).all()
        one, other = (network.get_weights() for network in networks)
        assert all((a == b).all() for a, b in zip(one, other, strict=True)) == same
    assert models[0].report()["violations"] > 0


@pytest.mark.parametrize("make", [dropping, normalising])
def test_looking_at_the_memory_leaves_the_state_of_the_network(dataset, make):
    stream = stream_of(dataset)
    model = compiled(GEM, make(stream), memory=Ring(stream, capacity=30))
    for _ in learn(model, stream[:1], batch_size=8):
        pass
    model.begin_task(stream[1])
    before = model.network.get_weights()
    assert model.network.non_trainable_variables
    assert model._memory_gradients().numpy().any()
    assert_same(model.network.get_weights(), before)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.slow
def test_half_precision_takes_finite_steps(dataset, precision):
    config = Config(
        method="gem", stream="split", scenario="task", dataset=dataset, tasks=3, precision=precision,
        optimizer="sgd", learning_rate=0.1, jit="off",
        options={"network.hidden": (8,), "memory.capacity": 60},
    )  # fmt: skip
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    for _ in learn(model, stream, batch_size=8):
        pass
    assert np.isfinite(flat(model.network.weights)).all()
    assert model.report()["violations"] > 0


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"margin": -0.5}, "margin is -0.5; it must not be negative."),
        ({"ridge": -1e-3}, "ridge is -0.001; it must not be negative."),
        ({}, "gem keeps to what its memory allows; give it one."),
        ({"memory": Reservoir}, "gem needs all rows of a task together: give it a ring."),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(dataset, options, message):
    stream = stream_of(dataset)
    options = {name: value(stream) if name == "memory" else value for name, value in options.items()}
    with pytest.raises(InputError) as error:
        GEM(dense(stream), **options)
    assert str(error.value) == message


def test_other_memories_are_refused_before_data_is_read():
    with pytest.raises(InputError, match="gem cannot have the memory reservoir; possible: ring"):
        Config(method="gem", memory="reservoir", stream="split", dataset="no/such/file.npz")
