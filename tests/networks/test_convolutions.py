"""The convolutional networks: their sizes, their blocks, and that they learn by the path that is faster."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from helpers import blobs

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.learning import loop
from keras_cl.methods import Finetune
from keras_cl.networks import cnn, resnet18, resnet18_ic

SMALL = streams.split(sources.from_arrays(**blobs([24] * 4, side=8)), tasks=2, scenario="task")
ROWS, LABELS = np.zeros((4, 3)), [0, 1, 0, 1]
PLAIN_ROWS = {"x_train": ROWS, "y_train": LABELS, "x_test": ROWS, "y_test": LABELS}


def as_large_as_cifar100():
    images, labels = np.zeros((100, 32, 32, 3), np.uint8), np.arange(100)
    rows = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    return streams.split(sources.from_arrays(**rows), tasks=20, scenario="task")


def random_images(rows=6):
    return np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 1)).astype(np.float32)


def test_resnet18_has_the_parameters_of_the_literature():
    network = resnet18(as_large_as_cifar100())
    assert sum(np.prod(variable.shape) for variable in network.trainable_variables) == 1_109_240
    assert network.output_shape == (None, 100)
    widths = [layer.filters for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert widths == 5 * [20] + 5 * [40] + 5 * [80] + 5 * [160]  # a projection at the start of three stages
    assert network.get_layer("mean").input_shape == (None, 4, 4, 160)


def test_resnet18_ic_has_the_parameters_that_the_released_code_trains():
    network = resnet18_ic(as_large_as_cifar100())
    assert sum(np.prod(variable.shape) for variable in network.trainable_variables) == 496_680
    assert network.get_layer("mean").input_shape == (None, 4, 4, 160)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    for layer in (*convolutions, network.get_layer("logits")):  # PyTorch's initial weights
        inputs = np.prod(layer.kernel.shape[:-1])
        assert 0.9 < np.abs(layer.kernel).max() * inputs**0.5 <= 1.0001


def test_a_block_of_resnet18_ic_normalises_after_the_activation():
    """IC(relu(x + IC(relu(W x)))), computed by hand from the weights of the first block."""
    network, x = resnet18_ic(SMALL, filters=4, seed=1), random_images()
    norms = [network.get_layer(f"norm_{place}") for place in (1, 2)]
    for place, norm in enumerate(norms):
        norm.beta.assign(tf.range(4.0) + place)
        norm.moving_mean.assign(tf.range(4.0) / 7)
    relus = [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    before, after = keras.Model(network.inputs, [relus[0].output, norms[1].output])(x)
    h = tf.nn.relu(tf.nn.conv2d(before, network.get_layer("convolution_1").kernel, 1, "SAME"))
    h = norms[0](h)
    np.testing.assert_allclose(after, norms[1](tf.nn.relu(before + h)), rtol=1e-5, atol=1e-5)


def test_strides_of_resnet18_ic_begin_at_the_same_pixel_as_pytorchs():
    network, x = resnet18_ic(SMALL, filters=4, seed=1), random_images()
    strided = network.get_layer("convolution_3")
    before, after = keras.Model(network.inputs, [network.get_layer("norm_4").output, strided.output])(x)
    corner = (
        np.pad(before.numpy(), ((0, 0), (1, 1), (1, 1), (0, 0)))[:, :3, :3, :, np.newaxis]
        * strided.kernel.numpy()
    )
    np.testing.assert_allclose(after[:, 0, 0], corner.sum((1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_a_block_whose_convolutions_give_nothing_hands_on_what_it_got():
    network = resnet18(SMALL, filters=4, seed=1)
    for place in (2, 4):  # the second convolutions of the first stage, whose blocks project nothing
        network.get_layer(f"norm_{place}").gamma.assign(tf.zeros(4))
    relus = [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    before, after = keras.Model(network.inputs, [relus[0].output, relus[4].output])(random_images())
    np.testing.assert_array_equal(before, after)
    assert np.ptp(before) > 0


@pytest.mark.parametrize("make", [cnn, resnet18, resnet18_ic])
def test_dropout_and_batch_statistics_are_for_training_alone(make):
    network, x = make(SMALL, dropout=0.5), random_images()
    assert (network(x).numpy() == network(x).numpy()).all()
    assert (network(x, training=True).numpy() != network(x, training=True).numpy()).any()


def test_a_seed_decides_the_weights():
    for make in (cnn, resnet18, resnet18_ic):
        one, again, other = (make(SMALL, seed=seed).get_weights() for seed in (1, 1, 2))
        assert all(map(np.array_equal, one, again))
        assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def weights_of_resnet18(initial):
    """Kernels of the convolutions, then kernel and bias of the last layer."""
    layers = resnet18(SMALL, filters=8, initial=initial, seed=3).layers
    kernels = [layer.kernel.numpy() for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    return kernels, *layers[-1].get_weights()


@pytest.mark.parametrize("initial", ["he", "fan_in"])
def test_weights_of_resnet18_spread_as_their_rule_says(initial):
    kernels, last, bias = weights_of_resnet18(initial)
    assert len(kernels) == 20
    for kernel in kernels:
        inputs = np.prod(kernel.shape[:3])
        variance = kernel.var() * inputs * (0.5 if initial == "he" else 3)
        assert abs(variance - 1) < 6 / np.sqrt(kernel.size)
        assert initial == "he" or abs(kernel).max() <= inputs**-0.5
    assert abs(last).max() <= (np.sqrt(6 / sum(last.shape)) if initial == "he" else len(last) ** -0.5)
    assert bias.any() == (initial == "fan_in") and abs(bias).max() <= len(last) ** -0.5


def test_layers_of_resnet18_do_not_share_their_weights():
    kernels, _, _ = weights_of_resnet18("fan_in")
    alike = [a for a in kernels if a.shape == (3, 3, 8, 8)]
    assert len(alike) == 4
    assert all((a != b).any() for place, a in enumerate(alike) for b in alike[:place])


@pytest.mark.parametrize("make", [cnn, resnet18, resnet18_ic])
def test_mixed_precision_keeps_variables_and_logits_in_float32(make):
    network = make(SMALL, precision="mixed_bfloat16", dropout=0.5)
    assert {v.dtype for v in network.trainable_variables} == {tf.float32}
    assert network(random_images()).dtype == tf.float32
    hidden = [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    assert {layer.compute_dtype for layer in hidden} == {"bfloat16"}


def test_cnn_halves_the_image_after_each_convolution():
    network = cnn(SMALL, filters=(3, 5), hidden=(7,))
    assert network.get_layer("pool_0").output_shape == (None, 4, 4, 3)
    assert network.get_layer("pool_1").output_shape == (None, 2, 2, 5)
    assert network.get_layer("dense_2").kernel.shape == (20, 7)
    x = random_images()
    hidden = keras.Model(network.inputs, network.get_layer("convolution_0").output)(x)
    kernel, bias = network.get_layer("convolution_0").get_weights()
    here = (x[:, 2:5, 3:6, :] / 255)[..., np.newaxis] * kernel  # the output at row 3, column 4
    np.testing.assert_allclose(hidden[:, 3, 4], here.sum((1, 2, 3)) + bias, rtol=1e-4, atol=1e-6)


def test_they_learn_without_xla_on_a_cpu_where_that_is_faster():
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    assert loop.prefers_xla(resnet18(SMALL, filters=2)) == on_gpu
    model = Finetune(cnn(SMALL, filters=(4,), hidden=(8,)))
    model.compile(keras.optimizers.Adam(0.01))
    assert model.jit == on_gpu
    task = SMALL[0]
    model.begin_task(task)
    model.fit(model.batches(task, batch_size=8), epochs=8, verbose=0)
    assert model.accuracies(SMALL)[0] > 0.9


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (resnet18, {"filters": 0}, "filters is 0; a stage needs at least one"),
        (resnet18, {"initial": "fanin"}, "possible: he, fan_in. Did you mean fan_in"),
        (resnet18, {"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        (resnet18_ic, {"filters": 0}, "filters is 0; a stage needs at least one"),
        (resnet18_ic, {"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        (cnn, {"filters": (4, 0)}, r"filters is \(4, 0\); each must be at least 1"),
        (cnn, {"hidden": (0,)}, "a layer needs at least one unit"),
        (cnn, {"dropout": -0.1}, "dropout is -0.1; it must be at least 0 and below 1"),
        (cnn, {"filters": (1,) * 4}, "4 convolutions halve an image as often, and those of .* are 8x8"),
    ],
)
def test_what_makes_no_network_is_refused(make, options, message):
    with pytest.raises(InputError, match=message):
        make(SMALL, **options)


@pytest.mark.parametrize("make", [cnn, resnet18, resnet18_ic])
def test_rows_that_are_no_images_are_refused(make):
    rows = streams.permuted(sources.from_arrays(**PLAIN_ROWS), tasks=2)
    with pytest.raises(InputError, match=r"is for images, and a row of .* has the shape \(3,\)"):
        make(rows)
