"""Networks of 16 bits that compute in float32 for a while, as they do for importances."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl.importance.cramer import directions
from keras_cl.importance.fisher import Fisher
from keras_cl.importance.sensitivity import MeanSensitivity
from keras_cl.learning.keras3 import adopted
from keras_cl.learning.precision import single
from keras_cl.methods import MAS
from keras_cl.networks import cnn, mlp
from keras_cl.streams import split

STREAM = split("digits", tasks=5, scenario="task")
KINDS = ("mixed_bfloat16", "mixed_float16")
ROWS = 40


def rows():
    x, y = STREAM[0].train.open()
    return x[:ROWS], y[:ROWS]


def dense(precision):
    return mlp(STREAM, hidden=(8,), batch_norm=True, precision=precision, seed=3)


def convolutional(precision):
    return cnn(STREAM, filters=(3,), hidden=(5,), precision=precision, seed=3)


def of_keras_3(precision):
    import keras as keras3

    keras3.utils.set_random_seed(0)
    layers = keras3.layers
    stack = [layers.Flatten(), layers.Dense(6, "relu", dtype=precision), layers.Dense(10)]
    return adopted(keras3.Sequential([layers.Input(STREAM.input_shape), *stack]))


def fisher(network, kind="exact"):
    x, y = rows()
    return Fisher(network, kind, batch_size=10)(x, y, STREAM.class_mask[0], jit=False)


def sensitivity(network):
    x, _ = rows()
    xi = directions(STREAM.class_mask[0], 0, np.random.default_rng(0))
    return MeanSensitivity(network)(x, xi, jit=False)


def memory_aware(network):
    model = MAS(network)
    model.compile("sgd", jit=False)
    x, _ = rows()
    return model._sensitivity(x, of_task=(STREAM.class_mask[0],), jit=False)


MEASURES = {
    "exact": fisher,
    "batched": lambda network: fisher(network, "batched"),
    "mas": memory_aware,
    "scp": sensitivity,
}


@pytest.mark.parametrize("make", [dense, convolutional, of_keras_3])
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.slow
def test_importances_of_a_network_of_16_bits_are_those_of_the_same_one_in_float32(measure, make):
    narrow, full = make("mixed_bfloat16"), make("float32")
    full.set_weights(narrow.get_weights())
    assert np.abs(narrow(rows()[0]) - full(rows()[0])).max() > 0
    for one, other in zip(MEASURES[measure](narrow), MEASURES[measure](full), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_in_float32_inside_and_as_before_behind(kind):
    narrow, full = dense(kind), dense("float32")
    images = tf.constant(rows()[0], tf.float32)
    policies = [layer.dtype_policy.name for layer in narrow.layers]
    with pytest.raises(ValueError, match="broken"), single(narrow):
        np.testing.assert_array_equal(narrow(images), full(images))
        raise ValueError("broken")
    assert [layer.dtype_policy.name for layer in narrow.layers] == policies
    assert kind in policies
    assert np.abs(narrow(images) - full(images)).max() > 0


def test_the_weights_are_the_same_variables():
    network = dense("mixed_bfloat16")
    images = tf.constant(rows()[0], tf.float32)
    with single(network), tf.GradientTape() as tape:
        total = tf.reduce_sum(network(images))
    assert all(np.any(g) for g in tape.gradient(total, network.trainable_variables)[-2:])
    before = network(images)
    network.layers[-1].kernel.assign(2 * network.layers[-1].kernel)
    with single(network):
        assert np.abs(network(images) - before).max() > 0.01


def test_what_is_no_network_stays_as_it_is():
    with single(lambda images: images), single(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])):
        pass


def test_each_layer_of_a_keras_3_model_has_its_own_precision_again():
    import keras as keras3

    class Parts(keras3.Model):
        def __init__(self):
            super().__init__()
            self.first = keras3.layers.Dense(6, dtype="mixed_bfloat16")
            self.head = keras3.layers.Dense(10, dtype="float32")

        def call(self, x):
            return self.head(self.first(keras3.ops.reshape(x, (-1, 64))))

    parts = Parts()
    parts(np.zeros((1, *STREAM.input_shape), np.float32))
    network = adopted(parts)
    with single(network):
        assert parts.first.compute_dtype == parts.head.compute_dtype == "float32"
    assert (parts.first.compute_dtype, parts.head.compute_dtype) == ("bfloat16", "float32")
