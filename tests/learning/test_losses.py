"""Losses, class weights, sample weights and metrics of one's own, among the classes that are active."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs, small

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.layers import MASKED
from keras_cl.memories import Reservoir
from keras_cl.methods import ER, EWC, Cumulative, Finetune, GDumb
from keras_cl.networks import mlp
from keras_cl.settings import catalog
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import SCENARIOS, Config

eagerly = pytest.mark.usefixtures("eagerly")
STREAM = streams.split(sources.from_arrays(**blobs([12] * 6)), tasks=3, valid_fraction=0.25)
SMOOTH = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
FOCAL = keras.losses.CategoricalFocalCrossentropy(from_logits=True, alpha=0.3, gamma=1.5)
BINARY = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)
Y = np.array([2, 3, 3, 2, 2])
Z = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


def model_of(method=Finetune, loss=None, metrics=None, optimizer="sgd", **given):
    options = {"memory": given.pop("memory")} if "memory" in given else {}
    model = method(mlp(STREAM, hidden=(8,), seed=3), seed=1, **options)
    model.compile(optimizer, loss, metrics, **{"jit": False, **given})
    return model


def masked(active):
    return np.where(np.isin(np.arange(6), active), Z, MASKED).astype(np.float32)


@pytest.mark.parametrize("active", [[2, 3], [0, 1, 2, 3], range(6)], ids=str)
@pytest.mark.parametrize("loss", [SMOOTH, FOCAL, BINARY], ids=lambda loss: loss.name)
def test_a_loss_is_that_of_keras_on_the_active_classes_alone(loss, active):
    active = list(active)
    one_hot = np.eye(6, dtype=np.float32)[Y][:, active]
    alone = type(loss).from_config({**loss.get_config(), "reduction": "none"})(one_hot, Z[:, active])
    logits = tf.Variable(masked(active))
    with tf.GradientTape() as tape:
        losses = model_of(loss=loss).row_losses(tf.constant(Y, tf.int32), logits)
    np.testing.assert_allclose(losses, alone, rtol=1e-5)
    gradient = tape.gradient(losses, logits).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:, np.setdiff1d(range(6), active)], 0)
    assert np.abs(gradient[:, active]).min() > 1e-6


def own(y, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)


@eagerly
@pytest.mark.parametrize("loss", [own, keras.losses.SparseCategoricalCrossentropy(from_logits=True)])
def test_the_cross_entropy_by_another_name_is_the_default_bit_for_bit(loss):
    trained = []
    for given in (None, loss):
        model = model_of(loss=given)
        model.begin_task(STREAM[0])
        history = model.fit(STREAM[0], batch_size=5, verbose=0, validation_data=STREAM[0].valid).history
        trained.append((history, [weight.tolist() for weight in model.network.get_weights()]))
    assert trained[0] == trained[1]


@eagerly
def test_padding_counts_in_no_loss():
    """18 rows in batches of 17: the last one has one row and 16 of padding."""
    expected = None
    for batch_size in (17, 18):
        model = model_of(loss=SMOOTH, optimizer=keras.optimizers.SGD(0.0))
        model.begin_task(STREAM[0])
        loss = model.fit(STREAM[0], batch_size=batch_size, verbose=0).history["loss"]
        expected = expected or loss
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def step_of(model, weights=None):
    """Change of the weights in one step of plain SGD on the whole first task."""
    model.begin_task(STREAM[0])
    before = model.network.get_weights()
    model.fit(model.batches(STREAM[0], 18, sample_weight=weights), verbose=0)
    return [now - then for now, then in zip(model.network.get_weights(), before, strict=True)]


@eagerly
def test_class_and_sample_weights_multiply_the_loss_of_their_rows():
    _, y = STREAM[0].train.open()
    by_class = step_of(model_of(class_weight={0: 3.0, 1: 0.5}))
    by_row = step_of(model_of(), np.where(y == 0, 3.0, 0.5))
    halves = [step_of(model_of(), np.where(y == unit, 1.0, 0.0)) for unit in (0, 1)]
    for of_class, of_row, zero, one in zip(by_class, by_row, *halves, strict=True):
        np.testing.assert_allclose(
            of_class, 3 * zero + 0.5 * one, atol=1e-6
        )  # the mean is over rows, as in Keras
        np.testing.assert_allclose(of_row, of_class, atol=1e-7)
    assert np.abs(by_class[0]).max() > 1e-3


@eagerly
def test_weights_count_in_training_only_and_replayed_rows_have_one():
    plain = model_of(optimizer=keras.optimizers.SGD(0.0))
    heavy = model_of(ER, optimizer=keras.optimizers.SGD(0.0), memory=Reservoir(STREAM, capacity=18))
    for model in (plain, heavy):
        model.begin_task(STREAM[0])
    rows = np.full(18, 4.0)
    model = heavy
    for _ in range(2):  # the second time there are rows to replay
        loss = model.fit(model.batches(STREAM[0], 18, sample_weight=rows), verbose=0).history["loss"]
    once = plain.fit(STREAM[0], batch_size=18, verbose=0, validation_data=STREAM[0].valid).history
    np.testing.assert_allclose(loss, (4 + 1) / 2 * once["loss"][0], rtol=1e-5)
    weighted = model_of(optimizer=keras.optimizers.SGD(0.0), class_weight={0: 4.0, 1: 4.0})
    weighted.begin_task(STREAM[0])
    found = weighted.fit(STREAM[0], batch_size=18, verbose=0, validation_data=STREAM[0].valid).history
    np.testing.assert_allclose(found["loss"], 4 * once["loss"][0], rtol=1e-5)
    assert found["val_loss"] == once["val_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("loss", [SMOOTH, FOCAL, BINARY], ids=lambda loss: loss.name)
def test_compiled_steps_have_the_loss_of_eager_ones(loss, jit):
    trained = []
    for how in ({"run_eagerly": True}, {"jit": jit}):
        top = keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")
        model = model_of(loss=loss, metrics=[top], class_weight={0: 2.0}, **how)
        model.begin_task(STREAM[0])
        data = model.batches(STREAM[0], 5, sample_weight=np.arange(18))
        history = model.fit(data, epochs=2, verbose=0).history
        assert history["top"] == history["accuracy"]
        trained.append([*model.network.get_weights(), history["loss"]])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@functools.cache
def made(method, scenario, **given):
    config = Config(method=method, stream="split", scenario=scenario, options=small(method), jit="off")
    stream = make_stream(config)
    model = make_model(config, stream, seed=0)
    model.run_eagerly = True
    return model, stream


@eagerly
@pytest.mark.parametrize("method", catalog.names("method"))
def test_every_method_trains_with_another_loss_or_refuses_it_by_name(method, monkeypatch):
    constants = catalog.choice("method", method).constants
    scenario = constants.get("scenarios", SCENARIOS)[-1]
    losses = []
    for loss in (None, SMOOTH):
        made.cache_clear()
        model, stream = made(method, scenario)
        if loss and constants.get("own_loss"):
            with pytest.raises(InputError, match=f"{method} takes no loss in compile: it "):
                model.compile(model.optimizer, loss, jit=False)
            with pytest.raises(InputError, match=f"{method} takes no sample_weight: it "):
                model.batches(stream[0], 32, sample_weight=np.ones(3))
            return
        model.compile(model.optimizer, loss, jit=False, run_eagerly=True)
        model.begin_task(stream[0])
        model.fit(model.batches(stream[0], 100, iterations=1), verbose=0)
        losses.append(np.concatenate([np.ravel(w) for w in model.network.get_weights()]))
    assert np.isfinite(losses).all()
    assert (losses[0] != losses[1]).any()


def test_metrics_of_ones_own_are_shown_and_evaluated():
    def margin(y, logits):
        return tf.reduce_max(logits, axis=1)

    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")
    model = model_of(metrics=["accuracy", "sparse_categorical_accuracy", top, margin], run_eagerly=True)
    model.begin_task(STREAM[1])
    names = ["loss", "accuracy", "sparse_categorical_accuracy", "top", "margin"]
    assert model.metrics_names == names
    history = model.fit(STREAM[1], verbose=0, validation_data=STREAM[1].valid).history
    assert list(history) == names + [f"val_{name}" for name in names]
    assert history["sparse_categorical_accuracy"] == history["accuracy"]
    x, y = STREAM[1].test.open()
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    logits = model.predict(x, verbose=0)
    np.testing.assert_allclose(found["margin"], logits.max(axis=1).mean(), rtol=1e-5)
    assert found["top"] == pytest.approx((np.argsort(-logits)[:, :2] == y[:, None]).any(axis=1).mean())


@pytest.mark.parametrize(
    "given, said",
    [
        ({"loss": "mse"}, "The loss mse is not one of rows with an integer class; possible: Sparse"),
        ({"loss": keras.losses.MeanSquaredError()}, "The loss MeanSquaredError is not one of rows"),
        ({"loss": keras.losses.SparseCategoricalCrossentropy()}, "Networks return logits: give Sparse"),
        ({"loss": keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")}, "reduction sum"),
        ({"loss": lambda y, z: tf.reduce_mean(z)}, r"one number a row; of 2 rows it returns \[\]"),
        ({"loss": lambda y, z: tf.reduce_mean(z, axis=1)}, "for a row in which a class is not active"),
        ({"loss": lambda y, z: y + "a"}, "cannot be computed from units"),
        ({"metrics": ["mse"]}, "The metric mean_squared_error is not one of integer labels"),
        ({"metrics": ["nothing"]}, "The metric nothing is not one of integer labels"),
        ({"metrics": [keras.metrics.AUC()]}, "The metric AUC is not one of integer labels"),
        ({"metrics": [keras.metrics.SparseCategoricalCrossentropy()]}, "from_logits=True"),
        ({"metrics": [own, own]}, "Two metrics have the name own"),
        (
            {"class_weight": {6: 1.0}},
            "class_weight has the output unit 6, and the network has the units 0 to 5",
        ),
        ({"class_weight": {0: -1.0}}, "class_weight is -1.0 for unit 0; it must not be negative"),
        ({"class_weight": [1.0]}, "class_weight is {unit: weight}"),
    ],
)
def test_what_is_no_loss_or_metric_of_a_row_is_refused(given, said):
    with pytest.raises(InputError, match=said) as error:
        model_of(**given)
    assert "\n" not in str(error.value)


def test_sample_weights_that_do_not_fit_are_refused():
    model = model_of()
    for weights, said in (
        (np.ones(3), r"has the shape \(3,\), and an epoch has 18 rows"),
        (-np.ones(18), "negative"),
    ):
        with pytest.raises(InputError, match=said):
            model.batches(STREAM[0], 4, sample_weight=weights)


def test_sample_weights_are_of_the_rows_of_the_task():
    memory = Reservoir(STREAM, capacity=18)
    for model in (model_of(Cumulative), model_of(GDumb, memory=memory, optimizer=keras.optimizers.SGD(0.1))):
        model.begin_task(STREAM[0])
        for task in STREAM[:2]:
            model.batches(task, 4)
        with pytest.raises(InputError, match="it does not train on the rows of the task alone"):
            model.batches(STREAM[1], 4, sample_weight=np.ones(len(model.training_rows(STREAM[1])[0])))


def test_class_weights_are_refused_where_the_loss_is():
    with pytest.raises(
        InputError, match="ewc takes no class_weight in compile: it weighs weights by the Fisher"
    ):
        model_of(EWC, class_weight={0: 2.0})
