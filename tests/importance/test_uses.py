"""Gradients of single examples by a formula for each operation, against one backward pass for every row."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import assert_same, backward_passes, chain

from keras_cl.importance import choice, fisher, summed
from keras_cl.importance.by_uses import ByUses
from keras_cl.importance.moments import Moments, Signals

layers = keras.layers
dense = layers.Dense
OUTPUTS, ROWS = 3, 5


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "MOST_ROWS", 4)  # the rows fill one block and leave a rest
        yield


# ---- networks --------------------------------------------------------------------------------------------


def of(*parts, shape=(5, 6, 2)):
    return lambda: chain(shape, *(part() for part in parts), layers.Flatten(), dense(OUTPUTS))


def layer(kind, *args, **options):
    return lambda: kind(*args, **options)


class Reused(layers.Layer):
    """The kernel of a convolution once more, with other strides, and its bias as a scale."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, h):
        return tf.nn.conv2d(h, self.other.kernel, 2, "VALID") * self.other.bias


class Standardised(layers.Layer):
    """A convolution whose kernel is made from the variable by more than a change of its shape."""

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (2, 2, shape[-1], 3))
        self.gain = self.add_weight("gain", (3,))

    def call(self, h):
        kernel = self.kernel - tf.reduce_mean(self.kernel, [0, 1, 2])
        return tf.nn.conv2d(h, self.gain * kernel / tf.norm(kernel), 1, "SAME")


class Grouped(layers.Layer):
    """A convolution by groups, one operation as on accelerators."""

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (2, 1, shape[-1] // 2, 6))

    def call(self, h):
        return tf.nn.conv2d(h, self.kernel, 1, "SAME")


def shared():
    """A convolution used twice, its norm too, and its kernel once more beside a weight with one use."""
    x = images = keras.Input((6, 6, 2))
    convolution, norm = layers.Conv2D(2, 3, padding="same"), layers.BatchNormalization()
    for _ in range(2):
        x = layers.ReLU()(norm(convolution(x)))
    return keras.Model(images, dense(OUTPUTS)(layers.Flatten()(Reused(convolution)(x))))


def tied():
    """An autoencoder's kernel, whose second use is turned round."""
    x = images = keras.Input((4, 3))
    first = dense(5)
    h = tf.tensordot(tf.nn.relu(first(x)), tf.transpose(first.kernel), 1)
    h = tf.matmul(h, first.kernel)
    return keras.Model(images, dense(OUTPUTS)(layers.Flatten()(h)))


def residual():
    x = images = keras.Input((6, 6, 2))
    h = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, 2, "same", use_bias=False)(x)))
    h = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(h))
    x = layers.ReLU()(layers.Add()([h, layers.Conv2D(4, 1, 2)(x)]))
    return keras.Model(images, dense(OUTPUTS)(layers.GlobalAveragePooling2D()(x)))


CONVOLUTIONS = {
    "valid": of(layer(layers.Conv2D, 3, 3)),
    "same, even window": of(layer(layers.Conv2D, 3, (2, 4), padding="same")),
    "strides": of(layer(layers.Conv2D, 3, (3, 2), strides=(2, 3), padding="same")),
    "strides that leave a rest": of(layer(layers.Conv2D, 3, 2, strides=4)),
    "dilated": of(layer(layers.Conv2D, 3, 2, dilation_rate=2)),
    "dilated, same": of(layer(layers.Conv2D, 3, 3, dilation_rate=(2, 1), padding="same")),
    "by groups": of(lambda: Grouped()),
    "one dimension": of(layer(layers.Conv1D, 3, 3, strides=2), shape=(7, 2)),
    "one dimension, causal": of(layer(layers.Conv1D, 3, 3, dilation_rate=2, padding="causal"), shape=(7, 2)),
    "three dimensions": of(layer(layers.Conv3D, 2, 2, (1, 2, 1), "same"), shape=(3, 4, 3, 2)),
    "depthwise": of(layer(layers.DepthwiseConv2D, 3, (2, 2), depth_multiplier=2)),
    "depthwise, one dimension": of(layer(layers.DepthwiseConv1D, 3), shape=(7, 2)),
    "separable": of(layer(layers.SeparableConv2D, 3, 3, depth_multiplier=2)),
    "transposed": of(layer(layers.Conv2DTranspose, 3, 3, 2, "same"), shape=(3, 2, 2)),
    "transposed, three dimensions": of(layer(layers.Conv3DTranspose, 2, 2), shape=(2, 2, 2, 1)),
}
OTHERS = {
    "dense on sequences": of(layer(dense, 4), layer(layers.ReLU), shape=(3, 2)),
    "a norm of images": of(layer(layers.Conv2D, 2, 3), layer(layers.BatchNormalization), layer(layers.ReLU)),
    "a norm of features": of(layer(dense, 4), layer(layers.BatchNormalization), shape=(3,)),
    "a norm without a scale": of(
        layer(dense, 4), layer(layers.BatchNormalization, scale=False), shape=(3, 2)
    ),
    "layer and group norms": of(
        layer(layers.LayerNormalization), layer(layers.GroupNormalization, 2), layer(dense, 2), shape=(3, 4)
    ),
    "a kernel made of a variable": of(Standardised),
    "slopes": of(layer(layers.Conv2D, 2, 3), layer(layers.PReLU, shared_axes=[1, 2])),
    "shared": shared,
    "tied": tied,
    "residual": residual,
}


def rows_of(network):
    return np.random.default_rng(0).normal(size=(ROWS, *network.input_shape[1:])).astype(np.float32)


def two_signals(z):
    """Twice the logits, and the first logit with a weight that differs between rows."""
    some = tf.one_hot(tf.zeros_like(z[:, 0], tf.int32), OUTPUTS)
    return Signals(
        lambda m: (tf.where(m == 0, 2 * z, some), tf.where(m == 0, 1.0, z[:, 1] ** 2)), tf.constant(2)
    )


def moments_of(z, slopes, power):
    """What the same signals give from the slopes of every row and logit."""
    first = [np.abs(2 * np.einsum("nc,nc...->n...", z, one)) ** power for one in slopes]
    second = [np.einsum("n,n...->n...", z[:, 1] ** 2, np.abs(one[:, 0]) ** power) for one in slopes]
    return [(one + other).mean(axis=0) for one, other in zip(first, second, strict=True)]


PAIRS, TOGETHER, ALONE = {"SQUARED": 1000}, {"SQUARED": -1000}, {"SQUARED": -1000, "FILTERS": 0}
WAYS = [(name, 2, TOGETHER) for name in CONVOLUTIONS]
WAYS += [(name, 1, PAIRS) for name in OTHERS]
WAYS += [(name, 2, PAIRS) for name in ("valid", "dilated", "three dimensions", "dense on sequences", "tied")]
WAYS += [("residual", power, ALONE) for power in (1, 2)]


RARE = {
    "strides that leave a rest",
    "dilated, same",
    "one dimension",
    "depthwise, one dimension",
    "transposed, three dimensions",
    "a norm without a scale",
    "slopes",
}


@pytest.mark.parametrize(
    ("name", "power", "way"),
    [pytest.param(*way, marks=[pytest.mark.slow] * (way[0] in RARE)) for way in WAYS],
)
def test_the_formulas_equal_one_backward_pass_a_row(name, power, way, monkeypatch):
    for constant, value in way.items():
        monkeypatch.setattr(summed, constant, value)
    network = (CONVOLUTIONS | OTHERS)[name]()
    x = rows_of(network)
    moments = Moments(network, two_signals, power)
    assert_same(moments(x, jit=False), moments_of(*backward_passes(network, x), power), rtol=1e-4)
    assert {type(one) for one in moments.passes(x, jit=False)} == {ByUses}
    assert moments.usual_samples(x) == 0


# ---- what a pass costs -----------------------------------------------------------------------------------


def operations(graph, place=""):
    """Counts of operations in a graph and in the bodies of its loops."""
    counts = collections.Counter(place + op.type for op in graph.get_operations())
    for op in graph.get_operations():
        if op.type.endswith("While"):
            counts += operations(graph._get_function(op.get_attr("body").name).graph, "loop ")
    return counts


def test_a_block_takes_one_forward_pass_and_one_loop_over_signals():
    network = residual()
    x = rows_of(network)
    moments = Moments(network, two_signals, power=2)
    (one,) = moments.passes(x, jit=False)
    block = [tf.TensorSpec([one.block, *x.shape[1:]]), tf.TensorSpec([one.block])]
    counts = operations(one.accumulate.get_concrete_function(*block).graph)
    loops = {name: count for name, count in counts.items() if name.endswith("While")}
    assert counts["Conv2D"] == 3
    assert sum(loops.values()) == 2  # over groups of signals and over those of a group
    assert counts["loop Conv2DBackpropInput"] == 3
    assert counts["loop Conv2D"] == 0
    assert counts["loop BatchMatMulV2"] <= 3
    assert not {name for name in counts if "Backprop" in name and not name.startswith("loop")}


def test_every_block_is_one_call(monkeypatch):
    network = residual()
    x = np.repeat(rows_of(network), 2, axis=0)
    moments = Moments(network, two_signals, power=2)
    (one,) = moments.passes(x, jit=False)
    blocks, run = [], ByUses._run
    monkeypatch.setattr(
        ByUses, "_run", lambda self, *block: (blocks.append(len(block[0])), run(self, *block))
    )
    moments(x, jit=False)
    assert blocks == [4, 4, 4]  # 10 rows
    assert one.accumulate.experimental_get_tracing_count() == 1


def test_blocks_are_smaller_where_unfolded_inputs_are_large():
    def rows(side):
        network = chain((side, side, 3), layers.Conv2D(8, 7), layers.GlobalAveragePooling2D(), dense(OUTPUTS))
        return choice.Survey.of(
            network, network.trainable_variables, np.zeros((1, side, side, 3), np.float32)
        ).rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "MOST_ROWS", 64)
        assert rows(16) == 64
        assert rows(256) == 8  # 250^2 positions of 147 inputs are 37 MB a row
        assert rows(2048) == 1


# ---- signals of the exact Fisher information -------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_one_signal_less_than_classes_has_their_sum_of_squares(count):
    rng = np.random.default_rng(count)
    mask = rng.permutation(np.arange(5) < count)
    order = np.argsort(~mask, kind="stable").astype(np.int32)
    scales = np.array([0, 1, 1, 5, 5, 20, 20, 60, 200], np.float32)[:, np.newaxis]
    logits = scales * rng.normal(size=(9, 5)).astype(np.float32)
    signals = fisher._all_labels(tf.constant(logits), None, None, mask, order, tf.constant(count))
    of, fewer = signals.fewer()
    assert fewer == count - 1
    sums = []
    for each, number in ((signals.of, count), (of, count - 1)):
        squares = np.zeros((9, 5, 5))
        for m in range(number):
            cotangent, weight = (np.float64(one) for one in each(tf.constant(m)))
            squares += (
                weight[:, np.newaxis, np.newaxis] * cotangent[:, :, np.newaxis] * cotangent[:, np.newaxis]
            )
        sums.append(squares)
    z = np.where(mask, logits.astype(float), -np.inf)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    want = np.eye(5) * p[:, np.newaxis] - p[:, :, np.newaxis] * p[:, np.newaxis]
    assert np.all(sums[1][:, ~mask] == 0)
    for got in sums:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
