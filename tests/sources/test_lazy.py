"""Images that are read when rows of them are asked for are those of an array in memory."""

import mmap

import numpy as np
import pytest
from helpers import blobs

from keras_cl import sources, streams
from keras_cl.devices import ram
from keras_cl.errors import InputError
from keras_cl.sources import ahead, lazy
from keras_cl.sources.lazy import LazyArray, joined, mapped, selected

ROWS = np.array([3, 0, 7, 7, 2])


def doubled(x):
    return 2 * x


@pytest.fixture
def base(tmp_path):
    """An array of rows of several pages, mapped from a file, and the same in memory."""
    whole = np.random.default_rng(0).integers(0, 100, (10, 3000, 2), np.uint8)
    np.save(tmp_path / "x.npy", whole)
    return np.asarray(np.load(tmp_path / "x.npy", mmap_mode="r")), whole


@pytest.fixture
def pair(base):
    """A `LazyArray`, and what it has to be."""
    return LazyArray.of(base[0], ROWS, doubled, (3000, 2)), 2 * base[1][ROWS]


@pytest.mark.parametrize(
    "key",
    [2, -1, slice(1, 3), slice(None, None, -2), [4, 0], np.array([[0, 1], [4, 4]]), ROWS > 2, ..., ROWS < 0],
)
def test_rows_are_those_of_the_array(pair, key):
    x, whole = pair
    np.testing.assert_array_equal(x[key], whole[key], strict=True)


def test_what_is_said_of_it_is_that_of_the_array(pair):
    x, whole = pair
    assert (x.shape, x.dtype, x.ndim, x.nbytes, len(x)) == (whole.shape, np.uint8, 3, whole.nbytes, 5)
    np.testing.assert_array_equal(np.asarray(x), whole, strict=True)
    np.testing.assert_array_equal([*x], whole)
    assert np.asarray(x, np.float32).dtype == np.float32
    with pytest.raises(InputError, match="whole images"):
        x[:, 0]
    with pytest.raises(IndexError):
        x[5]


def test_all_of_it_is_read_in_blocks(pair, monkeypatch):
    x, whole = pair
    monkeypatch.setattr(lazy, "BLOCK", 2 * whole[0].nbytes)
    read = []
    watched = mapped(x, lambda block: read.append(len(block)) or block, x.shape[1:], x.dtype)
    np.testing.assert_array_equal(np.asarray(watched), whole)
    assert read == [2, 2, 1]
    assert lazy.extremes(watched) == (whole.min(), whole.max())


def test_choice_change_and_union_read_nothing(base):
    def none(rows):
        raise AssertionError("read")

    x = LazyArray(none, np.arange(4), (2,), np.uint8)
    many = joined([selected(mapped(x, doubled, (2,), np.uint8), [2, 0]), np.zeros((3, 2), np.uint8)])
    assert many.shape == (5, 2)
    with pytest.raises(AssertionError, match="read"):
        many[0]
    np.testing.assert_array_equal(many[2:], np.zeros((3, 2)))


def test_choice_change_and_union_are_those_of_arrays(pair):
    x, whole = pair
    order = np.array([[1, 8], [7, 0], [5, 5]])
    np.testing.assert_array_equal(selected(x, slice(1, 4))[[2, 0]], selected(whole, slice(1, 4))[[2, 0]])
    both = joined([selected(x, [4, 1]), whole, mapped(x, doubled, x.shape[1:], x.dtype)])
    np.testing.assert_array_equal(both[order], np.concatenate([whole[[4, 1]], whole, 2 * whole])[order])
    assert joined([whole]) is whole
    assert isinstance(joined([whole, whole]), np.ndarray)


def test_infinite_and_missing_values_are_extremes(monkeypatch):
    monkeypatch.setattr(lazy, "BLOCK", 8)
    assert lazy.extremes(np.array([[1.0], [-2.0], [5.0]])) == (-2, 5)
    assert np.isnan(lazy.extremes(np.array([[1.0], [np.nan], [5.0]]))).all()


class Mapping:
    """Stands for the mapping of a file, and notes what of it the system is told."""

    def __init__(self, there):
        self.there, self.told, self.around = there, [], []

    def madvise(self, advice, *part):
        if advice == mmap.MADV_WILLNEED:
            self.told.append(part)
        else:
            self.around.append(advice == mmap.MADV_NORMAL)
        self.there.madvise(advice, *part)


def test_the_disk_is_told_the_pages_of_a_block_after_one_that_was_slow(base, monkeypatch):
    read = ahead.reader(base[0])
    assert isinstance(read._mapping, mmap.mmap)
    read._mapping = mapping = Mapping(read._mapping)
    monkeypatch.setattr(ahead, "FAST", np.inf)  # every block is slow
    np.testing.assert_array_equal(read(np.array([9, 1, 0, 1])), base[1][[9, 1, 0, 1]])
    header, page = 128, mmap.PAGESIZE
    behind, last = header + 2 * 6000, (header + 9 * 6000) // page * page
    assert mapping.told == [(0, behind), (last, header + 60000 - last)]
    monkeypatch.setattr(ahead, "FAST", 0)  # none is
    for _ in range(3):  # only the first comes after a slow one
        np.testing.assert_array_equal(read(np.array([5])), base[1][[5]])
        assert len(mapping.told) == 3
    assert mapping.around == 4 * [False, True]  # what lies around a row is left alone within a call only


def test_the_rest_of_a_block_is_told_if_its_first_rows_were_not_there(base, monkeypatch):
    monkeypatch.setattr(ahead, "PROBE", 2 * 6000)
    read = ahead.reader(base[0])
    read._mapping, read._slow = mapping, _ = Mapping(read._mapping), False
    rows, page = np.array([7, 9, 2, 0, 2]), mmap.PAGESIZE
    monkeypatch.setattr(ahead, "FAST", 0)
    np.testing.assert_array_equal(read(rows), base[1][rows])
    assert mapping.told == []
    monkeypatch.setattr(ahead, "FAST", np.inf)
    np.testing.assert_array_equal(read(rows), base[1][rows])
    second = (128 + 2 * 6000) // page * page
    assert mapping.told == [(0, 128 + 6000), (second, 128 + 3 * 6000 - second)]
    np.testing.assert_array_equal(read(rows[:0]), base[1][:0])


def test_parts_of_a_mapped_array_are_told_and_read_where_they_are(base):
    read = ahead.reader(base[0][4:])
    read._mapping = mapping = Mapping(read._mapping)
    np.testing.assert_array_equal(read(np.array([2])), base[1][[6]])
    first = (128 + 6 * 6000) // mmap.PAGESIZE * mmap.PAGESIZE
    assert mapping.told == [(first, 128 + 7 * 6000 - first)]
    np.testing.assert_array_equal(ahead.reader(base[0][:, ::2])([1]), base[1][[1], ::2])


# ---- tasks -----------------------------------------------------------------------------------------------


def image_sets():
    grey, colour = (
        blobs((8, 8), shape=shape, seed=place) for place, shape in enumerate([(6, 6, 1), (8, 9, 3)])
    )
    return [sources.from_arrays(**arrays, name=name) for name, arrays in (("grey", grey), ("colour", colour))]


STREAMS = {
    "permuted": lambda one, two: streams.permuted(one, tasks=2, pad=1, valid_fraction=0.2),
    "rotated": lambda one, two: streams.rotated(one, tasks=2, interpolation="bilinear"),
    "split": lambda one, two: streams.split(one, tasks=2, scenario="class", valid_fraction=0.2),
    "blurry": lambda one, two: streams.blurry(one, tasks=2, scenario="class", exchanged=50),
    "corrupted": lambda one, two: streams.corrupted(one, tasks=3),
    "datasets": lambda one, two: streams.datasets([one, two], valid_fraction=0.2),
}


PARTS = ("train", "valid", "test")


@pytest.mark.parametrize("name", STREAMS)
def test_a_large_task_has_the_images_of_a_small_one(name, monkeypatch):
    def splits():  # each time of a stream that has kept no test images
        return [
            task.stream.split(task.index, part) for task in STREAMS[name](*image_sets()) for part in PARTS
        ]

    whole = [split.open() for split in splits()]
    unread = [(split.unread or split.open)() for split in splits()]
    assert all(isinstance(x, np.ndarray) for x, _ in whole)
    monkeypatch.setattr(ram, "largest_whole", lambda: 0)
    large = [split.open() for split in splits()]
    for (x, y), *others in zip(whole, unread, large, strict=True):
        for found, units in others:
            np.testing.assert_array_equal(np.asarray(found), x, strict=True)
            np.testing.assert_array_equal(units, y, strict=True)
            assert isinstance(found, LazyArray) or name == "corrupted" or not len(x)


def test_images_are_read_as_a_whole_up_to_an_eighth_of_main_memory(monkeypatch):
    stream = streams.split(image_sets()[0], tasks=2, scenario="class")
    size = len(stream[0].train) * 37  # bytes of images and a label
    for memory, kind in ((8 * size, np.ndarray), (8 * size - 8, LazyArray)):
        monkeypatch.setattr(ram, "main_memory", lambda memory=memory: memory)
        assert type(stream[0].train.open()[0]) is kind


def test_noise_that_fits_nowhere_is_one_sentence(monkeypatch):
    stream = streams.corrupted(image_sets()[0], tasks=2)
    monkeypatch.setattr(ram, "main_memory", lambda: 100)
    assert isinstance(stream[0].train.open()[0], LazyArray)
    with pytest.raises(
        InputError, match="The 16 images of task 2, whose noise .* give tasks of fewer images"
    ):
        stream[1].train.open()
