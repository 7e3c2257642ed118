"""The rows of a split of an Examples artifact as they were recorded, whatever is wrong with them."""

import dataclasses
import functools
import pathlib
import re

import numpy as np

from keras_cl.errors import InputError

FEATURES = ("image", "shape", "label")
BATCH = 4096  # rows parsed in one call


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one split; missing features are left as they are.

    Attributes:
      kinds: kind of each feature in `tf.train.Feature`: bytes_list, float_list, int64_list; "" if no row has
        it.
      values: the values of all images, one image after the other.
      sizes: int64 `[n]`, number of values of each image; 0 where it is missing.
      shapes: int64, the shapes of all images, one after the other.
      ranks: int64 `[n]`, number of axes in each shape; 0 where it is missing.
      labels: int64 `[n]`, the first label of each row; -1 where it is missing.
      counts: `{feature: int64 [n]}`, number of values of each feature in each row.
    """

    kinds: dict
    values: np.ndarray
    sizes: np.ndarray
    shapes: np.ndarray
    ranks: np.ndarray
    labels: np.ndarray
    counts: dict

    def __len__(self):
        return len(self.sizes)

    @functools.cached_property
    def blocks(self):
        """`[(rows, images)]`, a pair for each number of values: indices `[m]`, images `[m, size]`."""
        starts, found = np.cumsum(self.sizes) - self.sizes, []
        for size in np.unique(self.sizes[self.sizes > 0]):
            rows = np.flatnonzero(self.sizes == size)
            if len(rows) * size == len(self.values):
                found.append((rows, self.values.reshape(-1, size)))
            else:
                found.append((rows, self.values[starts[rows, np.newaxis] + np.arange(size)]))
        return found

    @functools.cached_property
    def hashes(self):
        """uint64 `[n]`: equal for equal images; 0 where the image is missing."""
        import tensorflow as tf

        hashes = np.zeros(len(self), np.uint64)
        for rows, images in self.blocks:
            content = np.ascontiguousarray(images).view(np.uint8)
            with tf.device("cpu"):
                found = tf.raw_ops.Fingerprint(data=content, method="farmhash64").numpy()
            hashes[rows] = found.view(np.uint64)[:, 0]
        return hashes


def read_rows(folder, dtype):
    """The `Rows` of the TFRecord files of a split.

    Args:
      folder: folder of the files data_tfrecord-*; no rows if there are none.
      dtype: type of the values of images that are recorded as bytes.

    Raises:
      InputError: names a file that is damaged, or whose rows differ in the kind of a feature.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    files = sorted(map(str, pathlib.Path(folder).glob("data_tfrecord-*")))
    with tf.device("cpu"):
        try:
            kinds = _kinds(tf.data.TFRecordDataset(files)) if files else {}
            number, columns = _columns(files, kinds)
        except (tf.errors.OpError, DecodeError) as error:
            reason = re.sub(r"\{\{.*?\}\}\s*", "", getattr(error, "message", str(error))).split(" [Op:")[0]
            raise InputError(
                f"{folder} cannot be read as TFRecords of tf.train.Example: {reason.rstrip('.'):.200}."
            ) from None
    return _rows(kinds, columns, number, np.dtype(dtype))


def _kinds(records):
    """The kind of each feature, `{name: kind}`, of the first row that has it."""
    import tensorflow as tf

    kinds = {}
    for record in records.as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        for name in FEATURES:
            kind = features[name].WhichOneof("kind") if name in features else None
            if kind and name not in kinds:
                kinds[name] = kind
        if len(kinds) == len(FEATURES):
            break
    return kinds


def _columns(files, kinds):
    """The number of rows, and `{feature: (values, counts)}`: all its values, and how many each row has."""
    import tensorflow as tf

    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    features = {
        name: tf.io.RaggedFeature(dtypes[kind], row_splits_dtype=tf.int64) for name, kind in kinds.items()
    }
    number, parsed = 0, []
    for batch in tf.data.TFRecordDataset(files).batch(BATCH) if files else ():
        number += len(batch)
        parsed.append(tf.io.parse_example(batch, features) if features else {})
    return number, {
        name: (
            np.concatenate([batch[name].flat_values.numpy() for batch in parsed]),
            np.concatenate([batch[name].row_lengths().numpy() for batch in parsed]),
        )
        for name in kinds
    }


def _rows(kinds, columns, number, dtype):
    none = np.zeros(0, np.int64), np.zeros(number, np.int64)
    column = {name: columns.get(name, none) for name in FEATURES}
    values, sizes = _images(*column["image"], kinds.get("image"), dtype)
    shapes, ranks = column["shape"] if kinds.get("shape") == "int64_list" else none
    labels = np.full(number, -1, np.int64)
    if kinds.get("label") == "int64_list":
        numbers, counts = column["label"]
        labels[counts > 0] = numbers[(np.cumsum(counts) - counts)[counts > 0]]
    counts = {name: counts for name, (_, counts) in column.items()}
    return Rows(
        {name: kinds.get(name, "") for name in FEATURES}, values, sizes, shapes, ranks, labels, counts
    )


def _images(values, counts, kind, dtype):
    """`(values, sizes)` of all images; of several byte strings in a row the first is the image."""
    if kind != "bytes_list":
        return values, counts
    first = values[(np.cumsum(counts) - counts)[counts > 0]].tolist()
    lengths = np.fromiter(map(len, first), np.int64, len(first))
    dtype = dtype if not (lengths % dtype.itemsize).any() else np.dtype(np.uint8)
    sizes = np.zeros(len(counts), np.int64)
    sizes[counts > 0] = lengths // dtype.itemsize
    return np.frombuffer(b"".join(first), dtype), sizes
