"""Sizes and colours: each rule against what it is defined by, and the same for every kind of data set."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_cl import sources
from keras_cl.errors import InputError
from keras_cl.sources.images import fitted
from keras_cl.sources.reading import Reading, size_text


def images(shape=(3, 9, 12, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def changed(x, **options):
    return fitted(tf.constant(x), Reading(**options)).numpy()


@pytest.mark.parametrize("size", [(4, 6), (20, 20), (9, 12), (5, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_stretching_and_cropping_are_those_of_keras(size, dtype):
    x = images().astype(dtype)
    wanted = keras.preprocessing.image.smart_resize(x, size)
    wanted = np.rint(wanted) if dtype == np.uint8 else wanted
    cropped = changed(x, image_size=size, resizing="crop_to_aspect_ratio")
    np.testing.assert_array_equal(cropped, wanted)
    stretched = tf.image.resize(x, size).numpy()
    np.testing.assert_array_equal(
        changed(x, image_size=size), np.rint(stretched) if dtype == np.uint8 else stretched
    )
    assert cropped.dtype == dtype


@pytest.mark.parametrize("size", [(18, 18), (10, 5)])
def test_padding_to_the_ratio_of_sides_comes_before_resizing(size):
    x = images((2, 9, 12, 1))
    wide = np.pad(x, [(0, 0), *((n // 2, n - n // 2) for n in (12 * size[0] // size[1] - 9, 0)), (0, 0)])
    found = changed(x, image_size=size, resizing="pad_to_aspect_ratio")
    np.testing.assert_array_equal(found, np.rint(tf.image.resize(wide, size)))


def test_padding_scales_nothing():
    x = images((2, 28, 27, 1))
    found = changed(x, image_size=32, resizing="pad")
    np.testing.assert_array_equal(found, np.pad(x, [(0, 0), (2, 2), (2, 3), (0, 0)]))


def test_colours_become_grey_and_grey_three_equal_colours():
    x, floats = images(), images().astype(np.float32) / 255
    grey = changed(floats, color_mode="grayscale")
    np.testing.assert_allclose(grey[..., 0], floats @ [0.2989, 0.587, 0.114], rtol=1e-6)
    assert abs(changed(x, color_mode="grayscale")[..., 0] - x @ [0.2989, 0.587, 0.114]).max() <= 1
    for channels in (1, 2):
        own = images((2, 4, 4, channels))
        np.testing.assert_array_equal(changed(own, color_mode="rgb"), np.repeat(own[..., :1], 3, -1))
        np.testing.assert_array_equal(changed(own, color_mode="grayscale"), own[..., :1])
    np.testing.assert_array_equal(
        changed(images((2, 4, 4, 4)), color_mode="rgb"), images((2, 4, 4, 4))[..., :3]
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"image_size": 16, "resizing": "pad"}, (16, 16, 1)),
        ({"image_size": "4x6", "color_mode": "rgb"}, (4, 6, 3)),
        ({"color_mode": "grayscale"}, (8, 8, 1)),
    ],
)
def test_digits_and_arrays_are_changed_too(options, shape):
    digits = sources.source("digits")
    for whole in (sources.source("digits", **options), sources.source(digits, **options)):
        assert (whole.input_shape, whole.scale, whole.classes) == (shape, digits.scale, digits.classes)
        for (x, y), (x0, y0) in zip(whole.read(), digits.read(), strict=True):
            np.testing.assert_array_equal(x, changed(x0, **options))
            np.testing.assert_array_equal(y, y0)
            assert x.dtype == x0.dtype and x.shape[1:] == shape


def test_without_options_a_source_stays_as_it_is():
    digits = sources.source("digits")
    assert sources.source(digits, resizing="stretch") is digits


@pytest.mark.parametrize("given", [32, "32", "32x32", (32, 32), [32, 32], (32,)])
def test_a_size_can_be_given_in_several_ways(given):
    assert size_text(given) == "32x32"


BAD = [
    ({"image_size": "0"}, "--image_size is 0; give the number of pixels"),
    ({"image_size": "3x3x3"}, "--image_size is 3x3x3; "),
    ({"image_size": "-3"}, "--image_size is -3; "),
    ({"image_size": 99999}, "--image_size is 99999; .* from 1 to 32768"),
    ({"resizing": "pad"}, "--resizing is pad, and there is no --image_size"),
    (
        {"resizing": "crop_to_aspect", "image_size": 4},
        "resizing 'crop_to_aspect' is not known; .* Did you mean crop_to",
    ),
    ({"color_mode": "gray"}, "color_mode 'gray' is not known; possible: grayscale, rgb. Did you mean gray"),
    ({"image_size": 4, "resizing": "pad"}, "digits has images of 8x8 pixels, which --resizing=pad cannot"),
    ({"train_split": "train"}, "--train_split is for tensorflow-datasets and folders of images, and digits"),
    ({"train_split": "a", "test_split": "a"}, "--train_split and --test_split are both a"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        sources.source("digits", **options)


def test_rows_that_are_no_images_have_no_size():
    x, y = np.zeros((4, 5), np.float32), np.arange(4) % 2
    with pytest.raises(InputError, match="--image_size is for images; the rows of arrays are not images."):
        sources.source(sources.from_arrays(x, y, x, y), image_size=4)
