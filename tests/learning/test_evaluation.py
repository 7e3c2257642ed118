"""evaluate, predict and validation: loss and accuracy among the active classes, for every kind of method."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs, learn

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning import layers
from keras_cl.memories import Herding
from keras_cl.methods import HAT, Finetune, GenerativeClassifier, ICaRL
from keras_cl.networks import class_vaes, mlp

pytestmark = pytest.mark.usefixtures("eagerly")

SOURCE = sources.from_arrays(**blobs([12] * 6))
SCENARIOS = ("task", "domain", "class")
ACTIVE = {"task": [2, 3], "domain": [0, 1], "class": [0, 1, 2, 3]}  # in task 2 of 3


def stream_of(scenario="class"):
    return streams.split(SOURCE, tasks=3, scenario=scenario, valid_fraction=0.25)


def at_second_task(stream, method=Finetune, network=None, **options):
    model = method(network or mlp(stream, hidden=(8,), seed=3), seed=1, **options)
    model.compile(keras.optimizers.Adam(0.01), jit=False)
    for _ in learn(model, stream[:1], batch_size=4):
        pass
    model.begin_task(stream[1])
    return model


def by_hand(logits, y, active, weight=None):
    """Weighted mean cross entropy and accuracy among the active units, in float64."""
    z = logits[:, active].astype(float)
    own = z[np.arange(len(y)), np.searchsorted(active, y)]
    weight = np.ones(len(y)) if weight is None else weight
    entropy = np.log(np.exp(z).sum(axis=1)) - own
    right = np.array(active)[z.argmax(axis=1)] == y
    return [np.average(entropy, weights=weight), np.average(right, weights=weight)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_loss_and_accuracy_are_those_among_the_active_classes(scenario, monkeypatch):
    stream = stream_of(scenario)
    model = at_second_task(stream)
    x, y = stream[1].test.open()
    expected = by_hand(model.predict_logits(x), y, ACTIVE[scenario])
    monkeypatch.setattr(layers, "ROWS_AT_ONCE", 7)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    for given in (
        [x, y],
        [stream[1].test],
        [data.batch(3)],
        [data.batch(len(x))],
        [tf.constant(x), y[:, None]],
    ):
        np.testing.assert_allclose(model.evaluate(*given, verbose=0), expected, rtol=1e-5)
    weight = np.arange(len(y))
    expected = by_hand(model.predict_logits(x), y, ACTIVE[scenario], weight)
    np.testing.assert_allclose(model.evaluate(x, y, sample_weight=weight, verbose=0), expected, rtol=1e-5)
    assert model.evaluate(x, y, verbose=0, return_dict=True).keys() == {"loss", "accuracy"}


def test_a_split_knows_its_task_and_arrays_have_the_current_one():
    stream = stream_of("task")
    model = at_second_task(stream)
    x, y = stream[0].test.open()
    expected = by_hand(model.predict_logits(x), y, [0, 1])
    for given in ({"x": stream[0].test}, {"x": x, "y": y, "task": 0}, {"x": x, "y": y, "task": stream[0]}):
        np.testing.assert_allclose(model.evaluate(**given, verbose=0), expected, rtol=1e-5)
    with pytest.raises(InputError, match="y has the output unit 0, and active are 2, 3; units are numbered"):
        model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_predictions_are_of_active_classes(scenario):
    stream = stream_of(scenario)
    model = at_second_task(stream)
    x, _ = stream[1].test.open()
    logits = model.predict(x, verbose=0)
    inactive = np.setdiff1d(np.arange(stream.num_classes), ACTIVE[scenario])
    assert (logits[:, inactive] < -1e8).all()
    np.testing.assert_array_equal(logits[:, ACTIVE[scenario]], model.predict_logits(x)[:, ACTIVE[scenario]])
    for same in (stream[1].test, tf.data.Dataset.from_tensor_slices(x).batch(3)):
        np.testing.assert_allclose(model.predict(same, verbose=0), logits, rtol=1e-5)


@pytest.mark.parametrize("frequency", [1, 2])
def test_validation_is_evaluation_after_each_epoch_and_leaves_training_alone(frequency):
    stream = stream_of()
    alone, model = at_second_task(stream), at_second_task(stream)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(stream[1].valid, verbose=0))
    )
    plain = alone.fit(alone.batches(stream[1], 4), epochs=4, verbose=0).history
    how = {"validation_data": stream[1].valid, "validation_freq": frequency, "callbacks": [look]}
    history = model.fit(model.batches(stream[1], 4), epochs=4, verbose=0, **how).history
    assert {name: history[name] for name in plain} == plain
    for one, other in zip(alone.get_weights(), model.get_weights(), strict=True):
        if one.shape:  # not the metrics, which hold the validation
            np.testing.assert_array_equal(one, other)
    expected = np.array(seen)[frequency - 1 :: frequency]
    np.testing.assert_array_equal(np.transpose([history["val_loss"], history["val_accuracy"]]), expected)
    assert len(set(history["val_loss"])) == 4 // frequency


def test_arrays_validate_as_a_split_does():
    stream, histories = stream_of(), []
    x, y = stream[1].valid.open()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(100)
    for given in (stream[1].valid, (x, y), (x, y, np.full(len(y), 2.0)), data):
        model = at_second_task(stream)
        histories.append(model.fit(stream[1], verbose=0, validation_data=given).history)
    assert all(history == histories[0] for history in histories)


def test_gates_are_those_of_the_task():
    stream = stream_of("task")
    model = at_second_task(stream, HAT, tasks=3)
    x, y = stream[0].test.open()
    expected = by_hand(model.predict_logits(x, task=0), y, [0, 1])
    np.testing.assert_allclose(model.evaluate(stream[0].test, verbose=0), expected, rtol=1e-5)
    assert np.abs(model.predict_logits(x, task=1) - model.predict_logits(x, task=0)).max() > 1e-3


def test_nearest_means_are_evaluated_by_their_logits_while_a_task_is_learned():
    stream = stream_of()
    model = at_second_task(stream, ICaRL, memory=Herding(stream, capacity=12))
    x, y = stream[1].valid.open()
    history = model.fit(stream[1], epochs=3, verbose=0, validation_data=stream[1].valid).history
    assert len(set(history["val_loss"])) == 3
    logits = keras.Model(model.network.inputs, model.network.layers[-1].input[1])(x).numpy()
    np.testing.assert_allclose(
        model.evaluate(x, y, verbose=0), by_hand(logits, y, ACTIVE["class"]), rtol=1e-5
    )
    model.end_task(stream[1])
    expected = by_hand(model.predict_logits(x), y, ACTIVE["class"])
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    assert expected[1] == np.mean(model.predict_units(x, stream.class_mask[1]) == y)


def test_generators_of_classes_are_evaluated_by_the_likelihood_of_the_own_class():
    stream = stream_of()
    network = class_vaes(stream, hidden=(4,), latent=2, samples=2)
    model = at_second_task(stream, GenerativeClassifier, network)
    x, y = stream[1].valid.open()
    likelihood = model.predict_logits(x)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(loss, -likelihood[np.arange(len(y)), y].mean(), rtol=1e-5)
    assert accuracy == pytest.approx(np.mean(likelihood[:, :4].argmax(axis=1) == y))


X, Y = np.zeros((4, 4, 4, 1), np.uint8), np.array([2, 3, 2, 3])


def batches_of(*rows):
    return tf.data.Dataset.from_tensor_slices(rows).batch(2)


@pytest.mark.parametrize(
    "given, said",
    [
        (lambda stream: [X], "There are no labels to compare with"),
        (lambda stream: [X[:0], Y[:0]], "There are no rows here"),
        (lambda stream: [batches_of(X, Y).take(0)], "There are no rows here: the tf.data.Dataset has no"),
        (lambda stream: [batches_of(X, Y).filter(lambda *_: False)], "There are no rows here: the tf.data"),
        (lambda stream: [X, Y[:3]], "There are 4 images and 3 labels"),
        (lambda stream: [X, Y + 0.5], "it is one integer output unit a row"),
        (lambda stream: [X, np.eye(4)], "it is one integer output unit a row"),
        (lambda stream: [X, Y + 9], "y has the output unit 11, and active are 0, 1, 2, 3"),
        (lambda stream: [stream[1]], "These are rows of a whole task; give task.valid"),
        (lambda stream: [stream[2].test], "y has the output unit [45], and active are 0, 1, 2, 3"),
        (lambda stream: ["test"], "Rows are task.valid, task.test"),
    ],
)
def test_what_are_no_rows_is_refused_before_training(given, said):
    stream = stream_of()
    model = at_second_task(stream)
    given = given(stream)
    with pytest.raises(InputError, match=said):
        model.evaluate(*given, verbose=0)
    before = model.get_weights()[0]
    with pytest.raises(InputError, match=said):
        model.fit(stream[1], verbose=0, validation_data=tuple(given))
    np.testing.assert_array_equal(before, model.get_weights()[0])


@pytest.mark.parametrize("make_rows", [lambda: X[:0], lambda: batches_of(X).take(0)])
def test_no_rows_have_no_predictions(make_rows):
    model = at_second_task(stream_of())
    with pytest.raises(InputError, match="There are no rows here"):
        model.predict(make_rows(), verbose=0)


def test_no_batches_are_refused_by_fit():
    stream = stream_of()
    model = at_second_task(stream)
    with pytest.raises(InputError, match="There are no batches here"):
        model.fit(model.batches(stream[1], batch_size=2).take(0), verbose=0)


def test_batches_for_fit_are_not_for_evaluate():
    stream = stream_of()
    model = at_second_task(stream)
    with pytest.raises(InputError, match="These are batches for fit; give task.valid"):
        model.evaluate(model.batches(stream[1], 4))


def test_without_rows_or_a_task_there_is_no_evaluation():
    stream = streams.split(SOURCE, tasks=3)
    model = Finetune(mlp(stream, hidden=(8,)))
    model.compile("sgd", jit=False)
    with pytest.raises(InputError, match=r"call begin_task\(task\) before evaluate, or use accuracies"):
        model.evaluate(stream[0].test)
    model.begin_task(stream[0])
    with pytest.raises(InputError, match="Give the stream a valid_fraction"):
        model.fit(stream[0], validation_data=stream[0].valid)


def test_the_loss_and_the_progress_are_shown_as_keras_shows_them(capsys):
    stream = stream_of()
    model = at_second_task(stream)
    model.evaluate(stream[1].test)
    assert "1/1 [====" in capsys.readouterr().out
    model.fit(stream[1], epochs=1, verbose=2, validation_data=stream[1].valid)
    assert "val_loss: " in capsys.readouterr().out
