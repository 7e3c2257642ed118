"""GDumb: the schedule, a step against float64, where learning starts."""

import numpy as np
import pytest
import tf_keras as keras
from helpers import assert_same, learn
from replays import assert_close, at_task, batch_of, entropies, gradient, step, stream_of

from keras_cl.errors import InputError
from keras_cl.memories import Balanced
from keras_cl.methods import GDumb

pytestmark = pytest.mark.usefixtures("any_order")


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


def test_a_batch_larger_than_the_memory_is_refused_in_its_own_words():
    model = at_task(2, GDumb, memory=lambda stream, capacity: Balanced(stream, capacity=8))
    with pytest.raises(InputError, match="batch_size is 9 and the memory holds only 8 rows"):
        model.batches(stream_of()[1], 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": None}, "gdumb learns from a memory; give it one"),
        ({"low": 2.0}, "low is 2.0, above the learning rate, which is 1.0"),
        ({"low": -0.1}, "low is -0.1; it must not be negative"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"passes": 0}, "passes is 0; it must be at least 1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be above 0"),
        ({"reset_optimizer": False}, "starts again at every task"),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        at_task(1, GDumb, **{"memory": Balanced, **options})
