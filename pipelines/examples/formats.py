"""The formats in which examples arrive, each read into `Rows`.

TFRecords   of tf.train.Example: `image` or `image/encoded`, and `label` or `image/class/label`
CSV         the columns path, label and, if wanted, split; PNG and JPEG images beside it
.npz        x_train, y_train, x_test and y_test
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_cl.errors import InputError, require
from keras_cl.sources.npz import npz
from pipelines.examples import files, records

MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # with which PNG and JPEG files begin


@dataclasses.dataclass
class Rows:
    """Rows of images that arrived.

    Attributes:
      origin: the file or folder that they were read from.
      images: one array per row.
      labels: original labels `[n]`.
      parts: "train", "valid", "test", or "" where the data do not say, `[n]`.
      named: function of a row's number, from 0, that says where it is, for messages.
    """

    origin: str
    images: Sequence[np.ndarray]
    labels: Sequence[int]
    parts: Sequence[str]
    named: Callable[[int], str]


def read(path):
    """The rows of a file, or of a folder with files of one format.

    Raises:
      InputError: one sentence that names the file, and the row, that cannot be read.
    """
    kind, found = files.found(path)
    if kind == "TFRecord":
        return _from_records(pathlib.Path(path), found)
    return {"CSV": _from_csv, "npz": _from_npz}[kind](found[0])


def _from_npz(file):
    """The rows of an .npz file with x_train, y_train, x_test and y_test."""
    source = npz(file)
    (x, y), (x_test, y_test) = source.train, source.test

    def named(row):
        first, key = (0, "x_train") if row < len(x) else (len(x), "x_test")
        return f"{file}, row {row - first + 1} of {key}"

    parts = ["train"] * len(x) + ["test"] * len(x_test)
    return Rows(str(file), np.concatenate([x, x_test]), np.concatenate([y, y_test]), parts, named)


# ---- CSV -------------------------------------------------------------------------------------------------


def _from_csv(file):
    """The rows of a CSV file; paths of images are relative to its folder."""
    images, labels, parts, places = [], [], [], []
    for image, label, part, line in files.lines_of(file):
        places.append(f"{file}, line {line}, {image}")
        images.append(_encoded(_content(image, places[-1]), places[-1]))
        labels.append(label)
        parts.append(part)
    require(images, f"{file} has no rows.")
    return Rows(str(file), _decoded(images, places.__getitem__), labels, parts, places.__getitem__)


def _content(image, place):
    try:
        return image.read_bytes()
    except OSError as error:
        raise InputError(f"{place}: the image cannot be read: {error.strerror}.") from None


# ---- TFRecords -------------------------------------------------------------------------------------------


def _from_records(path, found):
    """The rows of TFRecord files. The name of a file or of its folder says which split it holds, as
    `Split-train/` and `mnist-test.tfrecord-00000-of-00001` do."""
    images, labels, parts, places = [], [], [], []
    for file in found:
        part = _part_of(file.relative_to(path) if file != path else pathlib.Path(file.name))
        for first, batch in records.batches(file):
            for row, content in enumerate(batch.numpy(), first + 1):
                place = f"{file}, row {row}"
                image, label = _parsed(content, place)
                images.append(image)
                labels.append(label)
                parts.append(part)
                places.append((file, row))
    require(images, f"{path} has no rows.")

    def named(row):
        return "{}, row {}".format(*places[row])

    return Rows(str(path), _decoded(images, named), labels, parts, named)


def _part_of(file):
    """The split that the name of a file, or else of the folder around it, tells; "" if none does."""
    for name in reversed(file.parts):
        words = name.lower().replace(".", "-").replace("_", "-").split("-")
        known = {files.WORDS[word] for word in words if word in files.WORDS}
        if len(known) == 1:
            return known.pop()
    return ""


def _parsed(content, place):
    """The image and the label of a serialized tf.train.Example."""
    try:
        feature = tf.train.Example.FromString(content).features.feature
    except Exception:  # each implementation of protobuf has an error of its own
        raise InputError(f"{place}: the record is no tf.train.Example.") from None
    image = _one_of(feature, ("image/encoded", "image"), place)
    label = _one_of(feature, ("image/class/label", "label"), place).int64_list.value
    require(len(label) == 1, f"{place}: the label must be one whole number.")
    return _image(image, tuple(feature["shape"].int64_list.value), place), label[0]


def _one_of(feature, names, place):
    found = [name for name in names if name in feature]
    require(
        found,
        f"{place}: the record has no {' and no '.join(names)}; it has "
        f"{', '.join(sorted(feature)) or 'nothing'}.",
    )
    return feature[found[0]]


def _image(feature, shape, place):
    """The image of a feature: an encoded one as it is, or an array of bytes or floats of a `shape`."""
    size = math.prod(shape) if shape else -1
    floats, contents = feature.float_list.value, feature.bytes_list.value
    require(
        (len(contents) == 1) != bool(floats), f"{place}: the image must be one string of bytes, or floats."
    )
    if floats:
        require(
            len(floats) == size, f"{place}: the image has {len(floats)} floats, and its shape is {shape}."
        )
        return np.array(floats, np.float32).reshape(shape)
    (content,) = contents
    if len(content) == size:
        return np.frombuffer(content, np.uint8).reshape(shape)
    encoded = not shape or content.startswith(MAGIC)
    require(encoded, f"{place}: the image has {len(content)} bytes, and its shape is {shape}.")
    return _encoded(content, place)


# ---- encoded images --------------------------------------------------------------------------------------


def _encoded(content, place):
    """The content of a PNG or JPEG file."""
    require(content.startswith(MAGIC), f"{place}: the image is neither PNG nor JPEG.")
    return content


def _decoded(images, named):
    """The images, with those that are encoded as arrays `[height, width, channels]` of uint8."""
    rows = [row for row, image in enumerate(images) if isinstance(image, bytes)]
    if not rows:
        return images
    with tf.device("cpu"):
        encoded = tf.data.Dataset.from_tensor_slices([images[row] for row in rows])
        batches = encoded.map(_decode, tf.data.AUTOTUNE).batch(records.BATCH)
        try:
            decoded = [image for batch in batches.as_numpy_iterator() for image in batch]
        except tf.errors.OpError:  # one is damaged, or they have several shapes
            decoded = [_decoded_alone(images[row], named(row)) for row in rows]
    for row, image in zip(rows, decoded, strict=True):
        images[row] = image
    return images


def _decode(content):
    return tf.io.decode_image(content, expand_animations=False)


def _decoded_alone(content, place):
    try:
        return _decode(content).numpy()
    except tf.errors.OpError:
        raise InputError(f"{place}: the image is damaged or cut off.") from None
