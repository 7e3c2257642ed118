"""Logits of many rows by one compiled loop: those of the blocks one by one, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl import streams
from keras_cl.learning import forward, layers
from keras_cl.learning.layers import in_blocks
from keras_cl.methods import HAT, Finetune
from keras_cl.networks import cnn, mlp

ROWS = 50  # of a block; the digits have 297 to 300 test rows, so that the last block has a rest
MADE = {
    "dense": lambda stream: Finetune(mlp(stream, hidden=(12,), seed=1)),
    "convolutions": lambda stream: Finetune(cnn(stream, seed=1)),
    "images of any size": lambda stream: Finetune(of_any_size()),
    "gates of a task": lambda stream: HAT(mlp(stream, hidden=(12,), seed=1), tasks=2),
}


def of_any_size():
    stack = [keras.layers.Conv2D(3, 3), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((None, None, 1)), *stack])


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(layers, "ROWS_AT_ONCE", ROWS)


def tasks():
    return streams.permuted("digits", tasks=2, scenario="task")


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_the_loop_gives_the_logits_of_the_blocks_bit_for_bit(made, kind, small_blocks):
    stream = tasks()
    model = made(stream)
    for task in stream:
        x = task.test.open()[0].astype(kind)
        assert len(x) % ROWS
        numbers = np.full(len(x), task.index, np.int32)
        expected = in_blocks(model._forward, x, numbers)
        np.testing.assert_array_equal(model.predict_logits(x, task.index), expected)
        assert np.ptp(expected) > 0


def test_a_call_takes_whole_blocks_of_few_bytes_and_one_at_least(small_blocks, monkeypatch):
    x, sizes = np.zeros([2 * ROWS + 20, 8, 8, 1], np.uint8), []
    logits = forward.Forward(lambda x, task: tf.reshape(x, [-1, 64]), [8, 8, 1])
    for most in (1, 2 * 64 * ROWS - 1, 2 * 64 * ROWS, 2**30):
        monkeypatch.setattr(forward, "BYTES", most)
        sizes.append([rows.stop - rows.start for rows in logits.calls(x)])
        assert logits(x, 0).shape == (len(x), 64)
    assert sizes == [[ROWS, ROWS, 20], [ROWS, ROWS, 20], [2 * ROWS, 20], [2 * ROWS + 20]]


def test_all_tasks_and_numbers_of_rows_share_one_trace(small_blocks):
    traces = []

    def logits(x, task):
        traces.append(x.shape)
        return tf.reshape(x, [-1, 64]) + tf.cast(task, tf.float32)[:, tf.newaxis]

    found = forward.Forward(logits, [8, 8, 1])
    x = (np.arange(ROWS * 64) % 200).astype(np.uint8).reshape(ROWS, 8, 8, 1)
    for task, rows in ((0, ROWS), (1, ROWS), (2, 7)):
        np.testing.assert_array_equal(found(x[:rows], task), x[:rows].reshape(rows, 64) + task)
    assert len(traces) == 1


def test_half_precision_and_tensors_are_taken(small_blocks):
    stream = tasks()
    network = mlp(stream, hidden=(12,), precision="mixed_bfloat16")
    model = Finetune(keras.Model(network.inputs, network.outputs))
    x = stream[0].test.open()[0]
    expected = in_blocks(model._forward, x, np.zeros(len(x), np.int32))
    np.testing.assert_array_equal(model.predict_logits(tf.constant(x), 0), expected)
