"""Importances of every kind of layer against one backward pass for every single row."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from gradients import ALL, ROWS, Power, assert_same, backward_passes, chain

from keras_cl.importance import choice, passes, products
from keras_cl.importance.by_uses import ByUses
from keras_cl.importance.fisher import Fisher
from keras_cl.importance.moments import Moments, Signals
from keras_cl.importance.passes import ByLoop, ByMap, ByProducts
from keras_cl.importance.sensitivity import MeanSensitivity
from keras_cl.methods import EWC, MAS, SCP

layers = keras.layers
dense = layers.Dense


pytestmark = pytest.mark.usefixtures("any_order")


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "DENSE_ROWS", 4)
        patch.setattr(passes, "MAPPED_ROWS", 3)
        patch.setattr(choice, "MOST_ROWS", 4)
        yield


class Tied(layers.Layer):
    """The kernel of another layer once more, the other way round."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def call(self, h):
        return tf.matmul(h, self.other.kernel, transpose_b=True)


class Subclassed(keras.Model):
    """A model whose layers have no inputs of their own."""

    def __init__(self):
        super().__init__()
        self.one, self.other = dense(5, activation="relu"), dense(4)

    def call(self, x):
        return self.other(self.one(x))


def subclassed():
    network = Subclassed()
    network.build((None, 6))
    return network


def tied():
    layer = dense(5)
    return chain((4,), layer, layers.ReLU(), Tied(layer))


def twice():
    layer = dense(4)
    return chain((4,), layer, layers.ReLU(), layer)


def shared_kernel():
    """The second use is an operation on the variable, not a layer."""
    x = images = keras.Input((4,))
    layer = dense(5)
    h = layer(x)
    h = tf.matmul(tf.nn.relu(h), layer.kernel, transpose_b=True)
    return keras.Model(images, dense(4)(h))


def nested():
    return chain((6,), keras.Sequential([dense(5, activation="relu"), dense(3)]), dense(4))


def embedded():
    return chain((5,), layers.Embedding(7, 3), layers.GlobalAveragePooling1D(), dense(4))


def normalised():
    norms = layers.BatchNormalization(), layers.ReLU(), layers.LayerNormalization()
    return chain((6,), dense(5), *norms, layers.Dropout(0.5), dense(4, activation="tanh"))


def of_images(layer, shape=(5, 5, 2)):
    return lambda: chain(shape, layer(), layers.Flatten(), dense(4))


def of_sequences(layer):
    return lambda: chain((3, 2), layer(), dense(4))


def unusual():
    return chain((3, 3, 3, 1), Power(), layers.Conv3D(2, 3), layers.Flatten(), dense(4))


NETWORKS = {  # a function that makes it, and how many variables each pass is for
    "a dense layer with an activation": (
        lambda: chain((6,), dense(5, activation="relu"), dense(4)),
        {ByProducts: 4},
    ),
    "subclassed": (subclassed, {ByProducts: 4}),
    "nested": (nested, {ByProducts: 6}),
    "tied": (tied, {ByUses: 2}),
    "the kernel in an operation": (shared_kernel, {ByUses: 4}),
    "called twice": (twice, {ByUses: 2}),
    "on sequences of one": (of_images(lambda: dense(3), (1, 3)), {ByUses: 4}),
    "embedding": (embedded, {ByProducts: 2, ByMap: 1}),
    "norms": (normalised, {ByUses: 8}),
    "by groups": (of_images(lambda: layers.Conv2D(4, 3, groups=2)), {ByUses: 3, ByMap: 1}),
    "an own operation": (of_images(Power), {ByUses: 3, ByMap: 1}),
    "an own operation beside what has no vectorised form": (unusual, {ByUses: 5, ByLoop: 1}),
    "GRU": (of_sequences(lambda: layers.GRU(3)), {ByProducts: 2, ByLoop: 3}),
    "LSTM": (of_sequences(lambda: layers.LSTM(3)), {ByProducts: 2, ByLoop: 3}),
}
LONG = {"GRU", "LSTM"}  # to trace


def rows_of(network, n=ROWS):
    rng = np.random.default_rng(0)
    if any(isinstance(layer, layers.Embedding) for layer in network.layers):
        return rng.integers(0, 7, (n, 5)).astype(np.float32)
    shape = (6,) if isinstance(network, Subclassed) else network.input_shape[1:]
    return rng.normal(size=(n, *shape)).astype(np.float32)


def squared_length(z):
    return Signals(lambda m: (2 * z, tf.ones_like(z[:, 0])), tf.constant(1))


def sensitivity_of_squared_length(network, x):
    """The mean over rows of |d ||z||^2 / d theta|."""
    z, slopes = backward_passes(network, x)
    return [np.abs(2 * np.einsum("nc,nc...->n...", z, one)).mean(axis=0) for one in slopes]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NETWORKS]
)
def test_every_layer_equals_one_backward_pass_a_row(name):
    make, kinds = NETWORKS[name]
    network = make()
    x = rows_of(network)
    moments = Moments(network, squared_length, power=1)
    assert_same(moments(x, jit=False), sensitivity_of_squared_length(network, x), rtol=1e-4)
    assert {type(one): len(one.variables) for one in moments.passes(x, jit=False)} == kinds
    assert (moments.usual_samples(x) == 0) == (not {ByMap, ByLoop} & {*kinds})


@pytest.mark.parametrize("name", ["tied", "embedding", "norms", "by groups", "an own operation"])
def test_the_gradient_of_the_mean_of_every_layer_is_squared(name):
    network = NETWORKS[name][0]()
    x = rows_of(network)
    _, slopes = backward_passes(network, x)
    D = np.eye(4, dtype=np.float32)
    want = [np.square(one.mean(axis=0)).sum(axis=0) for one in slopes]
    assert_same(MeanSensitivity(network)(x, D, jit=False), want, rtol=1e-4)


# ---- the comparison of the first row ---------------------------------------------------------------------


def test_products_that_are_not_the_only_use_of_a_kernel_are_found_out_by_the_first_row(monkeypatch):
    keras.utils.set_random_seed(0)  # some unit between the two uses is not zero for the first row
    network = shared_kernel()
    x = rows_of(network)

    def believed(op, kernel, rows):
        return op.type == "MatMul" and op.inputs[1].name == kernel.name

    def first_use(tensor):
        return tensor.consumers()[0]

    monkeypatch.setattr(products, "_is_product", believed)
    monkeypatch.setattr(products, "_only_consumer", first_use)
    found = products.in_products(network, network.trainable_variables, x)
    assert len(found) == 4  # the kernel that is used twice is among them
    moments = Moments(network, squared_length, power=1)
    assert_same(moments(x, jit=False), sensitivity_of_squared_length(network, x), rtol=1e-4)
    assert {type(one) for one in moments.passes(x, jit=False)} == {ByProducts, ByUses}


def test_what_cannot_be_vectorised_says_nothing(capfd, caplog):
    network = unusual()
    x = rows_of(network)
    Moments(network, squared_length, power=1)(x, jit=False)
    assert not caplog.records
    assert "pfor" not in capfd.readouterr().err
    assert tf.get_logger().level != 50


# ---- with and without XLA --------------------------------------------------------------------------------


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("method", [EWC, MAS, SCP])
def test_the_passes_are_compiled_as_the_steps_are(monkeypatch, method, jit):
    from sensitivities import random_stream

    told = []
    function = tf.function
    stream = random_stream()
    model = method(chain((3,), dense(4)))
    model.compile("sgd", jit=jit)

    def recorded(body=None, **options):
        told.append(options.get("jit_compile"))
        return function(body, **options)

    monkeypatch.setattr(tf, "function", recorded)
    model.end_task(stream[0])
    assert any(told) is jit


def test_moments_of_a_fisher_do_not_depend_on_xla():
    network = chain((6,), dense(5, activation="relu"), dense(4))
    x, y = rows_of(network), np.zeros(ROWS, np.int32)
    fisher = Fisher(network)
    assert_same(fisher(x, y, np.array(ALL), jit=True), fisher(x, y, np.array(ALL), jit=False))
