"""Sources of images and labels: embedded digits, tensorflow-datasets, folders of images, own arrays."""

import hashlib
import os
import pathlib

from keras_cl.errors import did_you_mean, require
from keras_cl.sources import prepared
from keras_cl.sources.base import Source
from keras_cl.sources.reading import ColorMode, Reading, Resizing, listed

__all__ = ["Source", "from_arrays", "source"]

NAMES = ("digits", *prepared.SHAPES, "imagenet50")  # of this library
POSSIBLE = (
    *NAMES,
    "any image classification set of tensorflow-datasets",
    "path/to/folder of images",
    "path/to/file.npz",
    "path/to/file.py",
)


def from_arrays(x_train, y_train, x_test, y_test, name="arrays", signals=False):
    """A `Source` of arrays in memory.

    Args:
      x_train, x_test: images `[n, height, width]` or `[n, height, width, channels]`, volumes `[n, depth,
        height, width, channels]`, signals `[n, steps, 1]` or rows `[n, features]`, bytes (scaled by 1/255) or
        floats (not scaled).
      y_train, y_test: integer labels `[n]`; every test label must occur in training.
      name: name in messages and results.
      signals: whether arrays of three axes are signals `[n, steps, channels]` and no images.

    Raises:
      InputError: names the array and what is wrong with it.
    """
    from keras_cl.sources import npz

    return npz.checked(name, x_train, y_train, x_test, y_test, signals)


def names(dataset):
    """The data sets of a text of names separated by commas, or of a list; a list of one if it is one."""
    if isinstance(dataset, list | tuple):
        return list(dataset)
    return [dataset] if isinstance(dataset, Source) else listed(str(dataset))


def source(
    name,
    *,
    data_dir="",
    cache_dir="",
    image_size="",
    color_mode: ColorMode = "",
    resizing: Resizing = "stretch",
    train_split="",
    test_split="",
    skip_damaged=False,
):
    """The `Source` called `name`.

    Args:
      name: "digits", "imagenet50", a data set of tensorflow-datasets with one image and one class a row, as
        in "mnist", "imagenet_resized/64x64" or "mnist:3.0.1", the path of an .npz file, or the path of a
        folder with `train/<class>/*.png` and `test/<class>/*.png`, also jpeg, bmp and gif. Names of this
        library come first, then folders. A `Source` is taken as it is, and made anew if its images shall have
        another size or colour.
      data_dir: folder of prepared tensorflow-datasets; empty for the default of that library.
      cache_dir: folder for decoded arrays; empty for `~/.cache/keras_cl`.
      image_size: size of all images in pixels, 32 for 32x32, or height and width, as "32x48" or (32, 48);
        empty for the size that they have, which must be one.
      color_mode: "grayscale" for one channel, as `tf.image.rgb_to_grayscale` weights them, "rgb" for three,
        which are equal in grey images; both drop an alpha channel. Empty for the channels that images have.
      resizing: how they get that size: as in `keras.utils.image_dataset_from_directory`, "stretch" both
        sides (bilinear, without antialiasing; bytes are rounded), "crop_to_aspect_ratio" cuts out the middle
        before, "pad_to_aspect_ratio" puts it into the middle of zeros before; "pad" does that and does not
        scale.
      train_split, test_split: split of tensorflow-datasets, or part of one, as in "train[:80%]", or the
        subfolder of a folder; by default train and test, or validation for a data set without test rows.
      skip_damaged: whether images that cannot be decoded are left out, with a notice of how many, instead of
        refused.

    Raises:
      InputError: for an unknown name, an unusable file, or options that do not fit it.
    """
    sizes = {"image_size": image_size, "color_mode": color_mode, "resizing": resizing}
    splits = {"train_split": train_split, "test_split": test_split}
    reading = Reading(data_dir=data_dir, cache_dir=cache_dir, **sizes, **splits, skip_damaged=skip_damaged)
    if not isinstance(name, Source):
        require(
            len(names(name)) == 1,
            f"dataset {name!r} names several data sets: --stream=datasets makes a task of each; others take "
            f"one.",
        )
        name = str(name)
        if name != "digits" and not name.endswith(".npz"):
            return _stored(name, reading)
        name = _arrays(name)
    for option, split in splits.items():
        said = f"--{option} is for tensorflow-datasets and folders of images, and {name.name} has no splits."
        require(not split, said)
    from keras_cl.sources.images import refitted

    return refitted(name, reading)


def _arrays(name):
    """The `Source` of arrays that need no decoding."""
    from keras_cl.sources import digits, npz

    return digits.digits() if name == "digits" else npz.npz(name)


def _stored(name, reading):
    """The `Source` of images that are decoded as `reading` asks for."""
    from keras_cl.sources import folder as folders
    from keras_cl.sources import imagenet50, tfds

    if name == imagenet50.NAME:
        return imagenet50.imagenet50(reading)
    if is_folder(name):
        return folders.folder(name, reading)
    require(
        prepared.NAME.fullmatch(name),
        f"dataset {name!r} is not known, and there is no such folder; possible: {', '.join(POSSIBLE)}."
        + did_you_mean(name, NAMES),
    )
    return tfds.tfds(name, reading, POSSIBLE)


def is_folder(name):
    """Whether the name of a data set is that of a folder of images."""
    return name not in NAMES and not name.endswith(".npz") and os.path.isdir(os.path.expanduser(name))


def digest(name, reading):
    """SHA-256 of the data set at a path: of an .npz file, or of the names and sizes of the images in a folder
    that a `Reading` asks for; None for any other."""
    file = pathlib.Path(name)
    if file.suffix == ".npz" and file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    if not is_folder(name):
        return None
    from keras_cl.sources import folder

    return folder.digest(name, reading)
