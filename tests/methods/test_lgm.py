"""LGM: a whole step against float64, what holds f, what the memory learns from, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from guarded import guarded, one_by_one
from helpers import assert_same, learn

from keras_cl.errors import InputError
from keras_cl.importance.embedder import HeldEmbedder
from keras_cl.learning.batches import Batch
from keras_cl.learning.features import embedder_and_head
from keras_cl.learning.layers import Dropout
from keras_cl.methods.finetune import Finetune
from keras_cl.methods.lgm import LGM
from keras_cl.runs.checkpoints import Checkpoints
from keras_cl.runs.results import Results
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import Config
from keras_cl.sources.base import Source
from keras_cl.streams.split import split

IN, D, WIDTH, ROWS = 3, 4, 2, 6  # inputs, features, classes of a task, rows of a class
MODES = ("frozen", "distill", "ewc", "free")
every_mode = pytest.mark.parametrize("mode", MODES)


def stream_of(scenario="class", tasks=3):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(tasks * WIDTH), ROWS)
    x = (rng.normal(size=(len(y), IN)) + rng.normal(0, 3, (tasks * WIDTH, IN))[y]).astype(np.float32)
    source = Source("rows", (IN,), tuple(range(tasks * WIDTH)), 1.0, lambda: ((x, y), (x, y)))
    return split(source, tasks=tasks, scenario=scenario)


def network(outputs, activation="relu", *between):
    layers = [keras.Input((IN,)), keras.layers.Dense(D, activation), *between, keras.layers.Dense(outputs)]
    return keras.Sequential(layers)


def made(stream, optimizer=None, net=None, **options):
    model = LGM(net or network(stream.num_classes), **options)
    model.compile(optimizer or keras.optimizers.Adam(0.01), jit=False, run_eagerly=True)
    return model


def after(tasks, stream, **options):
    """A model that has learned some tasks, and begins the next."""
    model = made(stream, **options)
    for _ in learn(model, stream[:tasks], batch_size=4):
        pass
    model.begin_task(stream[tasks])
    return model


def batch_of(task, weight=(1, 1, 1, 0), **given):
    x, y = task.train.open()
    rows = slice(ROWS - 2, ROWS + 2)
    whole = (x[rows], y[rows], np.full(4, task.index, np.int32), np.float32(weight))
    return Batch(*map(tf.constant, whole), **given)


def stepped(model, batch, monkeypatch):
    """Gradients of the trained variables that a step hands to the optimizer."""
    caught = []
    monkeypatch.setattr(LGM, "apply", lambda self, gradients: caught.extend(g.numpy() for g in gradients))
    model.train_step(batch)
    return caught


# ---- a step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("mode", ["distill", "free"])
def test_a_step_has_the_gradient_of_its_definition(mode, scenario, monkeypatch):
    stream = stream_of(scenario)
    model = after(2, stream, embedder=mode, distill_weight=0.7)
    rng, batch = np.random.default_rng(1), batch_of(stream[2])
    model.network.set_weights([rng.normal(size=w.shape) for w in model.network.get_weights()])
    state = model.memory.state.numpy()
    v_old, c, of = (part.numpy().astype(np.float64) for part in model.memory.drawn(4))
    model.memory.state.assign(state)
    found = stepped(model, batch, monkeypatch)

    teacher = model.embedder.teacher.get_weights() if mode == "distill" else [np.zeros((IN, D)), np.zeros(D)]
    x, y, w = (part.numpy() for part in (batch.x, batch.y, batch.weight))
    theta = [tf.Variable(value, dtype=tf.float64) for value in model.network.get_weights()]

    def entropy(v, y, task):
        mask = stream.class_mask[np.asarray(task, int) if scenario == "task" else [2] * len(y)]
        z = tf.where(mask, v @ theta[2] + theta[3], -1e9)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y.astype(np.int32), z)

    with tf.GradientTape() as tape:
        v = tf.nn.relu(x.astype(np.float64) @ theta[0] + theta[1])
        change = v - np.maximum(x @ teacher[0] + teacher[1], 0).astype(np.float64)
        new, old = entropy(v, y, [2] * 4), entropy(v_old, c, of)
        L = tf.reduce_sum(new * w) / w.sum() / 3 + 2 / 3 * tf.reduce_mean(old)
        if mode == "distill":
            L += 0.7 * tf.reduce_sum(tf.reduce_sum(change**2, axis=1) * w) / w.sum()
    for g, expected in zip(found, tape.gradient(L, theta), strict=True):
        np.testing.assert_allclose(g, expected.numpy(), atol=2e-5 * max(1, np.abs(expected.numpy()).max()))


@pytest.mark.parametrize("mode", ["frozen", "ewc", "free"])
def test_generated_features_move_the_head_alone(mode, monkeypatch):
    stream = stream_of()
    model = after(1, stream, embedder=mode)
    nothing = batch_of(stream[1], sample_weight=tf.zeros(4))  # the rows of the task say nothing
    kernel, bias, *of_head = stepped(model, nothing, monkeypatch)
    assert not kernel.any() and not bias.any()
    assert all(np.abs(g).max() > 1e-3 for g in of_head)


@every_mode
def test_the_first_task_is_fine_tuning(mode):
    stream = stream_of()
    model, plain = made(stream, embedder=mode), stream[0]
    start = model.network.get_weights()
    next(learn(model, stream, batch_size=4))
    net = network(stream.num_classes)
    net.set_weights(start)
    other = Finetune(net)
    other.compile(keras.optimizers.Adam(0.01), jit=False, run_eagerly=True)
    next(learn(other, stream, batch_size=4))
    assert_same(model.network.get_weights(), net.get_weights())
    assert plain.index == 0 and not np.array_equal(start[0], net.get_weights()[0])


# ---- what holds f ----------------------------------------------------------------------------------------


def test_a_frozen_f_and_what_is_known_of_old_classes_do_not_change_at_all():
    stream = stream_of()
    between = (keras.layers.BatchNormalization(), Dropout(0.5))
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.1, use_ema=True, ema_momentum=0.5)
    net = network(stream.num_classes, "relu", *between)
    model = made(stream, optimizer, net, embedder="frozen", reset_optimizer=False)
    tasks = learn(model, stream, batch_size=4)
    x, _ = next(tasks).train.open()
    f, mean, S = model.features(x), *(v.numpy() for v in model.memory.kept)
    outputs = net.layers[-1].get_weights()
    for _ in tasks:
        np.testing.assert_array_equal(model.features(x), f)
        for old, new in zip((mean, S), model.memory.kept, strict=True):
            np.testing.assert_array_equal(new.numpy()[:WIDTH], old[:WIDTH])
        assert model.report()["drift"] == 0
    assert np.abs(net.layers[-1].get_weights()[0] - outputs[0]).max() > 0.01


def test_distillation_holds_the_features_more_than_nothing_does():
    drifts = {}
    for mode in ("distill", "ewc", "free"):
        model = made(stream_of(), embedder=mode)
        for _ in learn(model, stream_of(), batch_size=4, epochs=3):
            pass
        drifts[mode] = model.report()["drift"]
    assert drifts["distill"] < drifts["free"] / 2 and drifts["ewc"] < drifts["free"] / 2


def test_the_fisher_information_of_features_is_the_sum_over_them():
    stream = stream_of()
    f, _ = embedder_and_head(network(2, None))
    held = HeldEmbedder(f, "ewc", 1.0, 3.0, tf.Variable(1, dtype=tf.int64))
    x, _ = stream[0].train.open()
    held.end_task(x, seed=0, jit=False)
    F = np.tile(np.mean(x.astype(np.float64) ** 2, axis=0)[:, np.newaxis], (1, D))  # d v_j / d W_ij = x_i
    np.testing.assert_allclose(held.quadratic.importance[0].numpy(), F, rtol=1e-5)
    np.testing.assert_allclose(held.quadratic.importance[1].numpy(), 1, rtol=1e-5)
    assert held.penalty(None, None).numpy() == 0
    f.trainable_variables[0].assign_add(tf.ones((IN, D)))
    np.testing.assert_allclose(held.penalty(None, None).numpy(), 3 * F.sum(), rtol=1e-5)
    held.end_task(x, seed=1, jit=False)  # importances add up, around the latest weights
    np.testing.assert_allclose(held.quadratic.importance[0].numpy(), 2 * F, rtol=1e-5)
    assert held.penalty(None, None).numpy() == 0


def test_drift_is_that_of_the_images_of_the_task():
    stream = stream_of()
    model = after(1, stream, embedder="free")
    x, _ = stream[1].train.open()
    before = model.features(x)
    kernel = model.network.trainable_variables[0]
    kernel.assign(1.5 * kernel)
    now = model.features(x)
    model.end_task(stream[1])
    expected = ((now - before) ** 2).sum() / (now**2).sum()
    assert expected > 0.01 and model.report()["drift"] == pytest.approx(expected, rel=1e-5)


# ---- the memory ------------------------------------------------------------------------------------------


def test_old_classes_follow_f_and_new_ones_are_those_of_its_features():
    stream = stream_of()
    model = made(stream, embedder="free", net=network(6, None), ridge=1e-6)
    model.begin_task(stream[0])
    model.end_task(stream[0])
    model.begin_task(stream[1])
    kernel, bias = model.network.trainable_variables[:2]
    kernel.assign(-2 * kernel)  # an affine change of the features, of these few inputs on their plane too
    bias.assign_add([1.0, 2, 3, 4])
    model.end_task(stream[1])
    for task in stream[:2]:
        x, y = task.train.open()
        V = model.features(x)
        for unit in np.unique(y):
            mine = V[y == unit]
            np.testing.assert_allclose(model.memory.mean.numpy()[unit], mine.mean(axis=0), atol=2e-3)
            S = np.cov(mine, rowvar=False, bias=True)[np.tril_indices(D)]
            np.testing.assert_allclose(model.memory.covariance.numpy()[unit], S, atol=5e-3 * np.abs(S).max())


def test_without_transport_old_classes_stay_where_they_were():
    stream = stream_of()
    model = after(1, stream, embedder="free", transport=False)
    before = [v.numpy()[:WIDTH] for v in model.memory.kept]
    model.fit(model.batches(stream[1], 4), verbose=0)
    model.end_task(stream[1])
    assert model.report()["drift"] > 0
    assert_same([v.numpy()[:WIDTH] for v in model.memory.kept], before)


@every_mode
def test_no_rows_but_those_of_the_task_are_read(mode):
    stream = guarded(stream_of())
    model = made(stream, embedder=mode)
    for part in one_by_one(stream):
        next(learn(model, part, batch_size=4))
        assert set(model.report()) == {"drift", "replay_accuracy"}
    with pytest.raises(AssertionError, match="of task 0 were read"):
        stream[0].train.open()


def test_records_have_the_bytes_of_the_memory_beside_those_of_rows():
    stream, results = stream_of(), Results()
    model = made(stream)
    results.add(model, np.zeros(3))
    for _ in learn(model, stream, batch_size=4):
        results.add(model, np.zeros(3), rows=WIDTH * ROWS)
        results.records[-1]["generated_labels"] = []
    costs = results.costs()
    assert costs["memory_bytes"] == [6 * 4 * (D + D * (D + 1) // 2)] * 3
    row = IN * 4 + 1  # floats and a label
    assert costs["sizes"]["generator"]["rows"] == round(costs["memory_bytes"][0] / row)
    assert len(costs["drift"]) == len(costs["replay_accuracy"]) == 3


@pytest.mark.parametrize("backend", ["gauss", "cvae"])
def test_a_resumed_run_ends_like_one_that_was_not_stopped(backend, tmp_path):
    stream = stream_of()
    options = {"backend": backend, "hidden": (8,), "latent": 2, "memory_iterations": 2}
    whole = after(2, stream, **options)
    Checkpoints(whole).write(tmp_path)
    resumed = made(stream, **options)
    resumed.restore(stream, 2, lambda: Checkpoints(resumed).read(tmp_path))
    resumed.begin_task(stream[2])
    for model in (whole, resumed):
        model.fit(model.batches(stream[2], 4), verbose=0)
        model.end_task(stream[2])
    assert_same(resumed.network.get_weights(), whole.network.get_weights())
    assert_same(*([v.numpy() for v in model.memory.kept] for model in (resumed, whole)))
    assert resumed.report() == whole.report()


# ---- networks --------------------------------------------------------------------------------------------


def test_a_network_with_convolutions_learns_by_its_pooled_features():
    options = {"network.filters": (4,), "network.hidden": (), "method.embedder": "ewc"}
    given = {"scenario": "class", "dataset": "digits", "tasks": 5, "network": "cnn", "jit": "off"}
    config = Config(method="lgm", stream="split", options=options, **given)
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    for task in stream[:2]:
        model.begin_task(task)
        model.fit(model.batches(task, 64, 3), verbose=0)
        model.end_task(task)
    assert model.memory.size == model.features(task.train.open()[0][:1]).shape[1]
    assert np.isfinite(model.predict_logits(task.test.open()[0])).all()


def test_networks_without_features_in_front_of_a_head_are_refused():
    image, task = keras.Input((4, 4, 1)), keras.Input((), dtype=tf.int32)
    flat = keras.layers.Flatten()
    h = keras.layers.Dense(5, "relu")(flat(image))
    around = keras.layers.Concatenate()([keras.layers.Dense(5)(h), flat(image)])
    with_task = keras.layers.Dense(2)(h + tf.cast(task, tf.float32)[:, tf.newaxis])
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Dense(2)(image))
    convolved = flat(keras.layers.Conv2D(1, 1)(image))
    for inputs, outputs, reason in (
        (image, convolved, "has no dense layer among its own"),
        (image, around, "does not answer by the features before its last dense layer alone"),
        ([image, task], with_task, "takes the task of an image"),
        (
            image,
            pooled,
            r"has features of the shape \(4, 4, 1\) before its last dense layer; pool",
        ),
    ):
        with pytest.raises(InputError, match=reason):
            LGM(keras.Model(inputs, outputs, name="net"))


def test_a_layer_that_regularises_its_activity_cannot_be_frozen():
    def busy():
        first = keras.layers.Dense(3, "relu", activity_regularizer="l2", name="busy")
        return keras.Sequential([keras.Input((IN,)), first, keras.layers.Dense(2)])

    with pytest.raises(InputError, match="the layer busy regularises its activity; give it no activity_reg"):
        LGM(busy(), embedder="frozen")
    assert LGM(busy(), embedder="distill")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"embedder": "frozn"}, "embedder 'frozn' is not known.*frozen"),
        ({"backend": "gaus"}, "backend 'gaus' is not known.*gauss"),
        ({"ridge": -1.0}, "ridge is -1.0; it must not be negative"),
        ({"distill_weight": -1.0}, "distill_weight is -1.0"),
        ({"ewc_weight": -1.0}, "ewc_weight is -1.0"),
        ({"backend": "cvae", "latent": 0}, "latent is 0"),
        ({"backend": "cgan", "hidden": (0,)}, r"hidden is \(0,\)"),
        ({"backend": "cvae", "memory_iterations": 0}, "memory_iterations is 0"),
        ({"backend": "cvae", "align": -1.0}, "align is -1.0; it must not be negative"),
        ({"align": 1.0}, "align is of cvae and cgan"),
    ],
)
def test_impossible_options_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        LGM(network(4), **options)


# ---- learning --------------------------------------------------------------------------------------------


def test_digits_are_remembered_while_f_is_held_and_forgotten_while_it_is_free():
    after_all = {}
    for mode in ("distill", "free"):
        options = {"network.hidden": (64,), "method.embedder": mode}
        options["stream.class_order"] = "0,1,2,3,4,5,6,7,8"
        given = {"scenario": "class", "dataset": "digits", "tasks": 3, "learning_rate": 3e-3, "jit": "off"}
        config = Config(method="lgm", stream="split", options=options, **given)
        stream = make_stream(config)
        model = make_model(config, stream, seed=0)
        for _ in learn(model, stream, epochs=6):
            pass
        assert model.train_function.steps.experimental_get_tracing_count() == 1
        after_all[mode] = model.accuracies(stream)
    assert after_all["distill"].min() > 0.8 and after_all["free"][:2].mean() < 0.6
