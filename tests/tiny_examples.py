"""Examples, Statistics and Schema artifacts of tiny arrays, for tests of the pipeline."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from pipelines.artifacts import produced
from pipelines.components.schema_gen import schema_gen
from pipelines.components.statistics_gen import statistics_gen

SPLITS = ("train", "valid", "test")
CLASSES = ((0, 1), (2, 3))
ROWS = {"train": 60, "valid": 20, "test": 40}
SHAPE = (4, 4, 1)


def images(rows, classes, seed, dtype=np.uint8):
    """Arrays `(x, y)` of noise, with as many rows of each class."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (rows, *SHAPE)).astype(np.uint8)
    return (x if dtype == np.uint8 else (x / 255).astype(np.float32)), np.resize(classes, rows)


def tasks_of(classes=CLASSES, dtype=np.uint8):
    """Clean tasks: a list of `{split: (x, y)}`."""
    return [
        {
            split: images(rows, own, 10 * number + place, dtype)
            for place, (split, rows) in enumerate(ROWS.items())
        }
        for number, own in enumerate(classes)
    ]


def row_of(image, label):
    """One `tf.train.Example` as of ExampleGen; without the image or the label that is None.

    A label may also be what ExampleGen never writes: text, or several labels.
    """
    features = {}
    if image is not None:
        image = np.asarray(image)
        floats = image.dtype.kind == "f"
        features["image"] = (
            tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel()))
            if floats
            else tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))
        )
        features["shape"] = tf.train.Feature(int64_list=tf.train.Int64List(value=image.shape))
    if label is not None:
        features["label"] = (
            tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.encode()]))
            if isinstance(label, str)
            else tf.train.Feature(int64_list=tf.train.Int64List(value=np.atleast_1d(label)))
        )
    return tf.train.Example(features=tf.train.Features(feature=features))


def write_examples(folder, tasks, classes=CLASSES, scenario="class", **plan):
    """An Examples artifact of the tasks that have arrived; returns its folder."""
    folder = pathlib.Path(folder)
    dtype = {"u": "uint8", "f": "float32"}[np.asarray(tasks[0]["train"][0][0]).dtype.kind]
    known = sorted({label for own in classes for label in own})
    content = {
        "name": "tiny",
        "scenario": scenario,
        "task_classes": classes,
        "input_shape": np.shape(tasks[0]["train"][0][0]),
        "dtype": dtype,
        "scale": 1 / 255 if dtype == "uint8" else 1.0,
        "distinct_classes": False,
        "classes": known,
        "arrived": len(tasks),
        **plan,
    }
    with produced("ExampleGen", {"examples": folder}):
        (folder / "plan.json").write_text(json.dumps(content))
        for number, task in enumerate(tasks, 1):
            for split in SPLITS:
                part = folder / f"task_{number:03d}" / f"Split-{split}"
                part.mkdir(parents=True)
                with tf.io.TFRecordWriter(str(part / "data_tfrecord-00000-of-00001")) as writer:
                    for image, label in zip(*task[split], strict=True):
                        writer.write(row_of(image, label).SerializeToString())
    return str(folder)


def analysed(folder, tasks, **plan):
    """The `(statistics, schema)` artifacts of tasks that arrived one after the other."""
    folder = pathlib.Path(folder)
    statistics = schema = ""
    for number in range(1, len(tasks) + 1):
        examples = write_examples(folder / f"examples_{number}", tasks[:number], **plan)
        before, statistics = statistics, str(folder / f"statistics_{number}")
        statistics_gen(examples, before, statistics, "")
        before, schema = schema, str(folder / f"schema_{number}")
        schema_gen(statistics, before, schema, "")
    return statistics, schema
