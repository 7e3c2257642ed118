"""StatisticsGen: numbers that NumPy confirms, images that come again, and rows with something missing."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tiny_examples import CLASSES, ROWS, row_of, tasks_of, write_examples

from keras_cl.errors import InputError
from pipelines.artifacts import BESIDE, produced, verified
from pipelines.components.statistics_gen import read_statistics, statistics_gen
from pipelines.validation.findings import feature_of_data, labels_of, values_of_data
from pipelines.validation.rows import read_rows

INT, FLOAT, BYTES = (
    getattr(statistics_pb2.FeatureNameStatistics, name) for name in ("INT", "FLOAT", "BYTES")
)
both_types = pytest.mark.parametrize("dtype", [np.uint8, np.float32])


def computed(folder, tasks, **plan):
    """The statistics of the last task, `{split: DatasetFeatureStatistics}`."""
    statistics_gen(write_examples(folder / "examples", tasks, **plan), "", str(folder / "statistics"), "")
    return read_statistics(folder / "statistics", len(tasks))


def numbers(data):
    """`{name: number}` of the images' own statistics."""
    return {custom.name: custom.num for custom in feature_of_data(data, "image").custom_stats}


@both_types
def test_values_are_those_of_numpy(tmp_path, dtype):
    tasks = tasks_of(dtype=dtype)[:1]
    for split, data in computed(tmp_path, tasks).items():
        x = tasks[0][split][0].astype(np.float64)
        found = values_of_data(data).num_stats
        assert (found.min, found.max, found.num_zeros) == (x.min(), x.max(), (x == 0).sum())
        np.testing.assert_allclose([found.mean, found.std_dev], [x.mean(), x.std()], rtol=1e-6)
        np.testing.assert_allclose(found.median, np.median(x), atol=2 * x.max() / x.size)
        standard, quantiles = found.histograms
        assert (standard.type, quantiles.type) == (standard.STANDARD, standard.QUANTILES)
        edges = [bucket.low_value for bucket in standard.buckets] + [standard.buckets[-1].high_value]
        assert [bucket.high_value for bucket in standard.buckets] == edges[1:]
        expected = np.histogram(x, edges)[0]
        np.testing.assert_array_equal([bucket.sample_count for bucket in standard.buckets], expected)
        lows = [bucket.low_value for bucket in quantiles.buckets]
        np.testing.assert_allclose(lows, np.quantile(x, np.arange(10) / 10), atol=0.02 * x.max())
        assert sum(bucket.sample_count for bucket in quantiles.buckets) == pytest.approx(x.size)


@pytest.mark.parametrize(
    ("top", "largest", "buckets"), [(255, 3, 32), (16, 9, 17), (16, 200, 29), (70, 70, 24)]
)
def test_bytes_of_all_tasks_have_the_same_buckets(tmp_path, top, largest, buckets):
    task = tasks_of()[0]
    task = {split: (np.minimum(x, largest), y) for split, (x, y) in task.items()}
    found = values_of_data(computed(tmp_path, [task], scale=1 / top)["train"]).num_stats.histograms[0].buckets
    widths = {bucket.high_value - bucket.low_value for bucket in found}
    assert (len(found), found[0].low_value, len(widths)) == (buckets, 0, 1)
    assert found[-1].low_value <= max(top, largest) < found[-1].high_value


def test_features_have_the_types_that_facets_and_data_validation_expect(tmp_path):
    statistics = computed(tmp_path, tasks_of()[:1])
    assert list(statistics) == ["train", "valid", "test"]
    for split, data in statistics.items():
        assert data.num_examples == ROWS[split]
        kinds = {feature.name: (feature.type, feature.WhichOneof("stats")) for feature in data.features}
        assert kinds == {
            "image": (BYTES, "bytes_stats"),
            "image_value": (INT, "num_stats"),
            "shape": (INT, "num_stats"),
            "label": (INT, "string_stats"),  # a category that is recorded as an integer
        }
        common = values_of_data(data).num_stats.common_stats
        assert (common.num_non_missing, common.num_missing) == (ROWS[split], 0)
        assert (common.min_num_values, common.max_num_values) == (16, 16)
        assert common.tot_num_values == 16 * ROWS[split]
        image = feature_of_data(data, "image").bytes_stats
        assert (image.unique, image.min_num_bytes, image.max_num_bytes) == (ROWS[split], 16, 16)


def test_images_of_floats_are_one_numeric_feature(tmp_path):
    data = computed(tmp_path, tasks_of(dtype=np.float32)[:1])["train"]
    kinds = {feature.name: (feature.type, feature.WhichOneof("stats")) for feature in data.features}
    assert kinds["image"] == (FLOAT, "num_stats") and "image_value" not in kinds


def test_labels_are_counted_with_the_most_frequent_first(tmp_path):
    task = tasks_of(classes=((3, 7),))[0]
    task["train"][1][:] = np.repeat([3, 7], [20, 40])
    label = feature_of_data(computed(tmp_path, [task], classes=((3, 7),))["train"], "label").string_stats
    assert [(top.value, top.frequency) for top in label.top_values] == [("7", 40), ("3", 20)]
    found = [(b.low_rank, b.high_rank, b.label, b.sample_count) for b in label.rank_histogram.buckets]
    assert found == [(0, 0, "7", 40), (1, 1, "3", 20)]
    assert label.unique == 2


def test_rows_with_something_missing_are_counted(tmp_path):
    examples = pathlib.Path(write_examples(tmp_path / "examples", tasks_of()[:1]))
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    other, plain = image + 1, np.full_like(image, 9)
    rows = [(image, 1), (None, 0), (other, None), (image, 0), (plain, 1), (None, 1), (other, 1)]
    rewrite(examples / "task_001/Split-train", [row_of(*row) for row in rows])
    statistics_gen(written_so(examples), "", str(tmp_path / "statistics"), "")
    data = read_statistics(tmp_path / "statistics", 1)["train"]
    image, label = feature_of_data(data, "image").bytes_stats, feature_of_data(data, "label").string_stats
    assert (image.common_stats.num_non_missing, image.common_stats.num_missing, image.unique) == (5, 2, 3)
    assert (label.common_stats.num_non_missing, label.common_stats.num_missing) == (6, 1)
    assert labels_of(data) == {0: 2, 1: 4}
    assert (numbers(data)["constant"], numbers(data)["duplicates"]) == (1, 2)
    assert numbers(data)["conflicting_labels"] == 2  # of `image`; a label that is missing is no other label


def test_values_that_are_no_numbers_are_counted_and_do_not_spoil_the_others(tmp_path):
    task = tasks_of(dtype=np.float32)[0]
    x = task["train"][0]
    x[0, 0, 0], x[1, 0, 0], x[1, 1, 0] = np.nan, np.inf, -np.inf
    data = computed(tmp_path, [task])["train"]
    found, finite = values_of_data(data).num_stats, x[np.isfinite(x)].astype(np.float64)
    np.testing.assert_allclose([found.mean, found.std_dev], [finite.mean(), finite.std()], rtol=1e-6)
    assert [histogram.num_nan for histogram in found.histograms] == [1, 1]
    assert (found.min, found.max) == (-np.inf, np.inf)
    assert sum(bucket.sample_count for bucket in found.histograms[0].buckets) == x.size - 1
    assert numbers(data)["not_finite"] == 2


def test_images_of_several_shapes_are_counted_by_shape(tmp_path):
    task = tasks_of()[0]
    x = list(task["train"][0])
    x[0], x[1] = x[0].reshape(2, 8, 1), np.arange(50, dtype=np.uint8).reshape(5, 5, 2)
    task["train"] = x, task["train"][1]
    data = computed(tmp_path, [task], input_shape=(4, 4, 1))["train"]
    (shapes,) = feature_of_data(data, "shape").custom_stats
    found = {bucket.label: bucket.sample_count for bucket in shapes.rank_histogram.buckets}
    assert found == {"4x4x1": 58, "2x8x1": 1, "5x5x2": 1}
    common = values_of_data(data).num_stats.common_stats
    assert (common.min_num_values, common.max_num_values) == (16, 50)
    assert numbers(data)["duplicates"] == 0


@both_types
def test_images_that_come_again_are_counted(tmp_path, dtype):
    first, second = tasks_of(dtype=dtype)
    first["train"][0][1] = first["train"][0][0]  # twice in a split, and with two labels
    first["train"][0][3:5] = first["train"][0][2]  # three times, with two labels
    first["valid"][0][0] = first["train"][0][9]
    first["test"][0][0] = first["train"][0][8]
    first["test"][0][1] = first["valid"][0][3]
    second["train"][0][:5] = first["test"][0][5:10]
    second["test"][0][7] = first["train"][0][30]
    found = {split: numbers(data) for split, data in computed(tmp_path / "1", [first]).items()}
    assert {split: own["duplicates"] for split, own in found.items()} == {"train": 3, "valid": 0, "test": 0}
    assert {split: own["leaked"] for split, own in found.items()} == {"train": 0, "valid": 1, "test": 2}
    conflicts = {split: own["conflicting_labels"] for split, own in found.items()}
    assert conflicts == {"train": 6, "valid": 1, "test": 0}
    found = {split: numbers(data) for split, data in computed(tmp_path / "2", [first, second]).items()}
    earlier = {split: own["in_earlier_tasks"] for split, own in found.items()}
    assert earlier == {"train": 5, "valid": 0, "test": 1}


def test_statistics_of_earlier_tasks_are_kept_and_equal_those_computed_at_once(tmp_path, monkeypatch):
    tasks, opened = tasks_of(), []
    one = write_examples(tmp_path / "one", tasks[:1])
    two = write_examples(tmp_path / "two", tasks)
    statistics_gen(one, "", str(tmp_path / "first"), "")
    before = verified(tmp_path / "first")
    with monkeypatch.context() as patch:
        patch.setattr(
            "pipelines.components.statistics_gen.read_rows",
            lambda *given: opened.append(given) or read_rows(*given),
        )
        statistics_gen(two, str(tmp_path / "first"), str(tmp_path / "chained"), "")
    assert [folder.parent.name for folder, _ in opened] == ["task_002"] * 3
    statistics_gen(two, "", str(tmp_path / "at_once"), "")
    assert verified(tmp_path / "chained") == verified(tmp_path / "at_once")
    assert verified(tmp_path / "first") == before  # the plan of two tasks is not written through the link
    again = read_statistics(tmp_path / "chained", 1)
    assert again == read_statistics(tmp_path / "first", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no record" * 9, "cannot be read as TFRecords of tf.train.Example"),
        ([b"\xff\xff"], "cannot be read as TFRecords of tf.train.Example"),
        ([row_of(np.zeros((4, 4, 1), d), 0) for d in (np.uint8, np.float32)], "Data types don't match"),
    ],
    ids=["no record", "no example", "mixed kinds"],
)
def test_what_is_no_example_is_one_sentence(tmp_path, content, said):
    examples = pathlib.Path(write_examples(tmp_path / "examples", tasks_of()[:1]))
    rewrite(examples / "task_001/Split-train", content)
    with pytest.raises(InputError, match=said):
        statistics_gen(written_so(examples), "", str(tmp_path / "statistics"), "")


def test_a_split_without_rows_has_statistics(tmp_path):
    task = tasks_of()[0]
    task["test"] = task["test"][0][:0], task["test"][1][:0]
    data = computed(tmp_path, [task], classes=CLASSES)["test"]
    assert data.num_examples == 0
    assert values_of_data(data).num_stats.common_stats.num_non_missing == 0


def rewrite(folder, content):
    """Replaces the rows of a split by others, or its file by bytes."""
    file = folder / "data_tfrecord-00000-of-00001"
    if isinstance(content, bytes):
        file.write_bytes(content)
        return
    with tf.io.TFRecordWriter(str(file)) as writer:
        for row in content:
            writer.write(row if isinstance(row, bytes) else row.SerializeToString())


def written_so(folder):
    """An artifact with the files of the folder as they are now, as if ExampleGen had written it."""
    again = folder.with_name("written_so")
    with produced("ExampleGen", {"examples": again}):
        shutil.copytree(folder, again, ignore=shutil.ignore_patterns(*BESIDE), dirs_exist_ok=True)
    return str(again)
