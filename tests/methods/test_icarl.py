"""iCaRL: its loss against float64, exemplars beside new rows, and answers by the nearest mean."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs, learn

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.layers import NearestMean
from keras_cl.memories import Herding, Ring
from keras_cl.methods import ICaRL
from keras_cl.networks import mlp

STREAM = streams.split(sources.from_arrays(**blobs([12] * 6)), tasks=3, scenario="class")


def made(memory=Herding, capacity=12, hidden=(16,), **options):
    kept = memory(STREAM, capacity=capacity) if memory else None
    model = ICaRL(mlp(STREAM, hidden=hidden), memory=kept, **options)
    model.compile(keras.optimizers.SGD(0.05), jit=False)
    return model


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize(("reduction", "temperature"), [("sum", 1), ("mean", 1), ("sum", 2)])
def test_the_loss_asks_old_classes_for_the_old_answers_and_new_ones_for_the_label(reduction, temperature):
    model = made(reduction=reduction, temperature=temperature)
    for _ in learn(model, STREAM[:1], batch_size=4):
        pass
    model.begin_task(STREAM[1])
    model.network.set_weights([w + 0.1 * np.ones_like(w) for w in model.network.get_weights()])
    x, y = STREAM[1].train.open()
    weight = np.array([1.0] * 5 + [0.0])
    batch = Batch(
        tf.constant(x[:6]), tf.constant(y[:6]), tf.ones(6, tf.int32), tf.constant(weight, tf.float32)
    )
    z_old = model.teacher(batch.x).numpy().astype(float)
    z = model.network(batch.x, training=True).numpy().astype(float)
    target = np.eye(6)[y[:6]]
    target[:, :2] = sigmoid(z_old[:, :2] / temperature)  # the logits z of the loss are not divided
    bce = -(target * np.log(sigmoid(z)) + (1 - target) * np.log(1 - sigmoid(z)))[:, :4]
    each = bce.sum(axis=1) if reduction == "sum" else bce.mean(axis=1)
    told = []
    gradients = model.gradients
    model.gradients = lambda tape, loss: told.append(float(loss)) or gradients(tape, loss)
    model.train_step(batch)
    np.testing.assert_allclose(told, (each * weight).sum() / 5, rtol=1e-5)


def test_the_first_task_has_no_old_answers():
    model = made()
    model.begin_task(STREAM[0])
    x, y = STREAM[0].train.open()
    batch = Batch(tf.constant(x[:4]), tf.constant(y[:4]), tf.zeros(4, tf.int32), tf.ones(4))
    z = model.network(batch.x, training=True).numpy().astype(float)
    target = np.eye(6)[y[:4]][:, :2]
    p = sigmoid(z[:, :2])
    expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(axis=1).mean()
    told = []
    gradients = model.gradients
    model.gradients = lambda tape, loss: told.append(float(loss)) or gradients(tape, loss)
    model.train_step(batch)
    np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_an_epoch_goes_over_the_rows_of_the_task_and_the_exemplars():
    model = made()
    for task in learn(model, STREAM[:2], batch_size=4):
        x, y, own = model.training_rows(STREAM[task.index + 1])
        assert len(x) == 24 + len(model.memory)
        np.testing.assert_array_equal(own, y // 2)


@pytest.mark.parametrize("memory", [Herding, Ring])
def test_an_image_is_of_the_class_whose_exemplars_have_the_nearest_mean(memory):
    model = made(memory)
    for _ in learn(model, STREAM, batch_size=4, epochs=2):
        pass
    x, y, _ = model.memory.rows()
    see = feature_extractor(model.network)

    def phi(images):
        features = see(images.astype(np.float32)).numpy().astype(float)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

    means = np.stack([phi(x[y == unit]).mean(axis=0) for unit in range(6)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    images = np.concatenate([task.test.open()[0] for task in STREAM])
    distance = np.square(phi(images)[:, np.newaxis] - means).sum(axis=2)
    assert np.mean(model.predict_units(images, np.ones(6, bool)) == distance.argmin(axis=1)) == 1
    np.testing.assert_allclose(model.predict_logits(images), -distance, rtol=0, atol=1e-5)


def test_with_one_exemplar_a_class_it_is_the_nearest_neighbour():
    model = made(capacity=6)
    for _ in learn(model, STREAM, batch_size=4):
        pass
    x, y, _ = model.memory.rows()
    assert sorted(y.tolist()) == list(range(6))
    np.testing.assert_array_equal(model.predict_units(x, np.ones(6, bool)), y)


def test_the_teacher_is_the_network_at_the_end_of_the_task_before():
    model = made()
    for task in learn(model, STREAM[:2], batch_size=4):
        x, _ = task.test.open()
        expected = model.network(x.astype(np.float32), training=True)
        np.testing.assert_array_equal(model.teacher(x.astype(np.float32)), expected)


def test_the_head_does_not_answer_after_a_task_and_a_class_to_come_is_never_answered():
    model = made()
    for _ in learn(model, STREAM[:1], batch_size=4):
        pass
    x, _ = STREAM[0].test.open()
    before = model.predict_logits(x)
    head = model.network.get_layer("dense_1")
    head.set_weights([w + 3 for w in head.get_weights()])
    np.testing.assert_array_equal(model.predict_logits(x), before)
    assert (model.predict_units(x, np.ones(6, bool)) < 2).all()


def test_the_untrained_network_answers_by_its_logits():
    network = mlp(STREAM, hidden=(16,))
    model = ICaRL(network, memory=Herding(STREAM, capacity=12))
    x, _ = STREAM[0].test.open()
    np.testing.assert_allclose(model.predict_logits(x), network(x.astype(np.float32)), rtol=0, atol=1e-6)


def test_answers_do_not_depend_on_the_length_of_features():
    layer = NearestMean()
    rng = np.random.default_rng(0)
    features, logits = rng.normal(size=(8, 4)).astype(np.float32), np.zeros((8, 3), np.float32)
    layer([features, logits])
    means = rng.normal(size=(3, 4)).astype(np.float32)
    layer.means.assign(means / np.linalg.norm(means, axis=1, keepdims=True))
    np.testing.assert_allclose(layer([features, logits]), layer([7 * features, logits]), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(layer([features, logits], training=True), logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": None}, "icarl keeps its exemplars in a memory"),
        ({"reduction": "men"}, "reduction 'men' is not known.*Did you mean mean"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"capacity": 5}, "no row for each of 6 cells"),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        made(**options)
