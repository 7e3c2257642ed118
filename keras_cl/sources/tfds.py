"""Image data sets from tensorflow-datasets, decoded once and then mapped from plain .npy files.

Decoding MNIST takes about five seconds, loading the decoded arrays a few milliseconds. The cache key is the
name, the version and the description of the prepared data, and the options that change the images.
"""

import contextlib
import functools
import hashlib
import importlib

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.sources import cache, prepared
from keras_cl.sources.base import Source
from keras_cl.sources.decoding import Rows, require_classes
from keras_cl.sources.prepared import NAME, SHAPES, Images


def tfds(name, reading, possible=()):
    """Source of the data set `name[/configuration][:version]` of tensorflow-datasets, uint8, labels from 0.

    It is downloaded and prepared if possible, when the folder has no prepared copy; at once, unless it is one
    of `SHAPES`.

    Raises:
      InputError: if it is unknown, no set of images with one class each, or cannot be prepared.
    """
    folder = prepared.find(reading.prepared, name)
    if folder is None and name not in SHAPES:
        folder = prepare(name, reading.prepared, possible)
    names = ()
    if folder is None:
        about = Images("image", "label", *SHAPES[name])
    else:
        about = prepared.described(name, folder)
        names = prepared.class_names(folder, about.label)
        prepared.splits(name, folder, reading)
    shape = _shape(name, about, reading)
    load = functools.partial(_load, name, reading, shape)
    return Source(name, shape, tuple(range(about.classes)), 1 / 255, load, names, shows_progress=True)


def _shape(name, about, reading):
    """Shape of the images of a data set with these options."""
    *size, channels = about.shape
    require(
        reading.size or None not in size,
        f"The images of {name} differ in size; give --image_size=32 or another size for all.",
    )
    require(
        reading.color_mode or channels is not None,
        f"Some images of {name} are grey and some have colours; give --color_mode=grayscale or rgb for all.",
    )
    known = (*(side or 1 for side in size), channels or 3)
    return reading.shape(name, known)


def _load(name, reading, shape, progress):
    folder = prepared.find(reading.prepared, name) or prepare(name, reading.prepared)
    about = prepared.described(name, folder)
    found = arrays(name, folder, about, reading, shape, progress, prepared.splits(name, folder, reading))
    require_classes(name, found, about.classes, prepared.class_names(folder, about.label))
    return found


def arrays(name, folder, about, reading, shape, progress, splits, kept_as="", labels=None):
    """`((x_train, y_train), (x_test, y_test))` of a prepared data set, from the cache after the first time.

    Args:
      name: of the data set, in messages.
      folder: of the prepared version.
      about: its `Images`.
      reading: the options.
      shape: that of the images with these options.
      progress: shows how far it is; None for none.
      splits: of the training rows and of the test rows.
      kept_as: name of the arrays in the cache, by default that of the data set.
      labels: table of new labels, -1 for rows that are left out; None for the labels as they are.
    """
    digest = hashlib.sha256((folder / prepared.INFO).read_bytes()).hexdigest()[:12]
    base = kept_as or name.partition(":")[0].replace("/", "_")
    key = "-".join([base, folder.name, digest, *reading.digest])
    make = functools.partial(_rows, name, folder, about, reading, shape, progress, splits, labels)
    return cache.arrays(reading.cache / key, make, reading.skip_damaged)


def _rows(name, folder, about, reading, shape, progress, splits, labels):
    """`{"train": Rows, "test": Rows}` of the prepared records in a folder."""
    import tensorflow_datasets

    keep_encoded = {about.image: tensorflow_datasets.decode.SkipDecoding()}
    decoders = tensorflow_datasets.decode.PartialDecoding(
        {about.image: True, about.label: True}, decoders=keep_encoded
    )

    def encoded(split):
        with _damage_told(name, folder):
            data = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
        data = data.map(lambda row: (row[about.image], row[about.label]))
        return data if labels is None else _chosen(data, labels)

    def rows(split):
        return Rows(
            name=f"{name}, {split}",
            encoded=functools.partial(encoded, split),
            where=lambda index: f"Row {index} of the split {split} of {name} in {folder}",
            count=builder.info.splits[split].num_examples,
            shape=shape,
            channels=about.shape[2] or 0,
            reading=reading,
            progress=progress,
            exact=labels is None,
        )

    with _damage_told(name, folder):
        builder = tensorflow_datasets.builder_from_directory(folder)
        return {part: rows(split) for part, split in zip(cache.PARTS, splits, strict=True)}


@contextlib.contextmanager
def _damage_told(name, folder):
    """Inside the `with` block, any error is one sentence about the files of a data set."""
    try:
        yield
    except Exception as error:  # damaged files, and splits that are none, raise many kinds of errors
        lines = str(error).strip().splitlines() or ["no reason given"]
        reason = f"{type(error).__name__}: {lines[0].rstrip('.'):.200}"
        raise InputError(f"{name} in {folder} cannot be read: {reason}.") from error


def _chosen(data, labels):
    """Rows with new labels, without those whose label is -1."""
    import tensorflow as tf

    table = tf.constant(labels, tf.int32)
    data = data.map(lambda image, label: (image, tf.gather(table, label)))
    return data.filter(lambda image, label: label >= 0)


def prepare(name, folder, possible=()):
    """Downloads and prepares `name` with tensorflow-datasets, or says in one sentence how to provide it.

    Returns:
      the folder of the prepared version.
    """
    import tensorflow_datasets

    with contextlib.suppress(ImportError):  # its ten retries take minutes when offline
        importlib.import_module("tensorflow_datasets.core.download.downloader").MAX_RETRIES = 3
    if possible:
        _require_known(name, tensorflow_datasets, possible)
    try:
        builder = tensorflow_datasets.builder(name, data_dir=folder)
        if possible:
            prepared.images(name, builder.info.features.to_json())
        builder.download_and_prepare()
        found = prepared.find(folder, name)
        require(found, f"{name} was prepared, and is not in {folder}.")
        return found
    except InputError:
        raise
    except Exception as error:  # the library passes on every kind of network and file error
        raise InputError(
            f"The data set {name} is not in {folder} and could not be downloaded "
            f"({type(error).__name__}): give --data_dir (or set TFDS_DATA_DIR to) a folder where "
            f"tensorflow-datasets has prepared it, or put it into an .npz file with x_train, y_train, x_test "
            f"and y_test and give --dataset=path/to/file.npz."
        ) from error


def _require_known(name, library, possible):
    """Raises `InputError` unless tensorflow-datasets knows a data set, its configuration and its version."""
    known = library.list_builders(with_community_datasets=False)
    parts = NAME.fullmatch(name)
    short, configuration, version = (parts[part] for part in ("set", "config", "version"))
    require(
        short in known,
        f"dataset {name!r} is not known; possible: {', '.join(possible)}."
        + did_you_mean(short, [*possible, *known]),
    )
    builder = library.builder_cls(short)
    configurations = list(builder.builder_configs)
    require(
        not configuration or configuration in configurations,
        f"{short} has no configuration {configuration}; possible: {', '.join(configurations) or 'none'}."
        + did_you_mean(configuration, configurations),
    )
    own = [one.version for one in builder.builder_configs.values()]
    versions = sorted({str(one) for one in (builder.VERSION, *builder.SUPPORTED_VERSIONS, *own) if one})
    require(
        version in (None, *versions),
        f"{short} has no version {version}; possible: {', '.join(versions)}.",
    )
