"""Any set of tensorflow-datasets: what it is, without decoding it, and which rows are read."""

import json
import shutil
import sys

import numpy as np
import pytest
from tiny_records import images, prepare

from keras_cl import sources
from keras_cl.errors import InputError

LABELS = np.tile([0, 1], 15)  # of eurosat


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared: eurosat (training rows), imagenet_resized/64x64 (no test rows), food101 (of any size)."""
    place = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(3)
    foods = [rng.integers(0, 256, [5 + n, 9 - n, 3], dtype=np.uint8) for n in range(4)]
    large = images(4, 2, (64, 64, 3))
    with pytest.MonkeyPatch.context() as patch:
        eurosat = images(30, 1, (64, 64, 3)), LABELS
        prepare(patch, place, "eurosat", {"train": eurosat})
        pairs = {"train": (large, [7, 8, 7, 8]), "validation": (large[:2], [8, 7])}
        prepare(patch, place, "imagenet_resized/64x64", pairs)
        prepare(patch, place, "food101", {"train": (foods, [0, 1, 0, 1]), "validation": (foods[:2], [0, 1])})
    shutil.copytree(place / "imagenet_resized" / "64x64", place / "imagenet_resized" / "8x8")
    return place


@pytest.fixture
def read(folder, tmp_path):
    folders = {"data_dir": str(folder), "cache_dir": str(tmp_path)}
    return lambda name, **options: sources.source(name, **folders, **options)


def test_shape_and_classes_are_known_without_the_library(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    source = read("imagenet_resized/64x64")
    assert (source.input_shape, len(source.classes), len(source.class_names)) == ((64, 64, 3), 1000, 1000)
    source = read("food101", image_size=4, color_mode="grayscale")
    assert (source.input_shape, len(source.classes)) == ((4, 4, 1), 101)


def test_validation_rows_are_for_testing_where_there_are_no_test_rows(read):
    source = read("imagenet_resized/64x64")
    assert sorted(source.train[1].tolist()) == [7, 7, 8, 8]
    assert sorted(source.test[1].tolist()) == [7, 8]
    large = {image.tobytes() for image in images(4, 2, (64, 64, 3))}
    assert {image.tobytes() for image in source.train[0]} == large


def test_a_split_is_shared_as_told(read):
    source = read("eurosat:2.0.0", train_split="train[:20]", test_split="train[20:]")
    assert (len(source.train[1]), len(source.test[1])) == (20, 10)
    known = {image.tobytes(): label for image, label in zip(images(30, 1, (64, 64, 3)), LABELS, strict=True)}
    rows = [*zip(*source.train, strict=True), *zip(*source.test, strict=True)]
    assert {image.tobytes(): label for image, label in rows} == known
    other = read("eurosat", train_split="train[:60%]", test_split="train[60%:]")
    assert len(other.train[1]) == 18  # and not what the cache has of the other split


def test_images_of_any_size_get_one(read):
    source = read("food101", image_size=16, resizing="pad")
    rng = np.random.default_rng(3)
    wanted = {rng.integers(0, 256, [5 + n, 9 - n, 3], dtype=np.uint8).shape for n in range(4)}
    assert {(x.any((1, 2)).sum(), x.any((0, 2)).sum(), 3) for x in source.train[0]} == wanted


BAD = {
    "no test rows": (
        "eurosat",
        {},
        r"eurosat has no split test, only train; give --test_split, .*=train\[80%:\]",
    ),
    "other split": (
        "eurosat",
        {"train_split": "trian"},
        "has no split trian, only train; .* Did you mean train",
    ),
    "same rows": ("eurosat", {"test_split": "train"}, "--train_split and --test_split are both train"),
    "no slice": (
        "eurosat",
        {"train_split": "train[:x]", "test_split": "train[9:]"},
        "eurosat in .* cannot be read",
    ),
    "sizes": ("food101", {}, "The images of food101 differ in size; give --image_size"),
    "missing classes": (
        "eurosat",
        {"train_split": "train[:29]", "test_split": "train[29:]"},
        r"eurosat has no test rows of 1 of its classes: \d \(",
    ),
    "configuration": (
        "imagenet_resized",
        {},
        "has configurations; .* as --dataset=imagenet_resized/64x64, 8x8",
    ),
    "no such configuration": (
        "imagenet_resized/65x65",
        {},
        "has no configuration 65x65; .* Did you mean 64x64",
    ),
    "version": ("eurosat:9.9.9", {}, "eurosat has no version 9.9.9; possible: 2.0.0"),
    "name": ("eurosta", {}, "dataset 'eurosta' is not known; .* Did you mean eurosat"),
    "boxes": (
        "voc",
        {},
        r"voc is no data set for the classification .* objects \(sequences\); needed are one",
    ),
    "film": (
        "moving_mnist",
        {},
        r"image_sequence \(sequences of images\); needed are one image and one class",
    ),
    "text": ("ag_news_subset", {}, r"ag_news_subset is no .* description \(text\), label \(class labels\)"),
}


@pytest.mark.parametrize(("name", "options", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_sentence(read, name, options, message):
    with pytest.raises(InputError, match=message) as error:
        _ = read(name, **options).train
    assert "\n" not in str(error.value)


def test_the_newest_version_is_read_unless_one_is_named(folder, tmp_path):
    for version in ("2.0.0", "10.0.0"):
        shutil.copytree(folder / "eurosat" / "rgb" / "2.0.0", tmp_path / "eurosat" / version)
    features = tmp_path / "eurosat" / "10.0.0" / "features.json"
    described = json.loads(features.read_text())
    described["featuresDict"]["features"]["image"]["image"]["shape"]["dimensions"] = ["8", "8", "3"]
    features.write_text(json.dumps(described))
    options = {"train_split": "train[:20]", "test_split": "train[20:]", "data_dir": str(tmp_path)}
    assert sources.source("eurosat", **options).input_shape == (8, 8, 3)
    assert sources.source("eurosat:2.0.0", **options).input_shape == (64, 64, 3)


def test_damaged_images_of_records_are_named_by_row(folder, tmp_path, monkeypatch):
    import tensorflow as tf

    shutil.copytree(folder / "eurosat", tmp_path / "eurosat")
    (file,) = (tmp_path / "eurosat" / "rgb" / "2.0.0").glob("*.tfrecord*")
    rows = [row.numpy() for row in tf.data.TFRecordDataset(str(file))]
    rows[4] = rows[4].replace(b"IDAT", b"XDAT")
    with tf.io.TFRecordWriter(str(file)) as written:
        for row in rows:
            written.write(row)
    options = {"train_split": "train[:20]", "test_split": "train[20:]", "data_dir": str(tmp_path)}
    source = sources.source("eurosat", cache_dir=str(tmp_path / "cache"), **options)
    with pytest.raises(InputError, match=r"Row 4 of the split train\[:20\] of eurosat in .* is no image"):
        _ = source.train
    source = sources.source("eurosat", cache_dir=str(tmp_path / "cache"), skip_damaged=True, **options)
    with pytest.warns(UserWarning, match="1 image does not decode: Row 4"):
        assert len(source.train[1]) == 19
