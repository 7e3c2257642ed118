"""GDumb and CutMix: the schedule, a step against float64, where learning starts, what is mixed."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import assert_same, blobs, learn
from replays import B, assert_close, at_task, batch_of, entropies, gradient, step, stream_of

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning.batches import Batch
from keras_cl.memories import Balanced
from keras_cl.methods import Finetune, GDumb
from keras_cl.networks import mlp
from keras_cl.numerics.cutmix import cutmix
from keras_cl.numerics.random import random_bits

pytestmark = pytest.mark.usefixtures("any_order")

STREAM = streams.split(sources.from_arrays(**blobs([8] * 4)), tasks=2, scenario="class")


def rows(seed=2):
    return batch_of(2, seed=seed).current


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
    model.compile(keras.optimizers.SGD(0.1), jit=False)
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


def images_model(share, scenario="class", seed=0):
    data = sources.from_arrays(**blobs([8] * 4))
    stream = streams.split(data, tasks=2, scenario=scenario)
    network = mlp(stream, hidden=(5,), dropout=0.5)
    model = GDumb(network, memory=Balanced(stream, capacity=8), cutmix=share, seed=seed)
    model.compile(keras.optimizers.SGD(0.1), jit=False)
    for task in stream:
        model.begin_task(task)
    x, y, task = (part[:B] for part in model.memory.rows())
    return model, Batch(tf.constant(x), tf.constant(y), tf.constant(task), tf.ones(B))


@pytest.mark.parametrize("scenario", ["task", "class"])
def test_labels_mix_as_the_pixels_do_each_under_its_own_classes(scenario):
    model, batch = images_model(1.0, scenario)
    batch = Batch(*(tf.concat([part[:2], part[2:][::-1]], axis=0) for part in batch[:4]))
    uniform = random_bits(model.mixing, model.step, [4 + B]).numpy() / 2.0**32
    order = np.argsort(uniform[4:])
    assert any(batch.task.numpy()[order] != batch.task.numpy())
    x, lam = cutmix(batch.x, tf.constant(uniform[:3], tf.float32), tf.constant(order))
    state = [w.numpy() for w in model.network.non_trainable_variables]
    z = model.network(x, training=True).numpy().astype(float)
    for variable, value in zip(model.network.non_trainable_variables, state, strict=True):
        variable.assign(value)
    _, loss = model._answers(batch)

    def entropy(y, task):
        mask = model._class_mask.numpy()[task if scenario == "task" else 1]
        masked = np.where(mask, z, -np.inf)
        log_p = masked - np.log(np.exp(masked).sum(axis=1, keepdims=True))
        return -log_p[np.arange(B), y].mean()

    y, task = batch.y.numpy(), batch.task.numpy()
    expected = float(lam) * entropy(y, task) + (1 - float(lam)) * entropy(y[order], task[order])
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)
    assert 0 < float(lam) < 1


def test_every_task_and_seed_mixes_and_drops_out_in_its_own_way():
    states = []
    for seed in (0, 1):
        model, _ = images_model(1.0, seed=seed)
        dropout = model.network.get_layer("dropout_0").state.numpy().tolist()
        states.append((int(model.mixing), *dropout))
        plain = Finetune(mlp(STREAM, hidden=(5,), dropout=0.5), seed=seed)
        plain.compile("sgd", jit=False)
        plain.begin_task(STREAM[1])
        assert plain.network.get_layer("dropout_0").state.numpy().tolist() == dropout
    first = GDumb(mlp(STREAM, hidden=(5,)), memory=Balanced(STREAM, capacity=8))
    first.compile("sgd", jit=False)
    first.begin_task(STREAM[0])
    assert len({states[0][0], states[1][0], int(first.mixing)}) == 3
    assert states[0][1] != states[1][1]


def test_a_batch_larger_than_the_memory_is_refused_in_its_own_words():
    model, _ = images_model(0.0)
    with pytest.raises(InputError, match="batch_size is 9 and the memory holds only 8 rows"):
        model.batches(STREAM[1], 9)


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
        ({"low": 2.0}, "low is 2.0, above the learning rate, which is 1.0"),
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
