"""Bridges: answers through them against float64, what a fit recovers, and networks that cannot have them."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs

from keras_cl import sources, streams
from keras_cl.errors import Diverged, InputError
from keras_cl.learning.batches import Batch
from keras_cl.learning.bridges import Alignment, Bridges, bridged, bridges_of, mapped, redrawn, unbridged
from keras_cl.learning.features import feature_extractor
from keras_cl.learning.layers import frozen_copy
from keras_cl.learning.progress import QUIET
from keras_cl.networks import cnn, mlp

STREAM = streams.split(sources.from_arrays(**blobs([12] * 8)), tasks=4, scenario="task")
OWNER = np.repeat(range(4), 2)  # the task of each unit
X = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1)).astype(np.float32)


def network_of(hidden=3, tasks=4, **options):
    made = bridged(mlp(STREAM, hidden=(6, 5), seed=2, **options), tasks, hidden)
    bridges_of(made).owner.assign(OWNER)
    return made


def some_maps(layer, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.7, part.shape[1:]).astype(np.float32) for part in layer.maps]


def through(maps, v, rectified):
    """A bridge, in float64."""
    for place in range(0, len(maps), 2):
        v = (np.maximum(v, 0) if place else v) @ maps[place].astype(float) + maps[place + 1]
    return np.maximum(v, 0) if rectified else v


# ---- answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 3], ids=["linear", "mlp"])
@pytest.mark.parametrize("fitted", [0, 1, 2, 3])
def test_the_head_of_a_task_answers_through_all_bridges_since_from_the_newest_on(hidden, fitted):
    network = network_of(hidden)
    layer, f = bridges_of(network), feature_extractor(network)
    bridges = [some_maps(layer, seed) for seed in range(fitted)]
    for k, maps in enumerate(bridges):
        layer.put(maps, rectified=k == 1)
    v = f(X).numpy().astype(float)
    kernel, bias = (w.numpy().astype(float) for w in (layer.layer.kernel, layer.layer.bias))
    logits = network(X).numpy()
    np.testing.assert_array_equal(logits[:, fitted <= OWNER], layer.layer(f(X)).numpy()[:, fitted <= OWNER])
    for k in reversed(range(fitted)):
        v = through(bridges[k], v, k == 1)
        np.testing.assert_allclose(
            logits[:, k == OWNER], (v @ kernel + bias)[:, k == OWNER], rtol=1e-3, atol=1e-4
        )


def test_in_training_and_without_bridges_all_heads_answer_by_the_features():
    network = network_of()
    layer, plain = bridges_of(network), network(X).numpy()
    for k in range(3):
        layer.put(some_maps(layer, k), rectified=False)
    assert np.abs(network(X) - plain)[:, OWNER < 3].min(axis=0).max() > 0.01
    np.testing.assert_array_equal(network(X, training=True), plain)
    with unbridged(network):
        np.testing.assert_array_equal(network(X), plain)
    assert int(layer.fitted) == 3


def test_bridges_of_tasks_to_come_and_earlier_ones_are_not_touched():
    layer = bridges_of(network_of())
    layer.put(some_maps(layer, 0), rectified=True)
    before = [part.numpy() for part in layer.maps]
    layer.put(some_maps(layer, 1), rectified=False)
    for old, new, given in zip(before, layer.maps, some_maps(layer, 1), strict=True):
        np.testing.assert_array_equal(new[0], old[0])
        np.testing.assert_array_equal(new[1], given)
        assert not new[2].numpy().any()
    np.testing.assert_array_equal(layer.rectified, [1, 0, 0])


@pytest.mark.parametrize(("hidden", "size"), [(128, 16_576), (0, 4_160)], ids=["mlp", "linear"])
def test_a_bridge_of_64_features_has_as_many_parameters_as_are_known(hidden, size):
    layer = bridges_of(bridged(mlp(STREAM, hidden=(64,)), 4, hidden))
    assert sum(part.shape[1:].num_elements() for part in layer.maps) == size
    assert not any(part.trainable for part in layer.maps)


def test_a_copy_answers_as_the_network_does_and_features_are_those_before_the_heads():
    network = network_of()
    bridges_of(network).put(some_maps(bridges_of(network), 0), rectified=True)
    copy, _ = frozen_copy(network)
    np.testing.assert_array_equal(copy(X), network(X))
    assert feature_extractor(network).output_shape == (None, 5)


def test_half_precision_networks_have_bridges_in_single_precision():
    network = network_of(precision="mixed_bfloat16")
    layer = bridges_of(network)
    layer.put(some_maps(layer, 0), rectified=False)
    assert {part.dtype for part in layer.maps} == {tf.float32}
    assert network(X).dtype == tf.float32 and np.isfinite(network(X)).all()


# ---- the fit ---------------------------------------------------------------------------------------------


def linear_network(features=4, tasks=2):
    """Vectors to logits: features are affine, the identity at first."""
    x = keras.Input((features,))
    v = keras.layers.Dense(features, kernel_initializer="identity", name="f")(x)
    heads = keras.layers.Dense(6, kernel_initializer=keras.initializers.GlorotUniform(3))(v)
    network = bridged(keras.Model(x, heads), tasks, 0)
    bridges_of(network).owner.assign([0, 0, 0, 1, 1, 1])
    return network


def rows_of(x):
    return Batch(tf.constant(x, tf.float32), None, None, tf.ones(len(x)))


def fit(alignment, x, steps):
    step = tf.function(lambda: alignment._step(rows_of(x)))
    for _ in range(steps):
        step()


def normal(rows, features=4, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)


def test_where_the_features_did_not_move_the_identity_has_no_loss_and_stays():
    network = linear_network()
    alignment = Alignment(network)
    before = network(normal(50)).numpy()
    fit(alignment, normal(50), 3)
    assert float(alignment.metrics[0].result()) == 0
    np.testing.assert_array_equal(alignment.maps[0], np.eye(4))
    assert alignment.add(normal(50)) == 1
    np.testing.assert_array_equal(network(normal(50)), before)


def test_an_invertible_linear_change_of_the_features_is_taken_back_and_old_predictions_are_exact():
    network, (x, new) = linear_network(), (normal(200), normal(300, seed=2))
    alignment, before = Alignment(network, learning_rate=0.02), network(new).numpy()
    M = np.linalg.qr(normal(4, seed=3))[0] @ np.diag([0.7, 0.9, 1.2, 1.5]).astype(np.float32)
    c = np.array([0.3, -0.5, 0.1, 0.8], np.float32)
    network.get_layer("f").set_weights([M, c])
    with unbridged(network):
        assert np.mean(network(new)[:, :3].numpy().argmax(1) == before[:, :3].argmax(1)) < 0.9
    fit(alignment, x, 1500)
    assert alignment.add(x) > 1 - 1e-6
    np.testing.assert_allclose(alignment.maps[0], np.linalg.inv(M), atol=1e-3)
    np.testing.assert_array_equal(network(new)[:, :3].numpy().argmax(1), before[:, :3].argmax(1))
    np.testing.assert_allclose(network(new)[:, :3], before[:, :3], atol=1e-3)
    np.testing.assert_array_equal(network(new)[:, 3:], bridges_of(network).layer(new @ M + c)[:, 3:])


def test_a_relu_follows_a_bridge_to_features_that_are_not_negative_and_no_other():
    for sign, expected in ((1, 1), (-1, 0)):
        network = linear_network()
        alignment = Alignment(network)
        alignment.add(sign * np.abs(normal(20)))
        assert int(bridges_of(network).rectified[0]) == expected


@pytest.mark.parametrize("weights", [[1, 1, 1], [1, 0, 2]])
def test_the_loss_is_the_one_of_the_definition(weights):
    network = linear_network()
    alignment = Alignment(network, distillation=0.5, temperature=2.0)
    network.get_layer("f").set_weights([normal(4), normal(1)[0]])
    x = normal(3, seed=5).astype(float)
    kernel, bias = (w.astype(float) for w in network.get_layer("f").get_weights())
    head = [
        w.numpy().astype(float)[..., :3]
        for w in (bridges_of(network).layer.kernel, bridges_of(network).layer.bias)
    ]
    out = x @ kernel + bias  # the bridge is the identity
    raised = [np.exp((v @ head[0] + head[1]) / 2) for v in (x, out)]
    p, q = (e / e.sum(axis=1, keepdims=True) for e in raised)
    losses = ((out - x) ** 2).sum(axis=1) + 0.5 * (p * np.log(p / q)).sum(axis=1)
    alignment._step(rows_of(x)._replace(weight=tf.constant(weights, tf.float32)))
    np.testing.assert_allclose(alignment.metrics[0].result(), np.average(losses, weights=weights), rtol=1e-5)


def test_the_divergence_is_the_known_one():
    """Of softmax(1, 0) and softmax(0, 0), which are the logits (2, 0) and (0, 0) at temperature 2."""
    network = linear_network()
    heads = np.zeros((4, 6), np.float32)
    heads[0, 0], heads[0, 3:] = 2, 9  # heads of the new task do not count
    bridges_of(network).layer.set_weights([heads, np.array([0, 0, -1e4, 0, 0, 0])])
    KL = Alignment(network)._divergence(tf.constant([[1.0, 0, 0, 0]]), tf.zeros([1, 4]))
    np.testing.assert_allclose(KL, [0.110944], rtol=1e-5)


class Chunks:
    """Chunks of two batches each, again and again; counts those that were read."""

    def __init__(self, x):
        self.x, self.read = x, 0

    def repeat(self):
        while True:
            self.read += 1
            yield (
                Batch(*(tf.stack([part] * 2) for part in (self.x, [0, 0], [0, 0], [1.0, 1.0]))),
                tf.constant(2),
            )


@pytest.mark.parametrize(("steps", "read"), [(1, 1), (4, 2), (5, 3)])
def test_a_fit_takes_the_steps_that_were_asked_for_each_time_from_the_start(steps, read):
    alignment, data = Alignment(linear_network()), Chunks(tf.ones([2, 4]))
    alignment.compile(lambda batch: batch, False, True, None)
    alignment.features.set_weights([normal(4), normal(1)[0]])
    maps = []
    for _ in range(2):
        alignment.data, data.read = data, 0
        alignment.fit(steps, "task 2", QUIET)
        assert int(alignment.optimizer.iterations) == steps
        assert data.read == read
        maps.append([part.numpy() for part in alignment.maps])
    assert_same(*maps)


def test_a_fit_that_diverges_says_where():
    alignment = Alignment(linear_network())
    alignment.compile(lambda batch: batch, False, True, None)
    alignment.data = Chunks(tf.fill([2, 4], np.nan))
    with pytest.raises(Diverged, match="The loss of the bridge became nan in task 3"):
        alignment.fit(3, "task 3", QUIET)


# ---- initial weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [lambda: mlp(STREAM, hidden=(80,), batch_norm=True), lambda: cnn(STREAM, filters=(16,), hidden=(80,))],
)
def test_weights_that_are_drawn_anew_are_others_of_the_same_distribution(made):
    network = feature_extractor(made())
    old = network.get_weights()
    one, again, other = (redrawn(network, 0, task) for task in (1, 1, 2))
    assert_same(one, again)
    assert_same(network.get_weights(), old)
    drawn = [place for place, weights in enumerate(old) if weights.size > 100 and weights.std() > 0]
    assert drawn
    for place, (a, b, c) in enumerate(zip(old, one, other, strict=True)):
        if place not in drawn:
            assert np.array_equal(a, b) or a.std() > 0
            continue
        assert abs(b.std() / a.std() - 1) < 0.1
        for pair in ((a, b), (a, c), (b, c)):
            assert abs(np.corrcoef(*(part.ravel() for part in pair))[0, 1]) < 0.15


# ---- refusals --------------------------------------------------------------------------------------------


def sequence():
    return keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(5), keras.layers.Dense(8)])


def beside():
    x = keras.Input((4,))
    h = keras.layers.Dense(5, "relu")(x)
    return keras.Model(x, keras.layers.Dense(8)(h) + tf.reduce_sum(x, axis=1, keepdims=True))


def behind():
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.BatchNormalization()(keras.layers.Dense(8)(x)))


def asking():
    x, task = keras.Input((4,)), keras.Input((), dtype=tf.int32)
    own = keras.layers.Embedding(4, 5)(task)
    return keras.Model([x, task], keras.layers.Dense(8)(keras.layers.Dense(5)(x) + own))


def without_dense():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(8, 4), keras.layers.Flatten()])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (sequence, r"features of one size, vectors \[d\], and those of sequential.* have the shape \(4, 5\)"),
        (beside, "whose logits are those of their last dense layer; model.* has others behind or beside it"),
        (behind, "whose logits are those of their last dense layer; model.* has others behind or beside it"),
        (asking, "Bridges are for networks of images alone; model.* takes tasks"),
        (without_dense, "has no dense layer among its own"),
    ],
)
def test_a_network_that_can_have_no_bridges_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        bridged(made(), 4, 3)


@pytest.mark.parametrize("name", ["distillation", "temperature", "learning_rate"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(InputError, match=f"{name.replace('_', ' ')}.* is -1"):
        Alignment(linear_network(), **{name: -1})


def test_layers_without_weights_behind_the_logits_stay():
    x = keras.Input((4,))
    network = keras.Model(x, keras.layers.Rescaling(3.0)(keras.layers.Dense(6)(keras.layers.Dense(5)(x))))
    made = bridged(network, 2, 0)
    assert isinstance(made.layers[2], Bridges)
    np.testing.assert_array_equal(made(normal(5)), network(normal(5)))
    assert mapped(tf.ones([1, 5]), bridges_of(made).initial(0)).numpy().tolist() == [[1.0] * 5]
