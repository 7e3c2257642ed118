"""GDumb and CutMix: the schedule, a step against float64, where learning starts, what is mixed."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn
from replays import B, assert_close, at_task, batch_of, entropies, gradient, step, stream_of

from keras_cl import sources, streams
from keras_cl.batches import Batch
from keras_cl.cutmix import cutmix
from keras_cl.errors import InputError
from keras_cl.memories import Balanced
from keras_cl.methods import GDumb
from keras_cl.networks import mlp


def rows(seed=2):
    return batch_of(2, seed=seed).current


@pytest.mark.parametrize(
    ("epoch", "share"),  # of the way from low to high
    [
        (1, 1),
        (2, 1),
        (3, 0.5),
        (4, 1),
        (5, 0.853553),
        (6, 0.5),
        (7, 0.146447),
        (8, 1),
        (64, 1),
        (96, 0.5),
        (128, 1),
    ],
)
def test_the_rate_restarts_at_every_power_of_two(epoch, share):
    model = at_task(1, GDumb, memory=Balanced, rate=0.05, low=0.01)
    np.testing.assert_allclose(model.rate(epoch), 0.01 + 0.04 * share, rtol=1e-5)


def test_the_first_epoch_warms_up():
    np.testing.assert_allclose(at_task(1, GDumb, memory=Balanced, rate=0.05).rate(0), 0.005, rtol=1e-6)


def test_steps_use_the_rate_of_their_epoch():
    model = at_task(1, GDumb, memory=Balanced, rate=1.0, low=0.25)
    model.epoch.assign(2)
    used = []
    for _ in range(8):
        model.train_step(rows())
        used.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(used, [0.1, 0.1, 1, 1, 1, 1, 0.625, 0.625], rtol=1e-5)


@pytest.mark.parametrize(("clip", "decay"), [(10.0, 0.0), (0.1, 0.0), (10.0, 0.3), (0.1, 0.3)])
def test_a_step_is_clipped_and_then_decays_the_weights(clip, decay):
    model = at_task(2, GDumb, memory=Balanced, clip_norm=clip, weight_decay=decay)
    model.epoch.assign(1)
    model.step.assign(1)  # the first epoch of the full rate
    batch, weights = rows(), model.network.get_weights()
    weight = batch.weight.numpy().astype(float)
    _, delta = entropies(model, batch, weights)
    g = gradient(batch, delta * (weight / weight.sum())[:, np.newaxis])
    length = np.sqrt(sum(np.square(part).sum() for part in g))
    assert 0.1 < length < 10
    expected = [part * min(1, clip / length) + decay * theta for part, theta in zip(g, weights, strict=True)]
    assert_close(step(model, batch), expected)


def test_every_task_is_learned_from_the_initial_weights_on_what_the_memory_holds():
    stream = stream_of()
    model = GDumb(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(6)]), memory=Balanced(stream, capacity=8)
    )
    initial = model.network.get_weights()
    model.compile(keras.optimizers.SGD(0.1))
    for task in stream:
        model.begin_task(task)
        assert_same(model.network.get_weights(), initial)
        x, y, own = model.training_rows(task)
        assert len(x) == 8
        assert set(y.tolist()) == set(range(2 * task.number))
        np.testing.assert_array_equal(own, y // 2)
        model.fit(model.batches(task, 4), verbose=0, epochs=2)
        model.end_task(task)
        assert int(model.memory.held().offered) == 10 * task.number  # each row once


def test_with_room_for_everything_it_is_joint_training_on_all_rows():
    stream = stream_of()
    model = at_task(1, GDumb, memory=lambda stream, capacity: Balanced(stream, capacity=100))
    for _ in learn(model, stream[1:], batch_size=5):
        pass
    x, _, _ = model.training_rows(stream[2])
    everything = np.concatenate([task.train.open()[0] for task in stream])
    np.testing.assert_array_equal(np.sort(x, axis=0), np.sort(everything, axis=0))


# ---- CutMix ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uniform", [(0.3, 0.5, 0.5), (0.75, 0.1, 0.9), (0.0, 0.5, 0.5), (0.96, 0.99, 0.0)])
def test_lam_is_the_share_of_pixels_that_are_the_images_own(uniform):
    x = np.zeros((3, 10, 8, 2), np.float32) + np.arange(3)[:, np.newaxis, np.newaxis, np.newaxis]
    order = [1, 2, 0]
    mixed, lam = cutmix(tf.constant(x), tf.constant(uniform), tf.constant(order))
    own = np.mean(mixed.numpy() == x, axis=(1, 2, 3))
    np.testing.assert_allclose(own, float(lam), atol=1e-6)
    assert set(np.unique(mixed[0])) <= {0.0, 1.0}
    side = np.sqrt(1 - uniform[0])
    whole = (int(10 * side) // 2 * 2) * (int(8 * side) // 2 * 2) / 80  # before it is cut at the edges
    assert 1 - float(lam) <= whole + 1e-6
    if uniform[1:] == (0.5, 0.5):
        np.testing.assert_allclose(1 - float(lam), whole, atol=1e-6)


def images_model(share):
    data = sources.from_arrays(**blobs([8] * 4))
    stream = streams.split(data, tasks=2, scenario="class")
    model = GDumb(mlp(stream, hidden=(5,)), memory=Balanced(stream, capacity=8), cutmix=share)
    model.compile(keras.optimizers.SGD(0.1), jit=False)
    model.begin_task(stream[0])
    x, y = stream[0].train.open()
    return model, Batch(tf.constant(x[:B]), tf.constant(y[:B]), tf.zeros(B, tf.int32), tf.ones(B))


def test_labels_mix_as_the_pixels_do():
    model, batch = images_model(1.0)
    seen = []
    logits_of_model = model.logits
    model.logits = lambda given: seen.append(given) or logits_of_model(given)
    logits, loss = model._answers(batch)
    mixed = seen[0].x.numpy()
    own = np.mean(mixed == batch.x.numpy(), axis=(1, 2, 3))
    lam = own.max()  # an image that gets its own box back is all its own; pixels may agree by chance
    candidates = []
    for other in range(B):
        pair = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(batch.y, [other] * B), logits).numpy()
        candidates.append(pair)
    ce = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.y, logits).numpy()
    assert min(ce.mean(), np.min(candidates)) <= float(loss) <= max(ce.mean(), np.max(candidates))
    assert 0 <= lam <= 1
    assert not np.array_equal(mixed, batch.x.numpy())


def test_without_cutmix_images_are_as_they_are_and_a_step_repeats():
    steps = []
    for share in (0.0, 0.0, 1.0, 1.0):
        model, batch = images_model(share)
        model.train_step(batch)
        steps.append(model.network.get_weights())
    assert_same(steps[0], steps[1])
    assert_same(steps[2], steps[3])
    assert any((one != other).any() for one, other in zip(steps[0], steps[2], strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": None}, "gdumb learns from a memory; give it one"),
        ({"low": -0.1}, "low is -0.1; it must not be negative"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be above 0"),
        ({"cutmix": 1.5}, "cutmix is 1.5"),
        ({"cutmix": 0.5}, "cutmix is for images"),
        ({"reset_optimizer": False}, "starts again at every task"),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        at_task(1, GDumb, **{"memory": Balanced, **options})
