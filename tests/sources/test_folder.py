"""Folders of images: what is read, in which order, and what is refused by name."""

import shutil
import struct

import numpy as np
import pytest
import tensorflow as tf

from keras_cl import sources
from keras_cl.errors import InputError, Notice
from keras_cl.settings import flags
from keras_cl.settings.build import make_stream, stream_of
from keras_cl.settings.config import Config

CLASSES = ("ant", "cat", "dog")
ENCODED = {".png": tf.io.encode_png, ".jpg": tf.io.encode_jpeg}


def image(seed, shape=(8, 10, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ENCODED[path.suffix](x).numpy())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three classes of four training images and two test images."""
    folder = tmp_path_factory.mktemp("images") / "pets"
    for label, name in enumerate(CLASSES):
        for row in range(4):
            save(folder / "train" / name / f"{row}.png", image(10 * label + row))
        for row in range(2):
            save(folder / "test" / name / f"{row}.png", image(100 + 10 * label + row))
    return folder


@pytest.fixture
def pets(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "pets")
    return tmp_path / "pets"


@pytest.fixture
def read(tmp_path):
    return lambda folder, **options: sources.source(folder, cache_dir=str(tmp_path / "cache"), **options)


def test_images_are_the_pixels_of_the_files_by_class_and_name(whole, read):
    source = read(whole)
    assert (source.input_shape, source.classes, source.class_names) == ((8, 10, 3), (0, 1, 2), CLASSES)
    (x, y), (x_test, y_test) = source.train, source.test
    np.testing.assert_array_equal(x, [image(10 * label + row) for label in range(3) for row in range(4)])
    np.testing.assert_array_equal(x_test, [image(100 + 10 * k + row) for k in range(3) for row in range(2)])
    assert y.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and y_test.tolist() == [0, 0, 1, 1, 2, 2]
    assert (x.dtype, y.dtype, source.scale) == (np.uint8, np.int32, 1 / 255)


def bitmap(x):
    """The content of a .bmp file of an image whose width is a multiple of 4."""
    height, width, _ = x.shape
    head = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + x.nbytes, 0, 54, 40, width, height, 1, 24, *[0] * 6)
    return head + np.ascontiguousarray(x[::-1, :, ::-1]).tobytes()


def test_folders_within_classes_and_other_files_are_taken_as_keras_does(pets, read):
    save(pets / "train" / "ant" / "more" / "9.jpg", image(9))
    (pets / "train" / "ant" / "notes.txt").write_text("no image")
    (pets / "train" / ".hidden").mkdir()
    (pets / "train" / "cat" / "9.BMP").write_bytes(bitmap(image(8, (10, 8, 3))))
    x, y = read(pets, image_size="10x8").train
    assert np.bincount(y).tolist() == [5, 5, 4]
    np.testing.assert_array_equal(x[9], image(8, (10, 8, 3)))


def test_an_edited_image_is_read_again(pets, read):
    _ = read(pets).train
    save(pets / "train" / "ant" / "0.png", image(77))
    np.testing.assert_array_equal(read(pets).train[0][0], image(77))


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_image_that_does_not_decode_is_named_or_left_out(pets, read, content):
    broken = pets / "train" / "dog" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60] if content is None else content)
    with pytest.raises(InputError, match="train/dog/1.png is no image .*; --skip_damaged leaves such"):
        _ = read(pets).train
    for _ in range(2):  # the second time from the cache
        with pytest.warns(Notice, match="1 image does not decode: .*train/dog/1.png; left out."):
            x, y = read(pets, skip_damaged=True).train
        assert np.bincount(y).tolist() == [4, 4, 3]
        np.testing.assert_array_equal(x[-3:], [image(20), image(22), image(23)])
    with pytest.raises(InputError, match="1 image does not decode: .*1.png; --skip_damaged goes on without"):
        _ = read(pets).train


def without(*places):
    return lambda pets: [shutil.rmtree(pets / place) for place in places]


def with_image(name, shape):
    return lambda pets: save(pets / name, image(0, shape))


def with_file(name, content=b""):
    return lambda pets: (pets / name).write_bytes(content)


def without_images(pets):
    for file in (pets / "train" / "ant").iterdir():
        file.unlink()


def all_broken(pets):
    for file in (pets / "test" / "cat").iterdir():
        file.write_bytes(b"")


BAD = {
    "one class": (without("train/ant", "train/dog"), {}, "train has the class cat alone; at least two"),
    "no classes": (
        without(*(f"train/{c}" for c in CLASSES)),
        {},
        "train has no folders of classes; at least",
    ),
    "no test": (without("test"), {}, "has no subfolder test; images belong into train/<class>/ and test/<cl"),
    "other name": (without("test"), {"test_split": "trian"}, "has no subfolder trian; .* Did you mean train"),
    "untested": (without("test/ant"), {}, "the class ant is in .*train and not in .*test"),
    "untrained": (without("train/ant"), {}, "the class ant is in .*test and not in .*train"),
    "empty class": (without_images, {}, "The folder .*train/ant has no images; possible: .png"),
    "sizes": (
        with_image("train/dog/4.png", (9, 8, 3)),
        {},
        "dog/4.png has 9x8 pixels and others have 8x10 pixels; give --image_size",
    ),
    "grey": (
        with_image("train/dog/4.png", (8, 10, 1)),
        {},
        "dog/4.png has grey pixels and others have colours; give --color_mode",
    ),
    "grey of a size": (
        with_image("test/dog/4.png", (8, 10, 1)),
        {"image_size": 4},
        "grey pixels .* give --color_mode",
    ),
    "alpha": (
        with_image("train/ant/0.png", (8, 10, 4)),
        {},
        "ant/0.png has an alpha channel; give --color_mode=rgb or",
    ),
    "format": (
        with_file("train/ant/0.webp"),
        {},
        "ant/0.webp is of a kind that cannot be decoded; possible: .png",
    ),
    "padded": (
        with_image("train/dog/4.png", (8, 40, 3)),
        {"image_size": 16, "resizing": "pad"},
        "has 8x40 pixels: --resizing=pad makes no image smaller",
    ),
    "nothing left": (all_broken, {"skip_damaged": True}, r"has no test rows of 1 of its classes: 1 \(cat\)"),
}


@pytest.mark.filterwarnings("ignore::keras_cl.errors.Notice")
@pytest.mark.parametrize(("change", "options", "message"), BAD.values(), ids=BAD)
def test_unusable_folders_are_one_sentence(pets, read, change, options, message):
    change(pets)
    with pytest.raises(InputError, match=message) as error:
        _ = read(pets, **options).train
    assert "\n" not in str(error.value)


def test_sizes_and_colours_can_differ_by_a_stated_rule(pets, read):
    save(pets / "train" / "dog" / "4.png", image(5, (6, 5, 1)))
    save(pets / "train" / "dog" / "5.png", image(6, (9, 9, 4)))
    x, _ = read(pets, image_size="8x10", color_mode="rgb", resizing="stretch").train
    np.testing.assert_array_equal(x[0], image(0))  # which has this size
    assert (x[12, ..., 0] == x[12, ..., 2]).all()
    x, _ = read(pets, image_size=12, color_mode="grayscale", resizing="pad").train
    np.testing.assert_array_equal(x[12, 3:9, 3:8], image(5, (6, 5, 1)))
    assert x[12].sum() == image(5, (6, 5, 1)).sum()


def test_a_run_knows_its_folder(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--stream=split", "--tasks=3", "--scenario=class", "--dataset=pets", "--image_size=4"]
    config = flags.parse(["main", *given, "--color_mode=grayscale", f"--cache_dir={tmp_path / 'cache'}"])
    assert config.name.startswith("ewc-split-pets-class")
    stream = make_stream(config)
    assert (stream.name, stream.input_shape, stream.num_classes) == ("split pets", (4, 4, 1), 3)
    assert stream_of(config.settings, cache_dir=config.cache_dir).input_shape == (4, 4, 1)
    assert Config(dataset="pets", image_size="4x4").image_size == config.image_size
    (pets / "train" / "ant" / "0.png").unlink()
    with pytest.raises(InputError, match="pets has changed since this run was started"):
        stream_of(config.settings)


def test_a_folder_is_no_module_and_names_come_first(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pets.rename(tmp_path / "my.pets")
    assert make_stream(Config(dataset="my.pets", tasks=2)).source.class_names == CLASSES
    (tmp_path / "digits").mkdir()
    assert sources.source("digits").input_shape == (8, 8, 1)
    with pytest.raises(InputError, match="dataset './nowhere' is not known, and there is no such folder"):
        sources.source("./nowhere")


def test_a_run_is_known_by_the_images_alone_and_other_files_are_not_looked_at(pets):
    before = Config(dataset=str(pets)).settings["dataset_sha256"]
    (pets / "notes.txt").write_text("not an image")
    (pets / "train" / "link").symlink_to("nowhere")
    (pets / "train" / "ant" / "gone.txt").symlink_to("nowhere")
    assert Config(dataset=str(pets)).settings["dataset_sha256"] == before
    save(pets / "train" / "ant" / "9.png", image(9))
    assert Config(dataset=str(pets)).settings["dataset_sha256"] != before
