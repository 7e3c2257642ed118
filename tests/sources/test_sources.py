"""Where images come from: embedded digits, arrays and .npz files, tensorflow-datasets and their cache."""

import concurrent.futures
import contextlib
import functools
import pathlib
import shutil
import sys
import types

import numpy as np
import pytest
from tiny_records import images, prepare

from keras_cl import sources, streams
from keras_cl.errors import InputError
from keras_cl.sources import cache

# ---- digits ------------------------------------------------------------------------------------------------


def test_digits_are_split_into_1442_and_355():
    digits = sources.source("digits")
    for (x, y), rows in ((digits.train, 1442), (digits.test, 355)):
        assert x.shape == (rows, *digits.input_shape) == (rows, 8, 8, 1)
        assert x.dtype == digits.dtype == np.uint8
        assert y.shape == (rows,)
        assert y.dtype == np.int32
        assert x.min() == 0
        assert x.max() * digits.scale == 1
        assert tuple(np.unique(y)) == digits.classes == tuple(range(10))


def test_digits_keep_every_fifth_image_of_a_class_for_testing():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    digits = sources.source("digits")
    for label in range(10):
        images_of = images[labels == label].reshape(-1, 8, 8, 1)
        kept = digits.test[0][digits.test[1] == label]
        np.testing.assert_array_equal(kept, images_of[4::5])
        left = digits.train[0][digits.train[1] == label]
        assert len(kept) + len(left) == len(images_of)


def test_a_source_is_returned_as_it_is_and_read_once():
    digits = sources.source("digits")
    assert sources.source(digits) is digits
    assert digits.train[0] is digits.train[0]


# ---- arrays ------------------------------------------------------------------------------------------------


def arrays(**changed):
    """Good arrays of six 4x4 images, with some of them replaced."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (6, 4, 4)).astype(np.uint8), np.array([3, 7, 3, 7, 3, 7])
    return {"x_train": x, "y_train": y, "x_test": x[:2], "y_test": y[:2], **changed}


def floats(shape=(6, 4, 4), broken=None):
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    if broken is not None:
        x[3, 1] = broken
    return x


def test_arrays_become_a_source():
    given = arrays()
    source = sources.from_arrays(**given, name="mine")
    assert (source.name, source.input_shape, source.classes) == ("mine", (4, 4, 1), (3, 7))
    np.testing.assert_array_equal(source.train[0][..., 0], given["x_train"])
    np.testing.assert_array_equal(source.test[1], given["y_test"])
    assert source.train[1].dtype == np.int32


@pytest.mark.parametrize(("shape", "input_shape"), [((6, 5), (5,)), ((6, 4, 4, 3), (4, 4, 3))])
def test_rows_and_colour_images_keep_their_shape(shape, input_shape):
    source = sources.from_arrays(**arrays(x_train=floats(shape), x_test=floats(shape)[:2]))
    assert source.input_shape == input_shape
    assert source.train[0].shape == shape


def test_bytes_are_scaled_and_floats_are_taken_as_they_are():
    assert sources.from_arrays(**arrays()).scale == 1 / 255
    for dtype in (np.float16, np.float32, np.float64):
        x = floats().astype(dtype)
        source = sources.from_arrays(**arrays(x_train=x, x_test=x[:2]))
        assert source.scale == 1
        assert source.dtype == np.float32


def test_whole_numbers_of_any_type_are_labels():
    y = arrays()["y_train"]
    for dtype in (np.uint8, np.int64, np.float32):
        assert sources.from_arrays(**arrays(y_train=y.astype(dtype))).classes == (3, 7)


@pytest.mark.parametrize(
    ("given", "signals", "shape"),
    [
        ((6, 4, 4), False, (4, 4, 1)),
        ((6, 128, 1), False, (128, 1)),
        ((6, 128, 9), True, (128, 9)),
        ((6, 128, 1), True, (128, 1)),
        ((6, 4, 4, 3), False, (4, 4, 3)),
        ((6, 2, 4, 4, 1), False, (2, 4, 4, 1)),
        ((6, 7), False, (7,)),
    ],
)
def test_images_get_a_channel_and_signals_and_volumes_stay_as_they_are(given, signals, shape):
    x = np.random.default_rng(0).random(given).astype(np.float32)
    source = sources.from_arrays(**arrays(x_train=x, x_test=x[:2]), signals=signals)
    assert source.input_shape == source.train[0].shape[1:] == source.test[0].shape[1:] == shape
    np.testing.assert_array_equal(source.train[0].ravel(), x.ravel())


def test_signals_and_volumes_can_be_permuted():
    for shape in ((6, 1), (2, 3, 3, 1)):
        x = np.arange(6 * np.prod(shape), dtype=np.float32).reshape(6, *shape)
        stream = streams.permuted(sources.from_arrays(**arrays(x_train=x, x_test=x[:2])), tasks=2)
        one, two = (task.train.open()[0] for task in stream)
        assert two.shape == x.shape
        np.testing.assert_array_equal(one, x)
        assert not np.array_equal(two, x)
        np.testing.assert_array_equal(np.sort(two.reshape(6, -1)), np.sort(x.reshape(6, -1)))
    with pytest.raises(InputError, match="Only images can be rotated"):
        streams.rotated(sources.from_arrays(**arrays(x_train=x[..., 0, 0, :], x_test=x[:2, ..., 0, 0, :])))


BAD_ARRAYS = {
    "lengths": ({"y_train": np.zeros(5, int)}, "x_train has 6 rows and y_train has 5; they must have the"),
    "test lengths": ({"y_test": np.full(3, 3)}, "x_test has 2 rows and y_test has 3"),
    "no rows": (
        {"x_train": np.zeros((0, 4, 4), np.uint8), "y_train": np.zeros(0, int)},
        "x_train has 0 rows and y_train has 0; .* at least one",
    ),
    "no rows of floats": (
        {"x_train": np.zeros((0, 4, 4)), "y_train": np.zeros(0, int)},
        "x_train has 0 rows and y_train has 0; .* at least one",
    ),
    "one axis": ({"x_train": np.zeros(6, np.uint8)}, r"x_train has shape \(6,\); it must be \[n, height"),
    "six axes": (
        {"x_train": np.zeros((6, 1, 1, 1, 1, 1), np.uint8)},
        r"x_train has shape \(6, 1, 1, 1, 1, 1",
    ),
    "shapes differ": (
        {"x_test": np.zeros((2, 5, 4), np.uint8)},
        r"x_train holds \(4, 4, 1\) images of uint8, x_test \(5, 4, 1\) of uint8; both must be alike",
    ),
    "types differ": ({"x_test": floats()[:2]}, "images of uint8, x_test .* of float32; both must be alike"),
    "integer images": (
        {"x_train": np.zeros((6, 4, 4), int)},
        "x_train is of type int64; images must be uint8",
    ),
    "text images": ({"x_train": np.full((6, 4, 4), "a")}, "x_train is of type <U1; images must be uint8"),
    "NaN": (
        {"x_train": floats(broken=np.nan)},
        "x_train has NaN or infinite values in 1 rows, first in row 3",
    ),
    "infinity": ({"x_test": floats(broken=np.inf)}, "x_test has NaN or infinite values in 1 rows"),
    "fractions": ({"y_train": np.full(6, 0.5)}, "y_train has shape .* labels must be whole numbers"),
    "NaN labels": ({"y_train": np.full(6, np.nan)}, "labels must be whole numbers"),
    "text labels": ({"y_train": np.full(6, "cat")}, "y_train .* type <U3; labels must be whole numbers"),
    "object labels": ({"y_train": np.full(6, "cat", object)}, "type object; labels must be whole numbers"),
    "one-hot labels": ({"y_train": np.eye(6)}, r"y_train has shape \(6, 6\) .* one per row"),
    "negative label": ({"y_train": np.arange(6) - 1}, "y_train has the label -1; labels must be at least 0"),
    "huge label": ({"y_train": np.arange(6) + 2**31}, "y_train has the label 2147483648; .* below 2"),
    "unknown test label": (
        {"y_test": np.array([3, 4])},
        "y_test has the label 4, which y_train never has; known labels are 3, 7",
    ),
}


@pytest.mark.parametrize(("changed", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_unusable_arrays_are_named_in_one_sentence(changed, message):
    with pytest.raises(InputError, match=message) as error:
        sources.from_arrays(**arrays(**changed), name="mine")
    assert str(error.value).startswith("mine: ")
    assert "\n" not in str(error.value)


# ---- npz ---------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "mine.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_file_gives_the_same_source_as_its_arrays(file, save):
    save(file, **arrays())
    opened, direct = sources.source(file), sources.from_arrays(**arrays())
    assert opened.name == file
    assert (opened.input_shape, opened.classes, opened.scale) == (
        direct.input_shape,
        direct.classes,
        direct.scale,
    )
    for ours, theirs in zip(opened.train + opened.test, direct.train + direct.test, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_unusable_arrays_of_a_file_are_named_with_its_path(file):
    np.savez(file, **arrays(y_train=np.arange(6) - 1))
    with pytest.raises(InputError, match="mine.npz: y_train has the label -1"):
        sources.source(file)


def test_missing_arrays_are_listed_beside_those_there_are(file):
    given = arrays()
    np.savez(file, x_train=given["x_train"], y_test=given["y_test"], other=np.zeros(1))
    missing = "mine.npz has no y_train and no x_test; it must hold .* holds x_train, y_test, other"
    with pytest.raises(InputError, match=missing) as error:
        sources.source(file)
    assert "cannot be read" not in str(error.value)


def test_a_missing_file_is_named(file):
    with pytest.raises(InputError, match="There is no file .*mine.npz"):
        sources.source(file)


def test_pickled_objects_are_refused_and_never_run(file):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(file, **arrays(y_train=np.array([Trap()] * 6, object)))
    with pytest.raises(InputError, match="cannot be read as an .npz file of plain arrays: Object arrays"):
        sources.source(file)


def plain_npy(file):
    with open(file, "wb") as opened:
        np.save(opened, np.zeros(3))


def cut_short(file):
    np.savez(file, **arrays())
    content = pathlib.Path(file).read_bytes()
    pathlib.Path(file).write_bytes(content[: len(content) // 2])


def overwritten(at, save):
    def damage(file):
        save(file, **arrays(x_train=floats(), x_test=floats()[:2]))
        content = bytearray(pathlib.Path(file).read_bytes())
        content[at : at + 8] = b"\xff" * 8
        pathlib.Path(file).write_bytes(content)

    return damage


NOT_NPZ = {
    "empty": lambda file: pathlib.Path(file).touch(),
    "text": lambda file: pathlib.Path(file).write_text("x_train,y_train"),
    "folder": lambda file: pathlib.Path(file).mkdir(),
    "npy": plain_npy,
    "cut short": cut_short,
    "overwritten": overwritten(200, np.savez),
    "overwritten and compressed": overwritten(80, np.savez_compressed),
}


@pytest.mark.parametrize("write", NOT_NPZ.values(), ids=NOT_NPZ)
def test_what_is_not_an_npz_file_is_refused_in_one_sentence(file, write):
    write(file)
    with pytest.raises(InputError, match="mine.npz cannot be read as an .npz file of plain arrays") as error:
        sources.source(file)
    assert "\n" not in str(error.value)


# ---- tensorflow-datasets -----------------------------------------------------------------------------------


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(InputError, match="dataset 'mnits' is not known; .* Did you mean mnist?"):
        sources.source("mnits")


def test_nothing_is_read_before_the_arrays_are_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    source = sources.source("cifar100", data_dir="nowhere")
    assert source.input_shape == (32, 32, 3)
    assert source.classes == tuple(range(100))


@pytest.mark.parametrize("given_by", ["argument", "environment"])
def test_a_missing_data_set_is_one_sentence_with_both_ways_to_provide_it(tmp_path, monkeypatch, given_by):
    def builder(name, data_dir):
        raise ConnectionError("no network\nand many more lines")

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", types.SimpleNamespace(builder=builder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path if given_by == "environment" else "elsewhere"))
    data_dir = str(tmp_path) if given_by == "argument" else ""
    source = sources.source("mnist", data_dir=data_dir, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(InputError, match="The data set mnist is not in ") as error:
        _ = source.train
    message = str(error.value)
    for part in (
        str(tmp_path),
        "ConnectionError",
        "--data_dir",
        "TFDS_DATA_DIR",
        "--dataset=path/to/file.npz",
    ):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "cache").exists()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder with MNIST of four training rows and two test rows."""
    folder = tmp_path_factory.mktemp("records")
    rows = {"train": (images(4, 0, (28, 28, 1)), [0, 1, 0, 1]), "test": (images(2, 1, (28, 28, 1)), [1, 0])}
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, folder, "mnist", rows)
    return folder


@pytest.fixture
def prepared(records, tmp_path, monkeypatch):
    """A copy of prepared MNIST, and how often its records were read."""
    import tensorflow_datasets

    shutil.copytree(records, tmp_path / "data")
    library = types.SimpleNamespace(reads=[], cache=tmp_path / "cache")
    library.folder = tmp_path / "data" / "mnist" / "3.0.1"
    folders = {"data_dir": str(tmp_path / "data"), "cache_dir": str(library.cache)}
    library.open = functools.partial(sources.source, "mnist", **folders)
    opened = tensorflow_datasets.builder_from_directory

    def counted(folder):
        library.reads.append(folder)
        return opened(folder)

    monkeypatch.setattr(tensorflow_datasets, "builder_from_directory", counted)
    return library


def same(ours, theirs):
    for one, other in zip(ours.train + ours.test, theirs.train + theirs.test, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    return True


def test_the_second_open_comes_from_the_cache_without_the_library(prepared, monkeypatch):
    first = prepared.open()
    assert len(first.train[1]) == 4
    assert len(prepared.reads) == 1
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # an import now fails
    assert same(prepared.open(), first)


def test_other_prepared_data_is_not_taken_from_the_old_cache(prepared):
    _ = prepared.open().train
    info = prepared.folder / "dataset_info.json"
    info.write_text(info.read_text() + " ")
    assert len(prepared.open().train[1]) == 4
    assert len(prepared.reads) == 2


@pytest.mark.parametrize("large", [0, 2**40])
def test_large_arrays_are_mapped_and_small_ones_are_read(prepared, monkeypatch, large):
    whole = prepared.open()
    _ = whole.train
    monkeypatch.setattr(cache, "LARGE", large)
    again = prepared.open()
    assert isinstance(again.train[0].base, np.memmap) == (large == 0)
    assert same(again, whole)
    task = streams.split(again, tasks=2, scenario="class", class_order="0,1")[1]
    x, _ = task.train.open()
    np.testing.assert_array_equal(x, whole.train[0][whole.train[1] == 1])
    assert not isinstance(x.base, np.memmap)


def failing(error, calls=2):
    """A write of rows that fails in one of its calls."""
    append, done = cache._Array.append, []

    def write(self, values):
        done.append(values)
        append(self, values[:1])
        if len(done) == calls:
            raise error

    return write


def test_a_cache_write_that_fails_leaves_nothing_behind_and_costs_nothing_else(prepared, monkeypatch):
    whole = prepared.open()
    _ = whole.train
    shutil.rmtree(prepared.cache)
    monkeypatch.setattr(cache._Array, "append", failing(OSError("No space left on device")))
    assert same(prepared.open(), whole)
    assert list(prepared.cache.iterdir()) == []


def test_arrays_that_fit_nowhere_are_one_sentence(prepared, monkeypatch):
    monkeypatch.setattr(cache._Array, "append", failing(OSError(28, "No space left on device")))
    monkeypatch.setattr(cache, "_main_memory", lambda: 5000)
    with pytest.raises(
        InputError, match="cannot be written to .*cache .No space left on device.; give a folder"
    ):
        _ = prepared.open().train


def test_a_cache_write_that_is_interrupted_is_never_opened(prepared, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cache._Array, "append", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            _ = prepared.open().train
    assert list(prepared.cache.iterdir()) == []
    assert len(prepared.open().train[1]) == 4


def test_what_a_killed_process_left_is_written_anew(prepared):
    _ = prepared.open().train
    (whole,) = prepared.cache.iterdir()
    half = whole.with_name(f".{whole.name}.part")
    whole.rename(half)
    (half / "x_train.npy").write_bytes(b"half")
    assert len(prepared.open().train[1]) == 4
    assert list(prepared.cache.iterdir()) == [whole]


def test_a_cache_that_was_cut_short_is_written_anew(prepared, monkeypatch):
    monkeypatch.setattr(cache, "LARGE", 0)
    whole = prepared.open()
    x = np.array(whole.train[0])
    (folder,) = prepared.cache.iterdir()
    (folder / "x_train.npy").write_bytes((folder / "x_train.npy").read_bytes()[:500])
    np.testing.assert_array_equal(prepared.open().train[0], x)


def test_two_threads_decode_once(prepared):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: prepared.open().train, range(3)))
    assert len(prepared.reads) == 1
    for x, y in found[1:]:
        np.testing.assert_array_equal(x, found[0][0])
        np.testing.assert_array_equal(y, found[0][1])


def test_a_cache_folder_that_cannot_be_made_costs_time_not_the_run(prepared):
    prepared.cache.write_text("a file where the folder should be")
    assert len(prepared.open().train[1]) == 4
    assert len(prepared.open().train[1]) == 4
    assert len(prepared.reads) == 2


def test_progress_is_shown_of_every_row(prepared):
    shown = []

    class Told:
        @contextlib.contextmanager
        def phase(self, name, total):
            shown.append([name, total])
            yield shown[-1].append

    prepared.open().read(Told())
    assert shown == [["decoding of mnist, train", 4, 4], ["decoding of mnist, test", 2, 2]]


def cut_in_half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("damage", [cut_in_half, pathlib.Path.unlink])
def test_damaged_records_are_one_sentence(prepared, damage):
    damage(next(prepared.folder.glob("*train.tfrecord*")))
    with pytest.raises(InputError, match="mnist") as e:
        _ = prepared.open().train
    assert "\n" not in str(e.value)
    assert list(prepared.cache.iterdir()) == []


def test_a_damaged_description_is_one_sentence(prepared):
    (prepared.folder / "features.json").write_text("{}")
    with pytest.raises(InputError, match="mnist: .* has no usable features.json"):
        prepared.open()


# ---- real MNIST --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist(tfds_dir, tmp_path_factory):
    if not (pathlib.Path(tfds_dir) / "mnist").is_dir():
        pytest.skip("needs real data: TFDS_DATA_DIR has no prepared mnist")
    cache = str(tmp_path_factory.mktemp("cache"))
    source = sources.source("mnist", data_dir=tfds_dir, cache_dir=cache)
    _ = source.train
    return source, sources.source("mnist", data_dir=tfds_dir, cache_dir=cache)


def test_mnist_has_its_known_counts_and_means(mnist):
    source, _ = mnist
    for (x, y), rows, mean in ((source.train, 60000, 0.1307), (source.test, 10000, 0.1325)):
        assert x.shape == (rows, 28, 28, 1)
        assert x.dtype == np.uint8
        assert y.dtype == np.int32
        assert x.mean() * source.scale == pytest.approx(mean, abs=5e-5)
    assert np.bincount(source.train[1])[:2].sum() == 12665
    assert np.bincount(source.test[1])[:2].sum() == 2115


def test_mnist_opens_again_from_the_cache(mnist, monkeypatch):
    source, again = mnist
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert same(again, source)


def test_the_first_pair_of_split_mnist_has_its_known_size(mnist):
    first = streams.split(mnist[0], tasks=5)[0]
    assert (len(first.train), len(first.test)) == (12665, 2115)


def test_mnist_padded_by_two_is_32_by_32(mnist):
    stream = streams.permuted(mnist[0], tasks=2, pad=2)
    assert stream.input_shape == (32, 32, 1)
    assert stream[1].test.open()[0].shape == (10000, 32, 32, 1)
