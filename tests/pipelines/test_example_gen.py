"""ExampleGen: the TFRecords of a task, and what its artifact holds."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.check.subject import blobs
from keras_cl.errors import InputError
from keras_cl.settings.build import make_stream
from keras_cl.settings.config import Config
from pipelines.artifacts import verified
from pipelines.components.example_gen import example_gen
from pipelines.examples import records
from pipelines.examples.plan import file_of, read_plan
from pipelines.examples.recorded import stream_of


def text_of(config, **more):
    return json.dumps({"settings": config.settings, "places": {}, **more})


def generated(config, folder, number=1, previous="", arrived="", **more):
    """The Examples artifact of a task, in a folder of its own."""
    examples = str(folder / f"examples_{number}")
    example_gen(text_of(config, **more), number, str(arrived), str(previous), examples, "code")
    return examples


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(file, **blobs((8, 9, 10, 11)))
    return str(file)


def config_of(data, **given):
    return Config(**{"method": "finetune", "dataset": data, "tasks": 2, "stream": "split", **given})


def test_records_are_examples_of_images_shapes_and_labels(data, tmp_path):
    config = config_of(data, scenario="domain")
    first = generated(config, tmp_path)
    examples = generated(config, tmp_path, 2, first)
    x, units = make_stream(config)[1].train.open()
    found = [
        tf.train.Example.FromString(content).features.feature
        for content in tf.data.TFRecordDataset(str(file_of(examples, 2, "train"))).as_numpy_iterator()
    ]
    assert [f["image"].bytes_list.value[0] for f in found] == [image.tobytes() for image in x]
    assert all(list(f["shape"].int64_list.value) == [4, 4, 1] for f in found)
    labels = [f["label"].int64_list.value[0] for f in found]
    assert labels == (units + 2).tolist()  # as in the data, where they are 2 and 3


def test_an_artifact_has_the_tasks_before_it_and_the_plan_of_all(data, tmp_path):
    config = config_of(data, scenario="class", options={"stream.valid_fraction": 0.25})
    first = generated(config, tmp_path)
    second = generated(config, tmp_path, 2, first)
    for number, examples in ((1, first), (2, second)):
        verified(examples)
        plan, rows = read_plan(examples)
        assert plan.task_classes == ((0, 1), (2, 3)) and plan.input_shape == (4, 4, 1)
        assert rows == [{"train": 13, "valid": 4, "test": 20}, {"train": 16, "valid": 5, "test": 20}][:number]
    linked = [file_of(examples, 1, "test").stat().st_ino for examples in (first, second)]
    assert linked[0] == linked[1]


def test_the_same_task_is_written_with_the_same_bytes(data, tmp_path):
    digests = [verified(generated(config_of(data), tmp_path / name)) for name in "ab"]
    assert digests[0] == digests[1]


def test_a_stream_and_a_data_set_of_ones_own(tmp_path):
    (tmp_path / "noise.py").write_text(
        "import numpy as np\nfrom keras_cl.sources import Source\n\n"
        "def noise():\n    x = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)\n"
        "    y = np.arange(6) % 2 * 7\n"
        "    return Source('noise', (2, 2, 1), (0, 7), 1 / 255, lambda: ((x, y), (x, y)))\n"
    )
    (tmp_path / "dimmed.py").write_text(
        "from keras_cl.streams import Stream\n\n"
        "def dimmed(data, *, tasks: int = 2, scenario: str = 'domain'):\n"
        "    views = tuple(lambda x, t=t: x // (t + 1) for t in range(tasks))\n"
        "    return Stream('dimmed', scenario, data, (data.classes,) * tasks, views, data.input_shape)\n"
    )
    config = config_of(str(tmp_path / "noise.py"), stream=str(tmp_path / "dimmed.py"), scenario="domain")
    examples = generated(config, tmp_path, 2, generated(config, tmp_path))
    x, units = stream_of(examples)[1].train.open()
    np.testing.assert_array_equal(x.ravel(), np.arange(24) // 2)
    assert units.tolist() == [0, 1] * 3
    assert records.read(file_of(examples, 1, "train"), (2, 2, 1), np.dtype("uint8"))[1].tolist() == [0, 7] * 3


def test_images_that_are_neither_bytes_nor_float32_are_refused(tmp_path):
    with pytest.raises(InputError, match="images of uint8 or float32, and these are float64"):
        records.write(tmp_path / "file", np.zeros((2, 3)), np.zeros(2, int))


def test_wrong_predecessors_are_refused(data, tmp_path):
    first = generated(config_of(data), tmp_path)
    with pytest.raises(InputError, match="of task 2 come after those of task 1, and .* are those of 0 tasks"):
        generated(config_of(data), tmp_path, 2)
    with pytest.raises(InputError, match="planned with the scenario task, and this one is with class"):
        generated(config_of(data, scenario="class"), tmp_path, 2, first)
    second = generated(config_of(data), tmp_path, 2, first)
    with pytest.raises(InputError, match="There is no task 3: 2 tasks are planned"):
        generated(config_of(data), tmp_path, 3, second)
    file_of(second, 1, "train").write_bytes(b"")
    with pytest.raises(InputError, match="was edited"):
        generated(config_of(data), tmp_path, 3, second)


# ---- records ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(0, 3, 2, 1), (5, 7), (2500, 2, 2, 3)])
def test_records_are_read_as_they_were_written(shape, dtype, tmp_path):
    rng = np.random.default_rng(0)
    x, y = (255 * rng.random(shape)).astype(dtype), rng.integers(0, 2**40, shape[0])
    records.write(tmp_path / "file", x, y)
    found, labels = records.read(tmp_path / "file", shape[1:], x.dtype)
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(labels, y)
    assert found.dtype == x.dtype and found.shape == x.shape


def written(folder, rows=1500):
    """A file of zeros, and the size of a record."""
    file = folder / "file"
    records.write(file, np.zeros((rows, 2, 2, 1), np.uint8), np.zeros(rows, int))
    return file, file.stat().st_size // rows


def test_a_file_that_was_cut_off_is_named_with_the_row(tmp_path):
    file, size = written(tmp_path)
    file.write_bytes(file.read_bytes()[: 1200 * size + size // 2])
    with pytest.raises(InputError, match=r"file is damaged or cut off in row 1201: "):
        records.read(file, (2, 2, 1), np.dtype("uint8"))


def test_a_damaged_record_is_named(tmp_path):
    file, size = written(tmp_path)
    content = bytearray(file.read_bytes())
    content[41 * size + size // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"file is damaged or cut off in row 42: "):
        records.read(file, (2, 2, 1), np.dtype("uint8"))


OTHERS = [((2, 2), "uint8"), ((4, 1, 1), "uint8"), ((3, 2, 1), "uint8"), ((2, 2, 1), "float32")]


@pytest.mark.parametrize(("shape", "dtype"), OTHERS)
def test_other_images_than_planned_are_refused(shape, dtype, tmp_path):
    file, _ = written(tmp_path)
    with pytest.raises(InputError, match="holds something else than .* in the rows 1 to 1024"):
        records.read(file, shape, np.dtype(dtype))


def test_a_full_disk_is_an_error():
    with pytest.raises(OSError, match="/dev/full"):
        records.write("/dev/full", np.zeros((1000, 30, 30, 1), np.uint8), np.zeros(1000, int))
