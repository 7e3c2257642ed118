"""Models of keras.applications: their images, their weights from a file, and what is refused."""

import sys

import keras as keras3
import numpy as np
import pytest
import tf_keras as keras
from helpers import assert_same, blobs, silent
from processes import small

from keras_cl import sources, streams, train
from keras_cl.errors import InputError
from keras_cl.learning import loop
from keras_cl.networks import applications
from keras_cl.networks.applications import Preprocessing, load, names, reseed

SMALLEST = {"model": "MobileNet"}


def stream_of(side=32, channels=1, dtype=np.uint8):
    arrays = blobs([4] * 4, side=side, dtype=dtype)
    arrays = {n: np.repeat(a, channels, axis=3) if n[0] == "x" else a for n, a in arrays.items()}
    return streams.split(sources.from_arrays(**arrays), tasks=2, scenario="class")


@pytest.fixture(scope="module")
def frozen():
    return applications(stream_of(), **SMALLEST, frozen=True, seed=1)


@pytest.fixture(scope="module")
def backbone(frozen):
    return next(layer for layer in frozen.layers if isinstance(layer, keras.Model))


@pytest.mark.parametrize(
    "model", ["MobileNetV2", "DenseNet121", "VGG16", "EfficientNetB0", "MobileNetV3Small"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_preprocessed_as_the_model_wants_it(model, channels):
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 4, channels)).astype(np.float32)
    colour = np.repeat(x, 3 // channels, axis=3)
    module = sys.modules[getattr(keras.applications, model).__module__]
    expected = module.preprocess_input(colour.copy())
    np.testing.assert_allclose(Preprocessing(model, 1 / 255)(x), expected, atol=1e-3)
    np.testing.assert_allclose(Preprocessing(model, 1.0)(x / 255), expected, atol=1e-3)


def test_logits_come_from_the_pooled_features_of_the_model(frozen, backbone):
    x, _ = stream_of()[0].train.open()
    images = keras.applications.mobilenet.preprocess_input(np.repeat(x, 3, axis=3).astype(np.float32))
    features = np.mean(backbone(images, training=False), axis=(1, 2))
    head = frozen.layers[-1]
    expected = features @ head.kernel.numpy() + head.bias.numpy()
    assert expected.shape == (len(x), 4)
    np.testing.assert_allclose(frozen(x.astype(np.float32)), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(frozen(x.astype(np.float32), training=True), frozen(x.astype(np.float32)))


def test_a_frozen_model_trains_its_head_alone(frozen, backbone):
    assert [v.shape.as_list() for v in frozen.trainable_variables] == [[1024, 4], [4]]
    assert not loop.prefers_xla(frozen) and len(backbone.weights) == len(frozen.weights) - 2


def miniature(Keras=keras):
    """A backbone as small as can be, with a layer of each kind that has weights."""
    parts = Keras.layers
    return Keras.Sequential(
        [
            Keras.Input((8, 8, 3)),
            parts.Conv2D(2, 3, name="conv"),
            parts.BatchNormalization(name="norm"),
            parts.DepthwiseConv2D(3, name="depthwise"),
            parts.SeparableConv2D(2, 3, name="separable"),
        ],
        name="miniature",
    )


def test_a_seed_decides_all_random_weights():
    one, again, other = miniature(), miniature(), miniature()
    for made, seed in ((one, 1), (again, 1), (other, 2)):
        reseed(made, seed)
    assert_same(one.get_weights(), again.get_weights())
    pairs = list(zip(one.get_weights(), other.get_weights(), strict=True))
    assert [weight.ndim == 4 for weight, _ in pairs] == [(a != b).any() for a, b in pairs]


@pytest.mark.slow
def test_small_images_are_resized_and_colours_stay():
    network = applications(stream_of(side=8, channels=3), **SMALLEST, resize=32, dropout=0.5)
    assert network.input_shape == (None, 8, 8, 3) and network.output_shape == (None, 4)
    assert len(network.trainable_variables) > 2


def saved(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return str(path)


FILES = ["backbone.weights.h5", "backbone.h5", "backbone.keras"]


def random_weights(model):
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1, weight.shape).astype(weight.dtype) for weight in model.get_weights()]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("Keras", [keras, keras3], ids=["tf_keras", "Keras 3"])
def test_weights_come_from_every_file_that_keras_writes(Keras, file, tmp_path):
    other, backbone = miniature(Keras), miniature()
    other.set_weights(random_weights(backbone))
    load(backbone, saved(other, tmp_path / file), "miniature")
    assert_same(backbone.get_weights(), random_weights(backbone))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["MobileNetV2", "ConvNeXtTiny", "EfficientNetB0"])
@pytest.mark.parametrize("Keras", [keras, keras3], ids=["tf_keras", "Keras 3"])
def test_weights_of_a_whole_model_come_from_its_file(Keras, model, tmp_path):
    other = getattr(Keras.applications, model)(include_top=False, weights=None, input_shape=(32, 32, 3))
    other.set_weights(random_weights(other))
    for file in FILES:
        network = applications(stream_of(), model=model, weights=saved(other, tmp_path / file))
        assert_same(network.get_weights()[:-2], random_weights(other))


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_another_model_is_refused(file, tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="does not have the weights of miniature without its top"):
        load(miniature(), saved(other, tmp_path / file), "miniature")
    (tmp_path / file).write_text("no weights")
    with pytest.raises(InputError, match="does not have the weights of miniature without its top"):
        load(miniature(), str(tmp_path / file), "miniature")


@pytest.mark.parametrize(
    ("stream", "options", "message"),
    [
        ({}, {"model": "MobileNetv2"}, "possible: ConvNeXtBase, .* Did you mean MobileNetV2?"),
        ({"side": 8}, {}, "images of at least 32x32, and .* are 8x8; give --network.resize=32"),
        ({}, {"model": "Xception"}, "images of at least 71x71, and .* are 32x32; give --network.resize=71"),
        ({"channels": 2}, {}, "grey or RGB images"),
        ({}, {"weights": "imagenet"}, "no file that ends in .weights.h5.*; nothing is downloaded"),
        ({}, {"weights": "nowhere.h5"}, "no file that ends in .weights.h5"),
        ({}, {"resize": -1}, "resize is -1"),
        ({}, {"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_what_makes_no_network_is_refused(stream, options, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        applications(stream_of(**stream), **SMALLEST | options)


@pytest.mark.slow
def test_stochastic_depth_is_off():
    network = applications(stream_of(), model="EfficientNetB0")
    layers = {type(layer).__name__ for layer in network.submodules}
    assert "Conv2D" in layers and not {"Dropout", "FixedDropout"} & layers


def test_every_name_is_a_model():
    assert {"MobileNetV2", "ResNet50", "VGG16", "ConvNeXtTiny", "EfficientNetB0"} <= set(names())
    assert all(name in names() for name in vars(keras3.applications) if name[0].isupper())


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_the_command_trains_one_and_repeats_it(frozen, tmp_path):
    options = {"network.model": "MobileNetV2", "network.frozen": frozen, "network.resize": 32}
    np.savez(tmp_path / "blobs.npz", **blobs([8] * 4, side=8))
    for folder in ("whole", "again"):
        given = {"dataset": str(tmp_path / "blobs.npz"), "network": "applications", "options": options}
        train.run(small(tmp_path / folder, **given), display=silent())
    assert (tmp_path / "whole/run/matrix.csv").read_text() == (tmp_path / "again/run/matrix.csv").read_text()
    assert (tmp_path / "whole/models/run/2/saved_model.pb").exists()
