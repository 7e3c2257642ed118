"""Data sets of tensorflow-datasets, read from small records that its own builders wrote."""

import numpy as np
import pytest
from tiny_records import images, prepare

from keras_cl import sources, streams
from keras_cl.sources.imagenet50 import PLACES


def paired(x, y):
    """The label of each image."""
    return {image.tobytes(): label for image, label in zip(x, y.tolist(), strict=True)}


@pytest.mark.parametrize("name", ["cifar10", "svhn_cropped"])
def test_records_become_the_rows_that_they_were_written_of(tmp_path, monkeypatch, name):
    written = {"train": (images(20, 0), np.arange(20) % 10), "test": (images(10, 1), np.arange(10))}
    prepare(monkeypatch, tmp_path / "data", name, written)
    source = sources.source(name, data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    for pair, wanted in zip((source.train, source.test), written.values(), strict=True):
        assert paired(*pair) == paired(*wanted)
        assert pair[0].dtype == np.uint8
    first = streams.split(source, tasks=10, scenario="class")[0]
    assert (len(first.train), len(first.test)) == (2, 1)


def test_imagenet50_has_the_classes_of_the_released_program_in_its_order(tmp_path, monkeypatch):
    labels = np.arange(1000)
    written = {"train": (images(1000, 0), labels), "validation": (images(1000, 1), labels[::-1])}
    names = prepare(monkeypatch, tmp_path / "data", "imagenet_resized/32x32", written)
    folders = {"data_dir": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache")}
    source = sources.source("imagenet50", **folders)
    wanted = [sorted(names)[100 * task + place] for task in range(5) for place in PLACES]
    for (x, y), pair in zip((source.train, source.test), written.values(), strict=True):
        known = paired(*pair)
        assert len(x) == 50 and [names[known[image.tobytes()]] for image in x[np.argsort(y)]] == wanted
        assert sorted(y) == list(source.classes) and x.shape[1:] == source.input_shape
    stream = streams.split(source, tasks=5, scenario="class")
    assert [len(task.train) for task in stream] == [10] * 5
    again = sources.source("imagenet50", **folders)  # from the cache
    np.testing.assert_array_equal(again.train[0], source.train[0])


def test_imagenet50_is_known_before_it_is_read():
    source = sources.source("imagenet50", data_dir="nowhere")
    assert source.input_shape == (32, 32, 3) and source.classes == tuple(range(50))
