"""HAT: steps against float64, the schedule of s, what earlier tasks keep, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same

from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.methods.hat import HAT
from keras_cl.networks.mlp import mlp
from keras_cl.runs import saved_model
from keras_cl.settings.config import Config
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

pytestmark = pytest.mark.usefixtures("any_order")

FEATURES, HIDDEN, CLASSES = 5, (4, 3), 6  # two classes a task
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
}
every_optimizer = pytest.mark.parametrize(
    "optimizer, reset", [("sgd", True), ("momentum", False), ("adam", True), ("adam", False), ("adamw", True)]
)


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(np.asarray(z, float), -700, 700)))


def stream_of(rows=10, scenario="task"):
    """Three tasks of two classes, with `rows` training rows each."""
    rng = np.random.default_rng(0)
    labels = np.arange(3 * rows) % CLASSES
    x = rng.normal(size=(3 * rows, FEATURES)) + labels[:, np.newaxis] / 2
    data = x.astype(np.float32), labels
    source = Source("rows", (FEATURES,), tuple(range(CLASSES)), 1.0, lambda: (data, data))
    return split(source, tasks=3, scenario=scenario)


STREAM = stream_of()


class Told(HAT):
    """HAT that tells the loss of its last step and the s of all steps."""

    def gradients(self, tape, loss):
        self.total = float(loss)
        return super().gradients(tape, loss)

    def train_step(self, batch):
        result = super().train_step(batch)
        for gate, told in zip(self.gates, self.schedule, strict=True):
            told.append(float(gate.sharpness))
        return result


class Reserved(Told):
    """The regulariser alone: there is no cross entropy."""

    def task_loss(self, batch, logits):
        return 0.0


def model_of(method=HAT, optimizer="sgd", stream=STREAM, eagerly=False, hidden=HIDDEN, **options):
    """A model whose weights are all random, biases too; the optimizer is a name or an object."""
    model = method(mlp(stream, hidden=hidden, seed=3), **{"tasks": 3, "seed": 1, **options})
    made = OPTIMIZERS[optimizer]() if isinstance(optimizer, str) else optimizer
    model.compile(made, jit=False, run_eagerly=eagerly)
    rng = np.random.default_rng(4)
    for layer in model.dense:
        layer.set_weights([rng.normal(0, 0.7, w.shape) for w in layer.get_weights()])
    model.schedule = [[] for _ in model.gates]
    return model


def learn(model, *tasks, steps=4):
    """Takes some steps on every task, in epochs of 4."""
    for index in tasks:
        task = STREAM[index]
        model.begin_task(task)
        model.batches(task, 3)
        for seed in range(steps):
            model.train_step(some_batch(index, seed=seed))
        model.end_task(task)


def saturate(model, index, *layers):
    """Opens the gates of task `index` where a number of its layer is 1 and closes them where it is 0."""
    for gate, used in zip(model.gates, layers, strict=True):
        embedding = gate.embedding.numpy()
        embedding[index] = 12 * np.array(used) - 6
        gate.embedding.assign(embedding)


def remember(model, *layers):
    for m, values in zip(model.m, layers, strict=True):
        m.assign(values)


def weights_of(model):
    """`[(kernel, bias)]` of the dense layers."""
    return [layer.get_weights() for layer in model.dense]


def masks_of(model):
    return [m.numpy() for m in model.m]


def embeddings_of(model):
    return [gate.embedding.numpy() for gate in model.gates]


def some_batch(index, count=6, seed=5):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, FEATURES)), 2 * index + rng.integers(0, 2, count)
    task = np.full(count, index)
    return Batch(
        tf.constant(x, tf.float32), tf.constant(y, tf.int32), tf.constant(task, tf.int32), tf.ones(count)
    )


# ---- the schedule ----------------------------------------------------------------------------------------


def rise(B, s_max=50.0):
    """s of the steps b = 1 ... B of an epoch."""
    return [1 / s_max + (s_max - 1 / s_max) * (b - 1) / (B - 1) for b in range(1, B + 1)]


@pytest.mark.parametrize(
    "rows, batch_size, iterations, epoch",
    [
        (10, 4, 0, rise(3)),  # the rest of an epoch is a step too
        (10, 2, 0, rise(5)),
        (4, 4, 0, [50.0]),
        (10, 4, 7, rise(2)),  # the rest is not: a pass over the rows has whole batches only
        (6, 4, 3, [50.0]),
    ],
)
def test_s_rises_from_1_over_s_max_to_s_max_in_every_epoch(rows, batch_size, iterations, epoch):
    stream = stream_of(rows)
    model, expected = model_of(Told, stream=stream, s_max=50.0), []
    for task in stream[:2]:
        model.begin_task(task)
        model.batches(task, batch_size, iterations=iterations)
        for _ in range(2 * len(epoch) + 1):  # the odd one leaves no trace in the task after
            model.train_step(some_batch(task.index))
        expected += [*epoch, *epoch, epoch[0]]
    for told in model.schedule:
        np.testing.assert_allclose(told, expected, rtol=1e-6)


@pytest.mark.parametrize("iterations, steps", [(0, 3), (5, 2)], ids=["epochs", "iterations"])
def test_fit_takes_the_steps_that_an_epoch_of_the_schedule_has(iterations, steps):
    model = model_of(Told, eagerly=True, s_max=50.0)
    model.begin_task(STREAM[0])
    data = model.batches(STREAM[0], 4, iterations=iterations)
    for _ in range(2):  # as when accuracy is measured after each epoch
        model.fit(data, epochs=1, verbose=0)
    total = 2 * (iterations or steps)
    for told in model.schedule:
        np.testing.assert_allclose(told, (rise(steps) * total)[:total], rtol=1e-6)


# ---- the definition --------------------------------------------------------------------------------------


def forward(model, x, index, s):
    """Float64 `(inputs of the dense layers, what they say, gates)`; the last layer says the logits."""
    inputs, outputs, gates = [np.asarray(x, float)], [], []
    for place, (kernel, bias) in enumerate(weights_of(model)):
        outputs.append(inputs[-1] @ kernel.astype(float) + bias)
        if place < len(model.gates):
            gates.append(sigmoid(s * model.gates[place].embedding.numpy()[index].astype(float)))
            inputs.append(np.maximum(outputs[-1], 0) * gates[-1])
    return inputs, outputs, gates


def regulariser(gates, masks):
    """R and its gradient by every gate, unit by unit."""
    taken = free = 0.0
    for a, m in zip(gates, masks, strict=True):
        for unit in range(len(a)):
            taken += a[unit] * (1 - m[unit])
            free += 1 - m[unit]
    return taken / free, [(1 - m.astype(float)) / free for m in masks]


def definition(model, batch, index, s):
    """`(loss, [(kernel, bias)] gradients, [gradient of the task's embedding])` in float64."""
    inputs, outputs, gates = forward(model, batch.x.numpy(), index, s)
    R, by_gates = regulariser(gates, masks_of(model))
    own, rows, y = slice(2 * index, 2 * index + 2), np.arange(len(batch.y)), batch.y.numpy()
    p = np.zeros_like(outputs[-1])
    raised = np.exp(outputs[-1][:, own])
    p[:, own] = raised / raised.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[rows, y])) + model.c * R
    p[rows, y] -= 1
    delta, by_weights, by_e = p / len(y), [], []
    for place in reversed(range(len(outputs))):
        by_weights.insert(0, (inputs[place].T @ delta, delta.sum(axis=0)))
        if place:
            before, z = delta @ weights_of(model)[place][0].T.astype(float), outputs[place - 1]
            by_a = (before * np.maximum(z, 0)).sum(axis=0) + model.c * by_gates[place - 1]
            e = model.gates[place - 1].embedding.numpy()[index].astype(float)
            by_e.insert(0, model.s_max * sigmoid(e) * sigmoid(-e) * by_a)  # eq. 4
            delta = before * (z > 0) * gates[place - 1]
    return loss, by_weights, by_e


PARTIAL = ([0.0, 0.25, 1.0, 0.9], [0.5, 1.0, 0.0])


@pytest.mark.parametrize("sparsity", [0.0, 0.75])
@pytest.mark.parametrize("masks", [([0.0] * 4, [0.0] * 3), PARTIAL], ids=["all is free", "some is"])
@pytest.mark.parametrize("step, s", [(0, 1 / 9), (2, 1 / 9 + (9 - 1 / 9) * 2 / 3), (3, 9.0)])
def test_a_step_is_the_one_of_the_definition(step, s, masks, sparsity):
    rate, index = 0.1, 1
    model = model_of(Told, keras.optimizers.SGD(rate), s_max=9.0, sparsity=sparsity)
    model.begin_task(STREAM[index])
    model.batches(STREAM[index], 3)  # 4 steps an epoch
    model.step.assign(step)
    remember(model, *masks)
    batch = some_batch(index)
    loss, by_weights, by_e = definition(model, batch, index, s)
    weights, embeddings = weights_of(model), embeddings_of(model)
    model.train_step(batch)
    assert model.total == pytest.approx(loss, rel=1e-5)
    # What a weight keeps: the input side of the first layer and the output side of the last are not gated.
    m_in, m_out = [np.ones(FEATURES), *masks], [*masks, [1, 1, 0, 0, 1, 1]]
    for place, (kernel, bias) in enumerate(weights_of(model)):
        for j, used in enumerate(m_out[place]):
            for i, sends in enumerate(m_in[place]):
                change = rate * (1 - min(sends, used)) * by_weights[place][0][i, j]
                assert kernel[i, j] == pytest.approx(weights[place][0][i, j] - change, rel=1e-5, abs=1e-6)
            change = rate * (1 - used) * by_weights[place][1][j]
            assert bias[j] == pytest.approx(weights[place][1][j] - change, rel=1e-5, abs=1e-6)
    for after, before, gradient in zip(embeddings_of(model), embeddings, by_e, strict=True):
        np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
        expected = np.clip(before[index] - rate * gradient, -6, 6)
        np.testing.assert_allclose(after[index], expected, rtol=1e-5, atol=1e-5)


def test_outside_of_training_gates_are_sharpest_whatever_s_was():
    model = model_of(s_max=9.0)
    learn(model, 0)
    x = STREAM[0].test.open()[0]
    for s in (1 / 9, 4.0):
        for gate in model.gates:
            gate.sharpness.assign(s)
        for index in range(3):
            _, (*_, logits), _ = forward(model, x, index, 9.0)
            np.testing.assert_allclose(model.predict_logits(x, task=index), logits, rtol=1e-5, atol=1e-5)


# ---- the regulariser -------------------------------------------------------------------------------------


def step_of(model, *masks, index=1):
    """R of one step, which is an epoch and has s_max, and what it adds to the embeddings of the task."""
    model.begin_task(STREAM[index])
    remember(model, *masks)
    before = embeddings_of(model)
    model.train_step(some_batch(index))
    moved = [after[index] - old[index] for after, old in zip(embeddings_of(model), before, strict=True)]
    return model.total, moved


def test_in_the_first_task_the_regulariser_is_the_mean_gate():
    model = model_of(Reserved, sparsity=1.0, s_max=9.0)
    gates = np.concatenate([sigmoid(9 * embedding[0]) for embedding in embeddings_of(model)])
    R, _ = step_of(model, [0.0] * 4, [0.0] * 3, index=0)
    np.testing.assert_allclose(R, gates.mean(), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_regulariser_is_a_share_of_what_is_free(seed):
    rng = np.random.default_rng(seed)
    model = model_of(Reserved, sparsity=1.0, s_max=9.0)
    for gate in model.gates:
        gate.embedding.assign(rng.uniform(-6, 6, gate.embedding.shape))
    masks = [rng.uniform(size=units).astype(np.float32) for units in HIDDEN]
    expected, _ = regulariser([sigmoid(9 * e[1]) for e in embeddings_of(model)], masks)
    R, _ = step_of(model, *masks)
    np.testing.assert_allclose(R, expected, rtol=1e-6)
    assert 0 <= R <= 1


def test_units_that_earlier_tasks_use_are_free_of_charge():
    model = model_of(Reserved, sparsity=1.0)
    _, moved = step_of(model, [1, 0, 1, 0], [0, 1, 1])
    for change, used in zip(moved, ([1, 0, 1, 0], [0, 1, 1]), strict=True):
        np.testing.assert_array_equal(change == 0, np.array(used) == 1)
        assert (change <= 0).all()


@pytest.mark.parametrize("method", [Reserved, Told])
def test_where_nothing_is_free_the_regulariser_is_nothing(method):
    model = model_of(method, sparsity=1.0)
    R, moved = step_of(model, [1] * 4, [1] * 3)
    assert np.isfinite([R, *np.concatenate(moved)]).all()
    if method is Reserved:
        assert R == 0
        assert not np.concatenate(moved).any()


# ---- what earlier tasks keep -----------------------------------------------------------------------------

FIRST = ([1, 1, 0, 0], [1, 0, 1])  # units of the first task
SECOND = ([0, 1, 1, 1], [1, 1, 1])  # of the second, at its start


def after_first(optimizer, **options):
    """A model that learned the first task with the units `FIRST`, and what it is like then."""
    model = model_of(optimizer=optimizer, **options)
    learn(model, 0)
    remember(model, *([0] * units for units in HIDDEN))
    saturate(model, 0, *FIRST)
    saturate(model, 1, *SECOND)
    model.end_task(STREAM[0])
    x = np.concatenate([one.test.open()[0] for one in STREAM])
    return model, weights_of(model), model.predict_logits(x, task=0), x


@every_optimizer
def test_a_second_task_leaves_what_the_first_one_uses_bit_for_bit(optimizer, reset):
    model, before, logits, x = after_first(optimizer, reset_optimizer=reset)
    assert_same(masks_of(model), [np.array(used, np.float32) for used in FIRST])  # exactly 0 and 1
    new = model.predict_logits(x, task=1)
    learn(model, 1, steps=8)
    pairs = zip([[1] * FEATURES, *FIRST], [*FIRST, [1, 1, 0, 0, 1, 1]], strict=True)
    for (m_in, m_out), (kernel, bias), (old_kernel, old_bias) in zip(
        pairs, weights_of(model), before, strict=True
    ):
        used = np.outer(m_in, m_out) == 1
        np.testing.assert_array_equal(kernel[used], old_kernel[used])
        np.testing.assert_array_equal(bias[np.array(m_out) == 1], old_bias[np.array(m_out) == 1])
        assert (kernel[~used] != old_kernel[~used]).any()
    np.testing.assert_allclose(model.predict_logits(x, task=0)[:, :2], logits[:, :2], rtol=0, atol=1e-5)
    assert np.abs(model.predict_logits(x, task=1) - new).max() > 0.1  # something was learned


def test_a_third_task_leaves_both_as_they_were():
    model, _, first, x = after_first("momentum", reset_optimizer=False)
    learn(model, 1)
    saturate(model, 1, *SECOND)
    model.end_task(STREAM[1])
    second = model.predict_logits(x, task=1)
    learn(model, 2, steps=8)
    np.testing.assert_allclose(model.predict_logits(x, task=0)[:, :2], first[:, :2], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.predict_logits(x, task=1)[:, 2:4], second[:, 2:4], rtol=0, atol=1e-5)


@every_optimizer
def test_the_heads_of_other_tasks_are_not_changed(optimizer, reset):
    model = model_of(optimizer=optimizer, reset_optimizer=reset)
    learn(model, 0)
    remember(model, *PARTIAL)  # what comes from a unit that is free may change, but not in another head
    kernel, bias = weights_of(model)[-1]
    learn(model, 1)
    after_kernel, after_bias = weights_of(model)[-1]
    np.testing.assert_array_equal((after_kernel != kernel).any(axis=0), [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(after_bias != bias, [0, 0, 1, 1, 0, 0])


@every_optimizer
def test_the_embeddings_of_other_tasks_are_not_changed(optimizer, reset):
    model = model_of(optimizer=optimizer, reset_optimizer=reset)
    for index in range(2):
        before = embeddings_of(model)
        learn(model, index)
        for embedding, old in zip(embeddings_of(model), before, strict=True):
            np.testing.assert_array_equal((embedding != old).any(axis=1), np.arange(3) == index)


@pytest.mark.parametrize("sparsity, bound", [(1e6, -6), (0.0, 6)])
def test_embeddings_stay_within_6(sparsity, bound):
    model = model_of(optimizer=keras.optimizers.SGD(1e3), sparsity=sparsity)
    model.begin_task(STREAM[0])
    model.train_step(some_batch(0))
    found = np.concatenate([embedding[0] for embedding in embeddings_of(model)])
    assert np.abs(found).max() == 6
    assert bound in found


# ---- masks and gates -------------------------------------------------------------------------------------


def test_m_is_the_largest_gate_so_far():
    model = model_of(s_max=9.0, optimizer="adam")
    assert_same(masks_of(model), [np.zeros(units, np.float32) for units in HIDDEN])
    assert model.report() == {"capacity_used": 0.0}
    used, before = [np.zeros(units) for units in HIDDEN], [np.zeros(units) for units in HIDDEN]
    for index in range(3):
        learn(model, index)
        gates = [sigmoid(9 * embedding[index].astype(float)) for embedding in embeddings_of(model)]
        used = [np.maximum(m, a) for m, a in zip(used, gates, strict=True)]
        for m, expected, old in zip(masks_of(model), used, before, strict=True):
            np.testing.assert_allclose(m, expected, rtol=1e-5)
            assert (m >= old).all()
        before = masks_of(model)
        # A mean over units, not over layers.
        assert model.report()["capacity_used"] == pytest.approx(np.concatenate(used).mean(), rel=1e-5)


def test_a_task_that_uses_less_frees_nothing():
    model = model_of()
    saturate(model, 0, [1, 1, 0, 0], [1, 0, 1])
    saturate(model, 1, [0, 1, 1, 0], [0, 0, 0])
    for index in (0, 1):
        model.begin_task(STREAM[index])
        model.end_task(STREAM[index])
    assert_same(masks_of(model), [np.array(m, np.float32) for m in ([1, 1, 1, 0], [1, 0, 1])])
    assert model.report()["capacity_used"] == pytest.approx(5 / 7, rel=1e-6)


def separated():
    """A model after the last task, in which every task has units of its own."""
    model = model_of(hidden=(6, 6))
    for index in range(3):
        own = np.arange(6) // 2 == index
        saturate(model, index, own, own)
        model.begin_task(STREAM[index])
        model.end_task(STREAM[index])
    return model


def test_every_task_is_measured_with_its_own_gates():
    model = separated()
    expected, current = [], []
    for task in STREAM:
        x, y = task.test.open()
        for row, index in ((expected, task.index), (current, 2)):
            _, (*_, logits), _ = forward(model, x, index, 400.0)
            own = slice(2 * task.index, 2 * task.index + 2)
            row.append(np.mean(2 * task.index + logits[:, own].argmax(axis=1) == y))
    np.testing.assert_allclose(model.accuracies(STREAM), expected, rtol=1e-12)
    np.testing.assert_allclose(model.accuracies(STREAM[1:2]), expected[1:2], rtol=1e-12)
    assert expected != current  # the gates of the last task would be another answer


def test_the_exported_model_answers_every_row_with_the_gates_of_its_task(tmp_path):
    model = separated()
    saved_model.export(model.network, STREAM[2], tmp_path / "3", {})
    signatures = tf.saved_model.load(str(tmp_path / "3")).signatures
    x = np.concatenate([task.test.open()[0] for task in STREAM])
    index = np.random.default_rng(0).permutation(np.arange(len(x)) % 3)
    answer = signatures["with_task"](images=tf.constant(x), task=tf.constant(index, tf.int32))
    for task in range(3):
        rows = index == task
        _, (*_, logits), _ = forward(model, x[rows], task, 400.0)
        np.testing.assert_allclose(answer["logits"][rows], logits, rtol=1e-5, atol=1e-5)
        predicted = model.predict_logits(x[rows], task=task)
        np.testing.assert_allclose(answer["logits"][rows], predicted, rtol=0, atol=1e-6)
        own = 2 * task + logits[:, 2 * task : 2 * task + 2].argmax(axis=1)
        np.testing.assert_array_equal(answer["class"][rows], own)
    latest = signatures["serving_default"](images=tf.constant(x))["logits"]
    np.testing.assert_allclose(latest, model.predict_logits(x, task=2), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_compiled_loop_blocks_as_well():
    model, before, logits, x = after_first("adam")
    model.compile(OPTIMIZERS["adam"](), jit=True)
    model.begin_task(STREAM[1])
    model.fit(model.batches(STREAM[1], 4), epochs=3, verbose=0)
    used = np.outer(*FIRST) == 1
    kernel, old = weights_of(model)[1][0], before[1][0]
    np.testing.assert_array_equal(kernel[used], old[used])
    assert (kernel[~used] != old[~used]).any()
    np.testing.assert_allclose(model.predict_logits(x, task=0)[:, :2], logits[:, :2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_blocks_as_well(precision):
    network = mlp(STREAM, hidden=HIDDEN, precision=precision, dropout=0.25, seed=3)
    model = HAT(network, tasks=3)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, jit=False)
    saturate(model, 0, *FIRST)
    x = STREAM[0].test.open()[0]
    model.begin_task(STREAM[0])
    model.end_task(STREAM[0])
    logits = model.predict_logits(x, task=0)
    learn(model, 1)
    np.testing.assert_array_equal(model.predict_logits(x, task=0)[:, :2], logits[:, :2])
    assert np.isfinite(model.predict_logits(x, task=1)).all()


def test_a_layer_that_is_not_trained_stays_as_it_is():
    network = mlp(STREAM, hidden=HIDDEN, seed=3)
    frozen = network.get_layer("dense_0")
    frozen.trainable = False
    model = HAT(network, tasks=3)
    model.compile(OPTIMIZERS["sgd"](), jit=False)
    before = frozen.get_weights()
    model.begin_task(STREAM[0])
    model.train_step(some_batch(0))
    assert_same(frozen.get_weights(), before)


# ---- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["domain", "class"])
def test_without_known_tasks_it_is_refused_before_data_is_read(scenario):
    with pytest.raises(InputError, match=f"hat does not support the {scenario}-incremental scenario"):
        Config(method="hat", stream="split", scenario=scenario, dataset="no/such/file.npz")
    Config(method="hat", stream="split", scenario="task", dataset="no/such/file.npz")


def test_more_tasks_than_gates_are_refused():
    model = model_of(tasks=2)
    learn(model, 0, 1)
    with pytest.raises(InputError) as error:
        model.begin_task(STREAM[2])
    assert str(error.value) == "hat has gates for 2 tasks; this is task 3."


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sparsity": -0.5}, "sparsity is -0.5; it must not be negative."),
        ({"s_max": 1.0}, "s_max is 1.0; it must be above 1."),
        ({"s_max": -400.0}, "s_max is -400.0; it must be above 1."),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options, message):
    with pytest.raises(InputError) as error:
        model_of(**options)
    assert str(error.value) == message


def convolution():
    layers = keras.layers.Reshape((1, FEATURES, 1)), keras.layers.Conv2D(2, 1), keras.layers.Flatten()
    return keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES)])


def skip():
    images = keras.Input((FEATURES,))
    x = keras.layers.Add()([keras.layers.Dense(FEATURES)(images), images])
    return keras.Model(images, keras.layers.Dense(CLASSES)(x))


@pytest.mark.parametrize("make", [convolution, skip])
def test_networks_that_are_no_chain_of_dense_layers_are_refused(make):
    with pytest.raises(InputError, match="Task gates are for chains of dense layers; .* has the layer "):
        HAT(make())


def test_gates_and_kernels_draw_from_seeds_of_their_own():
    model = HAT(mlp(STREAM, hidden=HIDDEN, seed=1), tasks=3, seed=1)
    kernels = {layer.kernel_initializer.seed for layer in model.dense}
    assert not kernels & {gate.seed for gate in model.gates}
