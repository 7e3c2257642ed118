"""Examples that arrived as the next task: every format, their splits, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_cl.check.subject import blobs
from keras_cl.errors import InputError
from keras_cl.settings.config import Config
from pipelines.components.example_gen import example_gen
from pipelines.examples import arrivals, files, formats, records
from pipelines.examples.recorded import stream_of

PLAN = arrivals.plan_of("0,1/2,3", (4, 4, 1), "uint8", scenario="task")
PARTS = ("train", "valid", "test")


def images(labels=(2, 3), dtype=np.uint8, rows=30, seed=0):
    """`(x_train, y_train, x_test, y_test)` of two classes."""
    return blobs((rows, rows), labels=labels, dtype=dtype, seed=seed).values()


def read(path, plan=PLAN, number=2):
    """The splits of what arrived."""
    return arrivals.splits_of(formats.read(path), plan, number)


def example(**features):
    """A serialized Example; a feature is a list of bytes, of floats or of whole numbers."""
    lists = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
    made = tf.train.Example()
    for name, values in features.items():
        getattr(made.features.feature[name.replace("_of_", "/")], lists[type(values[0])]).value.extend(values)
    return made.SerializeToString()


def write_records(file, contents):
    file.parent.mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP" if file.suffix == ".gz" else "")
    with tf.io.TFRecordWriter(str(file), options) as writer:
        for content in contents:
            writer.write(content)


def png(image):
    return tf.io.encode_png(image).numpy()


def write_csv(folder, x, y, split=None, encode=png, header="path,label"):
    """A CSV file, and the encoded images beside it."""
    lines = [header + (",split" if split else "")]
    for row, (image, label) in enumerate(zip(x, y, strict=True)):
        (folder / f"{row}.png").write_bytes(encode(image))
        lines.append(f"{row}.png,{label}" + (f",{split[row]}" if split else ""))
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return folder / "rows.csv"


def assert_holds(splits, part, x, y):
    np.testing.assert_array_equal(splits[part][0], x)
    np.testing.assert_array_equal(splits[part][1], y)


# ---- formats ---------------------------------------------------------------------------------------------


def test_an_npz_file(tmp_path):
    x, y, x_test, y_test = images()
    np.savez(tmp_path / "new.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    for path in (tmp_path, tmp_path / "new.npz"):
        splits = read(path)
        assert_holds(splits, "train", x, y)
        assert_holds(splits, "test", x_test, y_test)
        assert len(splits["valid"][0]) == 0


def test_records_in_the_layout_of_examples(tmp_path):
    x, y, x_test, y_test = images()
    for part, rows in {"train": (x, y), "valid": (x[:5], y[:5]), "test": (x_test, y_test)}.items():
        (tmp_path / f"Split-{part}").mkdir()
        records.write(tmp_path / f"Split-{part}/data_tfrecord-00000-of-00001", *rows)
    splits = read(tmp_path)
    assert_holds(splits, "train", x, y)
    assert_holds(splits, "valid", x[:5], y[:5])
    assert_holds(splits, "test", x_test, y_test)


def test_records_of_floats(tmp_path):
    x, y, *_ = images(dtype=np.float32)
    records.write(tmp_path / "train.tfrecord", x, y)
    records.write(tmp_path / "test.tfrecord", x[::-1], y[::-1])
    plan = arrivals.plan_of("0,1/2,3", (4, 4, 1), "float32")
    splits = read(tmp_path, plan)
    assert_holds(splits, "train", x, y)
    assert splits["train"][0].dtype == np.float32


@pytest.mark.parametrize("names", [("image", "label"), ("image_of_encoded", "image_of_class_of_label")])
def test_records_of_encoded_images(names, tmp_path):
    x, y, x_test, y_test = images()
    for name, images_of, labels in (("train", x, y), ("test", x_test, y_test)):
        contents = [
            example(**{names[0]: [png(image)], names[1]: [int(label)]})
            for image, label in zip(images_of, labels, strict=True)
        ]
        write_records(tmp_path / f"new-{name}.tfrecord-00000-of-00001.gz", contents)
    splits = read(tmp_path)
    assert_holds(splits, "train", x, y)
    assert_holds(splits, "test", x_test, y_test)


def test_an_array_that_begins_like_a_jpeg_file_is_an_array(tmp_path):
    x, y, *_ = images()
    x[:, 0, :3, 0] = 255, 216, 255
    records.write(tmp_path / "train.tfrecord", x, y)
    records.write(tmp_path / "test.tfrecord", x, y)
    assert_holds(read(tmp_path), "train", x, y)


def test_a_csv_file_with_splits(tmp_path):
    x, y, *_ = images()
    split = (["train", "validation", "test"] * len(x))[: len(x)]
    file = write_csv(tmp_path, x, y, split)
    file.write_text("\ufeff" + file.read_text())  # as spreadsheets write it
    splits = read(tmp_path, dataclasses.replace(PLAN, valid_fraction=0.5))  # validation rows are given
    for start, part in enumerate(PARTS):
        assert_holds(splits, part, x[start::3], y[start::3])


def test_a_csv_file_of_jpeg_images(tmp_path):
    x = np.repeat(np.arange(0, 240, 30, np.uint8), 16).reshape(8, 4, 4, 1)  # JPEG keeps what is all grey
    split = ["train"] * 6 + ["test"] * 2
    splits = read(write_csv(tmp_path, x, [2, 3] * 4, split, lambda image: tf.io.encode_jpeg(image).numpy()))
    np.testing.assert_allclose(splits["train"][0].astype(int), x[:6].astype(int), atol=1)


# ---- splits ----------------------------------------------------------------------------------------------


def split_by_hash(folder, order, valid_fraction):
    """`{image: part}` of rows without splits, in some order."""
    x, y, *_ = images(rows=200)
    folder.mkdir()
    records.write(folder / "new.tfrecord", x[order], y[order])
    plan = arrivals.plan_of("0,1/2,3", (4, 4, 1), "uint8", valid_fraction=valid_fraction)
    splits = read(folder, plan)
    return {image.tobytes(): part for part, (found, _) in splits.items() for image in found}


def test_an_image_is_in_the_same_split_wherever_it_stands(tmp_path):
    forwards = split_by_hash(tmp_path / "a", np.arange(400), 0.25)
    backwards = split_by_hash(tmp_path / "b", np.arange(400)[::-1], 0.25)
    assert forwards == backwards and len(forwards) == 400
    counts = [list(forwards.values()).count(part) for part in PARTS]
    np.testing.assert_allclose(counts, [240, 80, 80], atol=35)  # more than four standard deviations
    without = split_by_hash(tmp_path / "c", np.arange(400), 0)
    assert [image for image, part in without.items() if part == "test"] == [
        image for image, part in forwards.items() if part == "test"
    ]
    assert "valid" not in without.values()


def test_validation_rows_are_taken_from_given_training_rows(tmp_path):
    x, y, x_test, y_test = images(rows=200)
    np.savez(tmp_path / "new.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    plan = arrivals.plan_of("0,1/2,3", (4, 4, 1), "uint8", valid_fraction=0.25)
    splits = read(tmp_path, plan)
    assert_holds(splits, "test", x_test, y_test)
    assert len(splits["train"][0]) + len(splits["valid"][0]) == 400
    assert 65 < len(splits["valid"][0]) < 135


# ---- what is refused -------------------------------------------------------------------------------------


def test_nothing_and_too_much_are_refused(tmp_path):
    with pytest.raises(InputError, match="--examples names .*missing, and there is no such file"):
        read(tmp_path / "missing")
    with pytest.raises(InputError, match="has no examples; it must be, or hold, TFRecord files, a .csv file"):
        read(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path,label\n")
    with pytest.raises(InputError, match="several files of examples, a.csv and b.csv"):
        read(tmp_path)
    with pytest.raises(InputError, match="a.csv has no rows"):
        read(tmp_path / "a.csv")
    (tmp_path / "c.npz").write_bytes(b"")
    with pytest.raises(InputError, match="several formats: a.csv, c.npz"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"c.npz cannot be read as an .npz file"):
        read(tmp_path / "c.npz")


def test_what_is_not_planned_is_refused(tmp_path):
    x, y, *_ = images()
    wrong = {
        "labels": (x, np.where(np.arange(60) == 7, 1, y)),
        "shape": (x.reshape(-1, 2, 8, 1), y),
        "dtype": (x.astype(np.float32), y),
        "class": (x, np.full_like(y, 2)),
    }
    for name, rows in wrong.items():
        records.write(tmp_path / f"{name}.tfrecord", *rows)
    said = {
        "labels": r"labels.tfrecord, row 8: the label is 1, and the classes of task 2 are 2, 3\.",
        "shape": r"row 1: the image is 2x8x1 of uint8, and planned are images of 4x4x1 of uint8\.",
        "dtype": r"row 1: the image is 4x4x1 of float32, and planned are images of 4x4x1 of uint8\.",
        "class": r"class.tfrecord has no training rows of the class 3, which is planned for task 2\.",
    }
    for name, sentence in said.items():
        with pytest.raises(InputError, match=sentence):
            read(tmp_path / f"{name}.tfrecord")


def test_floats_that_are_not_finite_are_refused(tmp_path):
    x, y, *_ = images(dtype=np.float32)
    x[5, 0, 0, 0] = np.nan
    records.write(tmp_path / "new.tfrecord", x, y)
    with pytest.raises(InputError, match="row 6: the image has values that are NaN or infinite"):
        read(tmp_path, arrivals.plan_of("0,1/2,3", (4, 4, 1), "float32"))


def test_examples_without_test_rows_are_refused(tmp_path):
    x, y, *_ = images()
    records.write(tmp_path / "train.tfrecord", x, y)
    with pytest.raises(InputError, match="train.tfrecord has no test rows"):
        read(tmp_path / "train.tfrecord")


BYTES = bytes(range(16))
RECORDS = {
    "no tf.train.Example": b"\xff\xff\xff",
    "has no image/encoded and no image; it has label": example(label=[1]),
    "has no image/class/label and no label; it has image, shape": example(image=[BYTES], shape=[4, 4, 1]),
    "the label must be one whole number": example(image=[BYTES], shape=[4, 4, 1], label=[1, 2]),
    "the label must be one whole number.": example(image=[BYTES], shape=[4, 4, 1], label=[1.5]),
    "the image has 16 bytes, and its shape is": example(image=[BYTES], shape=[4, 5, 1], label=[2]),
    "the image has 2 floats, and its shape is": example(image=[1.0, 2.0], shape=[4, 5, 1], label=[2]),
    "the image must be one string of bytes, or floats": example(image=[1, 2], label=[2]),
    "the image is neither PNG nor JPEG": example(image=[BYTES], label=[2]),
    "the image is damaged or cut off": example(image=[png(np.zeros((9, 9, 3), np.uint8))[:50]], label=[2]),
}


@pytest.mark.parametrize("said", RECORDS)
def test_records_of_something_else_are_named(said, tmp_path):
    good = example(image=[BYTES], shape=[4, 4, 1], label=[2])
    write_records(tmp_path / "new.tfrecord", [good, good, RECORDS[said]])
    with pytest.raises(InputError, match=f"new.tfrecord, row 3: .*{said}"):
        read(tmp_path)


LINES = {
    "line 3: the label is 'cat'; labels must be whole numbers": "path,label\n0.png,2\n1.png,cat\n",
    "line 2: the label is None": "path,label\n0.png\n",
    "line 2: there is no path": "path,label\n,2\n",
    "line 2: the split is 'holdout'; it must be train, valid, test": "path,label,split\n0.png,2,holdout\n",
    "line 2, .*9.png: the image cannot be read: No such file": "path,label\n9.png,2\n",
    "line 3, .*cut.png: the image is damaged or cut off": "path,label\n0.png,2\ncut.png,2\n",
    "line 2, .*text.png: the image is neither PNG nor JPEG": "path,label\ntext.png,2\n",
    "has no column label; it has path, labels, .* Did you mean labels": "path,labels\n0.png,2\n",
    "has no column path and no label; it has nothing": "",
    "cannot be read as CSV": 'path,label\n"0.png,2\n',
}


@pytest.mark.parametrize("said", LINES)
def test_lines_that_cannot_be_used_are_named(said, tmp_path):
    image = png(np.zeros((9, 9, 3), np.uint8))
    for name, content in {"0.png": image, "cut.png": image[:-20], "text.png": b"text"}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "rows.csv").write_text(LINES[said])
    with pytest.raises(InputError, match=f"rows.csv,? ?{said}"):
        read(tmp_path)


def test_a_csv_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"path,label\n\xff\xfe,2\n")
    with pytest.raises(InputError, match="rows.csv cannot be read as CSV: 'utf-8' codec"):
        read(tmp_path)


# ---- the plan of folders alone, and ExampleGen -----------------------------------------------------------


def test_a_plan_of_classes():
    assert PLAN.task_classes == ((0, 1), (2, 3)) and PLAN.classes == (0, 1, 2, 3)
    assert (PLAN.scale, PLAN.dtype) == (1 / 255, "uint8")
    for classes in ("", "0,1/", "a/b", "0 1"):
        with pytest.raises(InputError, match="give the labels of all tasks as in 0,1/2,3/4,5"):
            arrivals.plan_of(classes, (4, 4, 1), "uint8")
    with pytest.raises(InputError, match="has the label -1"):
        arrivals.plan_of("-1,0", (4, 4, 1), "uint8")
    with pytest.raises(InputError, match="can only be class-incremental"):
        arrivals.plan_of("0/1,2", (4, 4, 1), "uint8", scenario="task")
    assert arrivals.plan_of("0/1,2", (4, 4, 1), "uint8").task_classes == ((0,), (1, 2))


def generated(folder, number, previous, arrived, classes="", **settings):
    config = Config(**{"method": "finetune", "stream": "split", "tasks": 2, **settings})
    content = {"settings": config.settings, "places": {}} | ({"classes": classes} if classes else {})
    examples = str(folder / f"examples_{number}")
    example_gen(json.dumps(content), number, str(arrived), previous, examples, "code")
    return examples


def arrived(folder, labels, dtype=np.uint8):
    folder.mkdir()
    x, y, x_test, y_test = images(labels, dtype)
    np.savez(folder / "new.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return folder


def test_a_task_that_arrives_takes_its_place_in_the_stream(tmp_path):
    data = tmp_path / "all.npz"
    np.savez(data, **blobs((8, 9, 10, 11)))
    first = generated(tmp_path, 1, "", "", dataset=str(data), scenario="class")
    new = arrived(tmp_path / "new", (2, 3))
    second = generated(tmp_path, 2, first, new, dataset=str(data), scenario="class")
    x, y, *_ = images()
    found, units = stream_of(second)[1].train.open()
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(units, y)
    record = json.loads((tmp_path / "examples_2/artifact.json").read_text())["settings"]
    assert record["folder_sha256"] == files.digest(new)


@pytest.mark.parametrize(("scenario", "units"), [("class", {2, 3}), ("task", {2, 3}), ("domain", {0, 1})])
def test_a_stream_all_of_whose_tasks_arrive(scenario, units, tmp_path):
    folders = [arrived(tmp_path / "one", (0, 1)), arrived(tmp_path / "two", (2, 3))]
    settings = {"classes": "0,1/2,3", "scenario": scenario, "options": {"stream.valid_fraction": 0.2}}
    first = generated(tmp_path, 1, "", folders[0], **settings)
    assert stream_of(first).num_classes == (2 if scenario == "domain" else 4)
    stream = stream_of(generated(tmp_path, 2, first, folders[1], **settings))
    assert set(stream[1].train.open()[1].tolist()) == units
    assert len(stream[0].valid) > 0
    with pytest.raises(InputError, match="With --classes all tasks arrive: give the examples of task 2"):
        generated(tmp_path, 2, first, "", **settings)


def test_a_second_folder_of_another_type_is_refused(tmp_path):
    folders = [arrived(tmp_path / "one", (0, 1)), arrived(tmp_path / "two", (2, 3), np.float32)]
    first = generated(tmp_path, 1, "", folders[0], "0,1/2,3")
    with pytest.raises(InputError, match="row 1 of x_train: the image is 4x4x1 of float32, and planned"):
        generated(tmp_path, 2, first, folders[1], "0,1/2,3")
    assert not (tmp_path / "examples_2/DONE").exists()


def test_the_digest_is_that_of_all_files_wherever_they_are(tmp_path):
    x, y, *_ = images()
    digests = []
    for name in "ab":
        (tmp_path / name).mkdir()
        write_csv(tmp_path / name, x, y)
        digests.append(files.digest(tmp_path / name))
    assert digests[0] == digests[1]
    (tmp_path / "b/7.png").write_bytes(png(x[0]))
    assert files.digest(tmp_path / "b") != digests[0]


def test_the_split_that_a_folder_tells_decides_too(tmp_path):
    for name in ("a", "b"):
        split = "test" if name == "a" else "valid"
        for part in ("train", split):
            place = tmp_path / name / f"Split-{part}"
            place.mkdir(parents=True)
            (place / "data.tfrecord").write_bytes(b"the same")
    assert files.digest(tmp_path / "a") != files.digest(tmp_path / "b")
