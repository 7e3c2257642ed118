"""Test loss, accuracy of classes and confusion matrix of a stream, against numbers computed by hand."""

import numpy as np
import pytest
import tf_keras as keras
from helpers import blobs, learn

from keras_cl import sources, streams
from keras_cl.learning import layers, measures
from keras_cl.learning.forward import Forward
from keras_cl.memories import Herding
from keras_cl.methods import Finetune, GenerativeClassifier, ICaRL
from keras_cl.networks import class_vaes, mlp
from keras_cl.streams import Stream

pytestmark = pytest.mark.usefixtures("eagerly")

# The network passes a row on: its features are the logits. What is right is said per scenario below.
LOG2, LOG3, LOG4 = np.log([2, 3, 4])
Y = np.array([3, 3, 5, 7, 8])
X = np.array(
    [
        [LOG2, 0, 0, 0],
        [0, LOG3, 0, LOG4],
        [0, LOG2, 0, 0],
        [LOG3, 0, LOG2, 0],
        [0, 0, LOG2, LOG4],
    ],
    np.float32,
)


def stream_of(scenario, task_classes=((3, 5), (7, 8)), **options):
    source = sources.from_arrays(X, Y, X, Y)
    views = (lambda x: x,) * len(task_classes)
    return Stream("rows", scenario, source, task_classes, views, source.input_shape, **options)


def after(tasks, stream, method=Finetune):
    """The model after some tasks of a stream, without a step."""
    image = keras.Input(stream.input_shape)
    dense = keras.layers.Dense(stream.num_classes, use_bias=False, kernel_initializer="identity")
    model = method(keras.Model(image, dense(image)))
    model.compile("sgd")
    for task in stream[:tasks]:
        model.begin_task(task)
        model.end_task(task)
    return model


def confusion(model, stream):
    labels, counts = model.evaluate_tasks(stream).confusion(stream)
    return labels, counts.tolist()


def test_task_incremental_among_the_classes_of_the_own_task():
    stream = stream_of("task")
    model = after(2, stream)
    found = model.evaluate_tasks(stream)
    np.testing.assert_array_equal(found.accuracies, [2 / 3, 1])
    # Probabilities of the true class: 2/3, 1/4, 2/3 among 3 and 5, and 2/3, 4/6 among 7 and 8.
    np.testing.assert_allclose(found.losses, [np.log(1.5 * 4 * 1.5) / 3, np.log(1.5)], rtol=1e-6)
    assert found.by_class(stream) == {0: {3: (0.5, 2), 5: (1.0, 1)}, 1: {7: (1.0, 1), 8: (1.0, 1)}}
    counts = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert confusion(model, stream) == ([3, 5, 7, 8], counts)


def test_class_incremental_among_the_classes_seen_so_far():
    stream = stream_of("class")
    found = after(1, stream).evaluate_tasks(stream)
    np.testing.assert_array_equal(found.accuracies, [2 / 3, np.nan])
    np.testing.assert_allclose(found.losses, [np.log(1.5 * 4 * 1.5) / 3, np.nan], rtol=1e-6)
    assert found.by_class(stream) == {0: {3: (0.5, 2), 5: (1.0, 1)}}
    model = after(2, stream)
    found = model.evaluate_tasks(stream)
    np.testing.assert_array_equal(found.accuracies, [2 / 3, 1 / 2])
    # 2/5, 1/9, 2/5 and 2/7, 4/8 among all four; the second row is taken for 8, the fourth for 3.
    expected = [np.log(2.5 * 9 * 2.5) / 3, np.log(3.5 * 2) / 2]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6)
    counts = [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert confusion(model, stream) == ([3, 5, 7, 8], counts)
    assert after(0, stream).evaluate_tasks(stream).by_class(stream) == {}


def test_domain_incremental_by_the_labels_of_the_own_task():
    stream = stream_of("domain")
    model = after(2, stream)
    found = model.evaluate_tasks(stream)
    np.testing.assert_array_equal(found.accuracies, [2 / 3, 1 / 2])
    # As before, and 3/4, 1/2: the outputs are the first and the second class of a task.
    expected = [np.log(1.5 * 4 * 1.5) / 3, np.log(4 / 3 * 2) / 2]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-6)
    assert found.by_class(stream)[1] == {7: (1.0, 1), 8: (0.0, 1)}
    counts = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert confusion(model, stream) == ([3, 5, 7, 8], counts)


def test_an_output_of_no_class_of_the_task_is_shown_as_such():
    stream = stream_of("domain", ((3, 5, 7), (8,)))
    counts = [[0] * 5, [0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert confusion(after(2, stream), stream) == ([-1, 3, 5, 7, 8], counts)


def test_classes_that_are_others_in_every_task_are_told_apart():
    stream = stream_of("class", ((3, 5), (3, 5)), distinct_classes=True)
    model = after(2, stream)
    labels = ["3 of task 1", "5 of task 1", "3 of task 2", "5 of task 2"]
    counts = [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    assert confusion(model, stream) == (labels, counts)
    np.testing.assert_array_equal(model.evaluate_tasks(stream).accuracies, [2 / 3, 0])


def test_a_class_that_comes_back_is_one_class():
    stream = stream_of("class", ((3, 5), (5, 7)))
    counts = [[1, 1, 0], [0, 2, 0], [1, 0, 0]]  # without 8, the second row is taken for 5
    assert confusion(after(2, stream), stream) == ([3, 5, 7], counts)


def test_every_row_is_passed_forward_once(monkeypatch):
    stream, rows = stream_of("class"), []
    model = after(2, stream)
    forward = Forward(lambda x, task: rows.append(len(x)) or model._forward(x, task), stream.input_shape)
    monkeypatch.setattr(model, "_logits_of", forward)
    monkeypatch.setattr(layers, "ROWS_AT_ONCE", 2)
    in_blocks = model.evaluate_tasks(stream)
    assert rows == [2, 1, 2]
    monkeypatch.undo()
    np.testing.assert_allclose(model.evaluate_tasks(stream).losses, in_blocks.losses, rtol=1e-12)


def test_tasks_that_were_not_evaluated_are_nan():
    stream = stream_of("task")
    model = after(1, stream)
    first, wide = model.evaluate_tasks(stream[:1]), model.evaluate_tasks(stream[:1]).over(2)
    np.testing.assert_array_equal(wide.accuracies, [first.accuracies[0], np.nan])
    np.testing.assert_array_equal(wide.losses, [first.losses[0], np.nan])
    assert wide.by_class(stream) == first.by_class(stream)


def test_predictions_of_ones_own_have_no_loss():
    class Always(Finetune):
        def predict_units(self, x, mask, task=None):
            return np.full(len(x), np.flatnonzero(mask)[0])

    stream = stream_of("task")
    found = after(2, stream, Always).evaluate_tasks(stream)
    np.testing.assert_array_equal(found.accuracies, [2 / 3, 1 / 2])
    np.testing.assert_array_equal(found.losses, [np.nan, np.nan])
    assert found.by_class(stream)[0] == {3: (1.0, 2), 5: (0.0, 1)}


def test_distances_to_means_are_no_logits_of_probabilities():
    stream = streams.split(sources.from_arrays(**blobs([8] * 4)), tasks=2, scenario="class")
    model = ICaRL(mlp(stream, hidden=(4,)), memory=Herding(stream, capacity=8))
    model.compile("sgd")
    for _ in learn(model, stream, batch_size=8):
        pass
    found = model.evaluate_tasks(stream)
    assert np.isnan(found.losses).all() and not np.isnan(found.accuracies).any()
    assert found.confusion(stream)[1].sum() == 40


def test_the_likelihoods_of_classes_have_a_posterior():
    stream = streams.split(sources.from_arrays(**blobs([8] * 4)), tasks=2, scenario="class")
    model = GenerativeClassifier(class_vaes(stream, hidden=(4,), latent=2))
    model.compile("adam")
    for _ in learn(model, stream, batch_size=8):
        pass
    x, y = stream[0].test.open()
    p = np.exp(model.predict_logits(x).astype(float))  # p(x|c), so p(c|x) = p(x|c) / sum over classes
    expected = -np.log(p[np.arange(len(y)), y] / p.sum(axis=1)).mean()
    np.testing.assert_allclose(model.evaluate_tasks(stream).losses[0], expected, rtol=1e-6)


def test_large_logits_have_a_finite_loss():
    logits = np.array([[3e4, 0, 9e4], [0, 3e4, 9e4]], np.float32)
    mask = np.array([True, True, False])
    assert measures.cross_entropies(logits, np.array([0, 0]), mask).tolist() == [0, 30_000]
