"""The perceptron: its layers, its scale, and the weights that it starts from."""

import numpy as np
import pytest
import tf_keras as keras
from helpers import assert_same, blobs

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.networks import mlp

STREAM = streams.permuted(sources.from_arrays(**blobs([20] * 3, side=6)), tasks=2)
WIDTHS = (36, 200, 100, 3)  # pixels, hidden units, classes


def kernels_and_biases(**options):
    weights = mlp(STREAM, hidden=WIDTHS[1:-1], **options).get_weights()
    return weights[::2], weights[1::2]


def test_raw_images_become_logits_of_their_scaled_pixels():
    x = STREAM[0].train.open()[0][:4]
    network = mlp(STREAM, hidden=WIDTHS[1:-1], initial="fan_in", seed=1)
    h = x.reshape(4, -1).astype(np.float64) / 255
    (W0, W1, W2), (b0, b1, b2) = kernels_and_biases(initial="fan_in", seed=1)
    h = np.maximum(np.maximum(h @ W0 + b0, 0) @ W1 + b1, 0) @ W2 + b2
    np.testing.assert_allclose(network(x.astype(np.float32)), h, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("place", range(3))
def test_weights_fill_the_range_of_their_rule_evenly(place):
    inputs, outputs = WIDTHS[place : place + 2]
    limits = {"glorot": np.sqrt(6 / (inputs + outputs)), "fan_in": 1 / np.sqrt(inputs)}
    for initial, limit in limits.items():
        kernels, biases = kernels_and_biases(initial=initial)
        kernel = kernels[place].ravel() / limit
        assert kernel.shape == (inputs * outputs,)
        assert abs(kernel).max() <= 1 + 1e-6
        error = 5 / np.sqrt(kernel.size)  # five standard errors and more, for a uniform variable in [-1, 1]
        assert abs(kernel.mean()) < error
        assert abs((kernel**2).mean() - 1 / 3) < error
        if initial == "glorot":
            assert not biases[place].any()
        else:
            assert abs(biases[place]).min() > 0 and abs(biases[place]).max() <= limit
            assert len(set(biases[place])) == outputs


@pytest.mark.parametrize("initial", ["glorot", "fan_in"])
def test_a_seed_decides_the_weights_and_layers_do_not_share_them(initial):
    first, again, other = (sum(kernels_and_biases(initial=initial, seed=s), []) for s in (1, 1, 2))
    assert_same(first, again)
    assert all((one != two).any() for one, two in zip(first[:3], other[:3], strict=True))
    square = mlp(STREAM, hidden=(36, 36), initial=initial).get_weights()
    assert (square[0] != square[2]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": "fanin"}, "possible: glorot, fan_in. Did you mean fan_in?"),
        ({"hidden": (0,)}, "a layer needs at least one unit"),
        ({"dropout": 1.0}, "it must be at least 0 and below 1"),
    ],
)
def test_what_makes_no_network_is_refused(options, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        mlp(STREAM, **options)


def test_batch_norm_normalises_the_input_of_every_relu_over_the_batch():
    network = mlp(STREAM, hidden=(6, 5), batch_norm=True)
    x = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 1)).astype(np.float32)
    seen = keras.Model(network.inputs, [network.get_layer(f"norm_{k}").output for k in (0, 1)])(
        x, training=True
    )
    for units in seen:
        np.testing.assert_allclose(np.mean(units, axis=0), 0, atol=1e-4)
        spread = np.std(units, axis=0)
        np.testing.assert_allclose(spread[spread > 0.5], 1, atol=0.02)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.1307, 0.3081)])
def test_images_are_scaled_and_then_standardised(mean, std):
    network = mlp(STREAM, hidden=(4,), mean=mean, std=std)
    x = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 1)).astype(np.float32)
    scaled = keras.Model(network.inputs, network.get_layer("scale").output)(x)
    np.testing.assert_allclose(scaled, (x / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_a_deviation_that_is_not_above_0_is_refused():
    with pytest.raises(InputError, match="std is 0.0; it must be above 0"):
        mlp(STREAM, std=0.0)
