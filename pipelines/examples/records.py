"""Images and labels as TFRecords of `tf.train.Example`, written and read in batches.

image   bytes: the uint8 image in C order; or floats: the float32 image in C order
shape   int64: the shape of the image, for example 28, 28, 1
label   int64: the original label
"""

import math

import numpy as np
import tensorflow as tf

from keras_cl.errors import InputError, require
from keras_cl.runs.checkpoints import tensorflow_file_errors

BATCH = 1024  # records that are read together
DTYPES = ("uint8", "float32")


def write(file, x, labels):
    """Writes images `[n, ...]` of uint8 or float32 and their original labels `[n]` as a TFRecord file.

    Raises:
      InputError: if the images are of another type.
      OSError: if the file cannot be written, as on a full disk.
    """
    require(str(x.dtype) in DTYPES, f"Examples hold images of uint8 or float32, and these are {x.dtype}.")
    example = tf.train.Example()  # changed for every row: making a new one takes four times as long
    feature = example.features.feature
    feature["shape"].int64_list.value.extend(x.shape[1:])
    label = feature["label"].int64_list.value
    label.append(0)
    fill = _filler(feature["image"], x.dtype)
    with tensorflow_file_errors(file), tf.io.TFRecordWriter(str(file)) as writer:
        for image, label[0] in zip(x, labels.tolist(), strict=True):
            fill(image)
            writer.write(example.SerializeToString(deterministic=True))


def _filler(feature, dtype):
    """The function that puts an image into a feature."""
    if dtype == np.uint8:
        content = feature.bytes_list.value
        content.append(b"")

        def fill(image):
            content[0] = image.tobytes()
    else:
        content = feature.float_list.value

        def fill(image):
            content[:] = image.ravel().tolist()

    return fill


def read(file, shape, dtype):
    """The images `[n, *shape]` of `dtype` and the labels `[n]` int64 in a file that `write` wrote.

    Raises:
      InputError: names the file and the row of the first record that is damaged or holds something else.
    """
    size = math.prod(shape)
    raw = dtype == np.uint8
    known = {
        "image": tf.io.FixedLenFeature([] if raw else [size], tf.string if raw else tf.float32),
        "shape": tf.io.FixedLenFeature([len(shape)], tf.int64),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    images, labels = [np.zeros((0, size), dtype)], [np.zeros(0, np.int64)]
    with tf.device("cpu"):
        for first, batch in batches(file):
            try:
                parsed = tf.io.parse_example(batch, known)
                x = tf.io.decode_raw(parsed["image"], tf.uint8) if raw else parsed["image"]
                right = x.shape[1] == size and np.all(parsed["shape"] == shape)
            except tf.errors.OpError:
                right = False
            require(
                right,
                f"{file} holds something else than {dtype} images of the shape {tuple(shape)} and their "
                f"labels in the rows {first + 1} to {first + len(batch)}.",
            )
            images.append(x.numpy())
            labels.append(parsed["label"].numpy())
    return np.concatenate(images).reshape(-1, *shape), np.concatenate(labels)


def batches(file):
    """Yields the number of the first row, from 0, and the serialized records `[n]` of each batch of a file.

    A file whose name ends with .gz is compressed.

    Raises:
      InputError: names the file and the row from which on it is damaged or cut off.
    """
    packed = "GZIP" if str(file).endswith(".gz") else ""
    rows = tf.data.TFRecordDataset(str(file), packed)
    first = 0
    try:
        for batch in rows.batch(BATCH):
            yield first, batch
            first += len(batch)
    except tf.errors.OpError as error:
        raise InputError(
            f"{file} is damaged or cut off in row {_readable(rows) + 1}: {_reason(error)}."
        ) from None


def _readable(rows):
    """Number of records before the first one that cannot be read."""
    count = 0
    try:
        for _ in rows:
            count += 1
    except tf.errors.OpError:
        return count
    return count


def _reason(error):
    """The first clause of an error of TensorFlow."""
    return error.message.strip().splitlines()[0].split(" [Op:")[0].rstrip(".")
