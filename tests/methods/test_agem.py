"""A-GEM: the projection by hand and its laws, what g_ref is, task 1, and what a step leaves as it was."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn
from linears import linear, projected, remember

from keras_cl.errors import InputError
from keras_cl.memories.ring import Ring
from keras_cl.methods.agem import AGEM
from keras_cl.methods.finetune import Finetune
from keras_cl.networks.mlp import mlp
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config

pytestmark = pytest.mark.usefixtures("any_order")

# ---- the projection --------------------------------------------------------------------------------------


def test_a_step_that_is_projected_by_hand():
    v, model = projected(AGEM, [[1, 2]], [1, -1])
    np.testing.assert_allclose(v, [1.2, -0.6], rtol=1e-6)
    assert model.report() == {"violations": 1.0}


@pytest.mark.parametrize("seed", range(20))
def test_the_laws_of_the_projection(seed):
    rng = np.random.default_rng(seed)
    g_ref, g = rng.normal(size=(2, 9)).astype(np.float32).astype(float)
    g_ref *= 10.0 ** rng.integers(-6, 7)
    v, _ = projected(AGEM, [g_ref], g)
    if g @ g_ref >= 0:
        np.testing.assert_array_equal(v, g)
        g = -g
        v, _ = projected(AGEM, [g_ref], g)
    np.testing.assert_allclose(v, g - (g @ g_ref) / (g_ref @ g_ref) * g_ref, rtol=1e-5, atol=1e-6)
    lengths = np.linalg.norm(g) * np.linalg.norm(g_ref)
    assert abs(v @ g_ref) <= 1e-6 * lengths
    assert v @ g >= 0
    assert np.linalg.norm(v) <= np.linalg.norm(g) * (1 + 1e-7)  # v is rounded to float32


@pytest.mark.parametrize("g_ref", [[1, 1, 0], [0, 0, 0], [2, 1, -1]])
def test_a_step_that_violates_nothing_is_untouched(g_ref):
    v, model = projected(AGEM, [g_ref], [1, -1, 1])
    np.testing.assert_array_equal(v, [1, -1, 1])
    assert model.report() == {"violations": 0.0}


def test_a_gradient_whose_square_is_0_in_float32_is_projected_on():
    v, _ = projected(AGEM, [[1e-30, 2e-30]], [1, -1])
    np.testing.assert_allclose(v, [1.2, -0.6], rtol=1e-6)


def test_layers_are_not_projected_one_by_one():
    # The kernel alone violates, the bias alone does not, and both together do not.
    v, _ = projected(AGEM, [[1, 3]], [-1, 1])
    np.testing.assert_array_equal(v, [-1, 1])
    # The kernel alone does not violate, and is changed.
    v, _ = projected(AGEM, [[1, -3]], [1, 1])
    np.testing.assert_allclose(v, [1.2, 0.4], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_weights_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    g_ref, g = rng.normal(size=(2, 7))
    g *= -np.sign(g @ g_ref)
    order = rng.permutation(7)
    v, _ = projected(AGEM, [g_ref], g)
    np.testing.assert_allclose(projected(AGEM, [g_ref[order]], g[order])[0], v[order], rtol=1e-5)


def test_what_is_no_number_is_not_hidden():
    v, _ = projected(AGEM, [[np.inf, 1]], [1, 1])
    assert not np.isfinite(v).all()
    v, _ = projected(AGEM, [[np.nan, 1]], [1, 1])
    assert not np.isfinite(v).all()


@pytest.mark.usefixtures("eagerly")
def test_violations_are_the_share_of_the_steps_of_a_task():
    model, stream = linear(AGEM, [[1, 2], [1, -1], [1, 1]], capacity=3)
    assert model.report() == {"violations": 0.0}
    for task, expected in zip(stream, (0.0, 1.0, 0.0), strict=True):
        model.begin_task(task)
        model.fit(model.batches(task, 1, iterations=5, replay_batch_size=2), verbose=0)
        model.end_task(task)
        # Task 3 opposes no mean of (1, 2) and (1, -1).
        assert model.report() == {"violations": expected}
    assert int(model.steps) == 5


def test_some_steps_of_a_task_may_violate():
    model, stream = linear(AGEM, [[1, 2], [1, -1]])
    remember(model, stream[:1])
    model.begin_task(stream[1])
    chunk, _ = next(iter(model.batches(stream[1], 1, 1, 1)))
    for second in (-1, 1, 1, 1):
        model.slopes.assign([[1, 2], [1, second]])
        model.train_step(chunk.step(0))
    assert model.report() == {"violations": 0.25}


# ---- what g_ref is ---------------------------------------------------------------------------------------

CLASSES = 6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, **blobs((40,) * CLASSES))
    return str(path)


def stream_of(dataset, scenario="task"):
    return make_stream(Config(method="agem", stream="split", scenario=scenario, dataset=dataset, tasks=3))


def dense(stream, regularised=False):
    l2 = keras.regularizers.L2(0.05) if regularised else None
    shape = stream.input_shape
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(9, "tanh", kernel_regularizer=l2),
        keras.layers.Dense(stream.num_classes, bias_initializer="normal"),
    ]
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *layers])


def compiled(method, network, rate=0.5, jit=False, **options):
    model = method(network, **options)
    model.compile(keras.optimizers.SGD(rate), jit=jit)
    return model


def gradient(network, x, y, masks):
    """Mean cross entropy of rows under masks of their own, by hand; flat, in float64."""
    with tf.GradientTape() as tape:
        z = tf.where(masks, network(tf.constant(x), training=False), -np.inf)
        p = tf.gather(tf.nn.softmax(z), y, batch_dims=1)
        loss = tf.add_n([-tf.reduce_mean(tf.math.log(p)), *network.losses])
    return flat(tape.gradient(loss, network.trainable_variables))


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts]).astype(float)


def masks_of(stream, index, task):
    """What may answer for rows of tasks `index` while `task` is learned."""
    if stream.scenario == "task":
        return stream.class_mask[index]
    return np.repeat(stream.class_mask[task : task + 1], len(index), axis=0)


@pytest.mark.parametrize("regularised", [False, True])
@pytest.mark.parametrize("scenario", ["task", "class"])
def test_g_ref_is_the_mean_over_the_drawn_rows_each_under_its_own_mask(dataset, scenario, regularised):
    stream = stream_of(dataset, scenario)
    network = dense(stream, regularised)
    model = compiled(AGEM, network, memory=Ring(stream, capacity=30))
    for _ in learn(model, stream[:2], batch_size=8, epochs=3):
        pass
    model.begin_task(stream[2])
    chunk, _ = next(iter(model.batches(stream[2], 8, replay_batch_size=15)))
    projections = 0
    for k in range(8):
        batch, before = chunk.step(k), flat(network.trainable_variables)
        parts = [[np.array(part) for part in (b.x, b.y, b.task)] for b in (batch.current, batch.replayed())]
        assert len(set(parts[1][2])) == 2  # rows of both tasks
        g, g_ref = (gradient(network, x, y, masks_of(stream, own, 2)) for x, y, own in parts)
        model.train_step(batch)
        projections += g @ g_ref < 0
        v = g - min(0, g @ g_ref) / (g_ref @ g_ref) * g_ref
        np.testing.assert_allclose((before - flat(network.trainable_variables)) / 0.5, v, rtol=0, atol=3e-6)
    assert int(model.violations) == projections > 0


def test_rows_that_are_not_there_do_not_count(dataset):
    stream = stream_of(dataset)
    network = dense(stream)
    model = compiled(AGEM, network, memory=Ring(stream, capacity=60))
    for _ in learn(model, stream[:1], batch_size=8):
        pass
    model.begin_task(stream[1])
    chunk, _ = next(iter(model.batches(stream[1], 8, replay_batch_size=50)))
    batch = chunk.step(0)
    there = np.array(batch.replayed().weight) == 1
    assert there.sum() == 20  # all that the ring holds of task 1
    x, y, own = (np.array(part)[there] for part in batch.replayed()[:3])
    found = flat(model.memory_gradient(batch.replayed()))
    np.testing.assert_allclose(found, gradient(network, x, y, stream.class_mask[own]), rtol=0, atol=1e-6)
    nothing = batch.replayed()._replace(weight=tf.zeros(50))
    assert not flat(model.memory_gradient(nothing)).any()


def test_metrics_are_those_of_the_current_rows(dataset):
    stream = stream_of(dataset)
    model = compiled(AGEM, dense(stream), memory=Ring(stream, capacity=30))
    for _ in learn(model, stream[:1], batch_size=8):
        pass
    model.begin_task(stream[1])
    batch = next(iter(model.batches(stream[1], 8, replay_batch_size=20)))[0].step(0)
    logits = model.logits(batch.current)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y[:8], logits)
    model.reset_metrics()
    result = model.train_step(batch)
    np.testing.assert_allclose(result["loss"], np.mean(entropy), rtol=1e-6)
    correct = np.argmax(logits, axis=1) == batch.y[:8]
    np.testing.assert_allclose(result["accuracy"], np.mean(correct), rtol=1e-6)


def test_the_memory_gets_the_rows_of_a_task_at_its_end(dataset):
    stream = stream_of(dataset)
    memory = Ring(stream, capacity=30)
    model = compiled(AGEM, dense(stream), memory=memory)
    for task in stream[:2]:
        model.begin_task(task)
        model.fit(model.batches(task, 8), verbose=0)
        assert len(memory) == 10 * task.index
        model.end_task(task)
    assert set(memory.rows()[2]) == {0, 1}


# ---- ties to fine-tuning ---------------------------------------------------------------------------------


def dropping(stream):
    return mlp(stream, hidden=(9,), dropout=0.5, seed=3)


def normalising(stream):
    network = dense(stream)
    layers = [*network.layers[:-1], keras.layers.BatchNormalization(), network.layers[-1]]
    return keras.Sequential([keras.Input(stream.input_shape), *layers])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("make", [dropping, normalising])
@pytest.mark.slow
def test_the_first_task_is_fine_tuning_bit_for_bit_and_the_second_is_not(dataset, make, jit):
    stream = stream_of(dataset)
    networks = [make(stream), make(stream)]
    models = [
        compiled(AGEM, networks[0], jit=jit, memory=Ring(stream, capacity=60)),
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
    model = compiled(AGEM, make(stream), memory=Ring(stream, capacity=30))
    for _ in learn(model, stream[:1], batch_size=8):
        pass
    model.begin_task(stream[1])
    batch = next(iter(model.batches(stream[1], 8, replay_batch_size=20)))[0].step(0)
    before = model.network.get_weights()
    assert model.network.non_trainable_variables
    model.memory_gradient(batch.replayed())
    assert_same(model.network.get_weights(), before)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_takes_finite_steps(dataset, precision):
    config = Config(
        method="agem", stream="split", scenario="task", dataset=dataset, tasks=3, precision=precision,
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


def test_without_a_memory_it_is_refused(dataset):
    with pytest.raises(InputError) as error:
        AGEM(dense(stream_of(dataset)))
    assert str(error.value) == "agem keeps to what its memory allows; give it one."


@pytest.mark.parametrize("memory", ["ring", "reservoir", "balanced", "herding"])
def test_any_memory_will_do(dataset, memory):
    config = Config(
        method="agem", memory=memory, stream="split", scenario="task", dataset=dataset, tasks=3,
        optimizer="sgd", learning_rate=0.1, jit="off",
        options={"network.hidden": (8,), "memory.capacity": 60},
    )  # fmt: skip
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    for _ in learn(model, stream[:2], batch_size=8):
        pass
    assert model.report()["violations"] > 0
