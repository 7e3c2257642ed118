"""A folder of images: `train/<class>/*.png` and `test/<class>/*.png`, also jpeg, bmp and gif.

The sorted names of the classes have the labels 0, 1, and so on. Images lie in the folder of their class or in
folders below it, and are sorted by name; of a gif, the first image is read. Other files are passed over, as
by Keras, but not images of another format.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib

from keras_cl.errors import InputError, did_you_mean, require
from keras_cl.sources import cache
from keras_cl.sources.base import Source
from keras_cl.sources.decoding import DAMAGED, Rows, first_shape, require_classes
from keras_cl.sources.reading import CHANNELS

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
OTHER_IMAGES = (".webp", ".tif", ".tiff", ".ppm", ".pgm", ".heic", ".avif")  # refused, and not passed over
PROBED = 100  # images that are tried for one that decodes


@dataclasses.dataclass(frozen=True)
class Part:
    """The images of one of the two subfolders.

    Attributes:
      path: the subfolder.
      classes: its sorted names of classes.
      files: paths of the images, by class and name.
      labels: index of the class of each file.
    """

    path: pathlib.Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]


def folder(path, reading):
    """Source of the images in the folder at `path`: uint8, labels from 0 in the order of the names.

    Raises:
      InputError: if classes, images or subfolders are missing, or no image decodes.
    """
    given, path = str(path), pathlib.Path(path).expanduser()
    parts = {name: _part(path, given, getattr(reading, f"{name}_split") or name) for name in cache.PARTS}
    train, test = parts.values()
    alone = f"the class {train.classes[0]} alone" if train.classes else "no folders of classes"
    require(len(train.classes) > 1, f"{train.path} has {alone}; at least two classes are needed.")
    for here, there in ((train, test), (test, train)):
        missing = ", ".join(sorted({*here.classes} - {*there.classes})[:3])
        require(not missing, f"{given}: the class {missing} is in {here.path} and not in {there.path}.")
    shape = _shape(train, reading)
    load = functools.partial(_load, given, path, reading, parts, shape)
    classes = tuple(range(len(train.classes)))
    return Source(given, shape, classes, 1 / 255, load, train.classes, shows_progress=True)


def digest(path, reading, times=False):
    """SHA-256 of the names and sizes of the images of a folder, and of their times if asked for."""
    path, found = pathlib.Path(path).expanduser(), []
    for part in cache.PARTS:
        for inner, folders, names in os.walk(path / (getattr(reading, f"{part}_split") or part)):
            folders.sort()
            for name in sorted(names):
                file = os.path.join(inner, name)
                if name.lower().endswith(KINDS) and os.path.isfile(file):  # else it is named when it is read
                    said = os.stat(file)
                    time = (said.st_mtime_ns,) if times else ()
                    found.append((os.path.relpath(file, path), said.st_size, *time))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _part(path, given, name):
    place = path / name
    if not place.is_dir():
        there = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise InputError(
            f"The folder {given} has no subfolder {name}; images belong into train/<class>/ and "
            f"test/<class>/, or into folders that --train_split and --test_split name."
            + did_you_mean(name, there)
        )
    classes = tuple(sorted(e.name for e in place.iterdir() if e.is_dir() and not e.name.startswith(".")))
    files, labels = [], []
    for label, known in enumerate(classes):
        own = list(_images(place / known))
        require(own, f"The folder {place / known} has no images; possible: {', '.join(KINDS)}.")
        files += own
        labels += [label] * len(own)
    return Part(place, classes, tuple(files), tuple(labels))


def _images(place):
    """Yields the paths of the images below a folder, sorted."""
    for inner, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            kind = os.path.splitext(name)[1].lower()
            file = os.path.join(inner, name)
            require(
                kind not in OTHER_IMAGES,
                f"{file} is of a kind that cannot be decoded; possible: {', '.join(KINDS)}.",
            )
            if kind in KINDS and not name.startswith("."):
                yield file


def _shape(part, reading):
    """Shape of the images, from the first one if the options do not say it."""
    if reading.size and reading.color_mode:
        return (*reading.size, CHANNELS[reading.color_mode])
    tried = part.files[: PROBED if reading.skip_damaged else 1]
    shape = first_shape((pathlib.Path(file).read_bytes() for file in tried), reading)
    require(
        shape,
        f"{tried[0]} {DAMAGED}"
        + (
            ", nor are those after it."
            if reading.skip_damaged
            else "; --skip_damaged leaves such images out."
        ),
    )
    require(
        len(shape) == 3 and shape[2] in (1, 3),
        f"{tried[0]} has an alpha channel; give --color_mode=rgb or grayscale, which drop it.",
    )
    return (*reading.size, shape[2]) if reading.size else shape


def _load(given, path, reading, parts, shape, progress):
    def rows():
        return {name: of(name, part) for name, part in parts.items()}

    def of(name, part):
        return Rows(
            name=f"{given}, {name}",
            encoded=functools.partial(_encoded, part),
            where=part.files.__getitem__,
            count=len(part.files),
            shape=shape,
            reading=reading,
            progress=progress,
        )

    place = path.resolve()
    known = hashlib.sha256(f"{place} {digest(place, reading, times=True)}".encode()).hexdigest()[:12]
    key = "-".join([place.name, known, *reading.digest])
    found = cache.arrays(reading.cache / key, rows, reading.skip_damaged)
    classes = parts["train"].classes
    require_classes(given, found, len(classes), classes)
    return found


def _encoded(part):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((list(part.files), list(part.labels)))
    return data.map(lambda file, label: (tf.io.read_file(file), label), tf.data.AUTOTUNE)
