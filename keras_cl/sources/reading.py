"""How a data set is read: the options of all sources, in one place."""

import dataclasses
import hashlib
import os
import pathlib
import re
from typing import Literal

from keras_cl.errors import pick, require

ColorMode = Literal["", "grayscale", "rgb"]
Resizing = Literal["stretch", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "pad"]
CHANNELS = {"grayscale": 1, "rgb": 3}
PLACES = ("data_dir", "cache_dir")  # options that decide nothing about the rows
MOST_PIXELS = 2**15  # of a side


@dataclasses.dataclass(frozen=True)
class Reading:
    """Options of `sources.source`, which see.

    Attributes:
      size: `(height, width)` of all images, or None for the size that they have.
    """

    data_dir: str = ""
    cache_dir: str = ""
    image_size: str = ""
    color_mode: ColorMode = ""
    resizing: Resizing = "stretch"
    train_split: str = ""
    test_split: str = ""
    skip_damaged: bool = False

    def __post_init__(self):
        object.__setattr__(self, "image_size", size_text(self.image_size))
        if self.color_mode:
            pick("color_mode", self.color_mode, [*CHANNELS])
        pick("resizing", self.resizing, Resizing.__args__)
        require(
            self.image_size or self.resizing == "stretch",
            f"--resizing is {self.resizing}, and there is no --image_size.",
        )
        require(
            not self.train_split or self.train_split != self.test_split,
            f"--train_split and --test_split are both {self.train_split}: test rows must be others.",
        )

    @property
    def size(self):
        return tuple(map(int, self.image_size.split("x"))) if self.image_size else None

    @property
    def changes(self):
        """`{option: value}` of the options that change the rows and are not the default."""
        fields = dataclasses.fields(self)
        changed = {field.name: getattr(self, field.name) for field in fields}
        kept = {f.name for f in fields if changed[f.name] != f.default} - {*PLACES, "skip_damaged"}
        return {name: changed[name] for name in sorted(kept)}

    @property
    def digest(self):
        """Of the `changes`, for the name of a cache: one text, or none if there are none."""
        changes = repr([*self.changes.items()]).encode()
        return [hashlib.sha256(changes).hexdigest()[:12]] if self.changes else []

    @property
    def prepared(self):
        """Folder of prepared tensorflow-datasets."""
        given = self.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        return pathlib.Path(given).expanduser()

    @property
    def cache(self):
        """Folder for decoded arrays."""
        return pathlib.Path(self.cache_dir or "~/.cache/keras_cl").expanduser()

    def shape(self, name, shape):
        """Shape of the images that are read from images of the data set `name` that have this `shape`.

        Raises:
          InputError: if the rows are not images, or larger than images that are only padded.
        """
        if not self.image_size and not self.color_mode:
            return tuple(shape)
        asked = "image_size" if self.image_size else "color_mode"
        require(len(shape) == 3, f"--{asked} is for images; the rows of {name} are not images.")
        *size, channels = shape
        wanted = self.size or tuple(size)
        larger = self.resizing == "pad" and (size[0] > wanted[0] or size[1] > wanted[1])
        require(
            not larger,
            f"{name} has images of {size[0]}x{size[1]} pixels, which --resizing=pad cannot bring to "
            f"--image_size={self.image_size}; possible: {', '.join(Resizing.__args__[:-1])}.",
        )
        return (*wanted, CHANNELS.get(self.color_mode, channels))


def size_text(given):
    """`"32x32"` of a size that is given as 32, "32", "32x32" or (32, 32); "" of none.

    Raises:
      InputError: if it is no size.
    """
    if given in ("", None):
        return ""
    parts = [*given] if isinstance(given, tuple | list) else str(given).split("x")
    sides = [int(part) for part in map(str, parts) if re.fullmatch(r"[0-9]{1,9}", part)]
    require(
        len(sides) == len(parts) <= 2 and all(0 < side <= MOST_PIXELS for side in sides),
        f"--image_size is {given}; give the number of pixels of a side, as 32, or height and width, as "
        f"32x48, each from 1 to {MOST_PIXELS}.",
    )
    return "x".join(map(str, sides * 2 if len(sides) == 1 else sides))


def listed(text):
    """The names of the data sets in a text, separated by commas; a file whose path has a comma is one."""
    several = "," in text and not pathlib.Path(text).exists()
    return [name.strip() for name in text.split(",") if name.strip()] if several else [text]


def data_name(text):
    """Name of the data sets in a text for file names and titles: a file or folder without the folders that it
    is in, and a file without its extension."""
    return ",".join(map(_short, listed(text)))


def _short(dataset):
    dataset = dataset.partition(":")[0]
    place = pathlib.Path(dataset)
    if place.suffix in (".npz", ".py"):
        return place.stem
    return dataset.replace("/", "_") if re.fullmatch(r"[a-z]\w*/[\w.+-]+", dataset) else place.name
