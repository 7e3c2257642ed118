"""What a prepared data set of tensorflow-datasets is, read from its own description without that library."""

import dataclasses
import json
import pathlib
import re

from keras_cl.errors import InputError, did_you_mean, require

NAME = re.compile(
    r"(?P<set>[a-z]\w{0,99})(/(?P<config>\w[\w.+-]{0,99}))?(:(?P<version>\d+\.\d+\.\d+))?", re.ASCII
)
# Image shape and number of classes, so that a stream can be checked before they are downloaded.
SHAPES = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "svhn_cropped": ((32, 32, 3), 10),
}
INFO, FEATURES = "dataset_info.json", "features.json"
WORDS = {  # of the kinds of features that are no images with a label
    "BBoxFeature": "boxes",
    "Dataset": "sequences",
    "Sequence": "sequences",
    "Video": "sequences of images",
    "Text": "text",
    "Audio": "sound",
    "Translation": "text",
    "LabeledImage": "a label for each pixel",
    "FeaturesDict": "values",
    "Tensor": "numbers",
    "Scalar": "numbers",
    "ClassLabel": "class labels",
    "Image": "images",
}


@dataclasses.dataclass(frozen=True)
class Images:
    """The images and labels of a data set.

    Attributes:
      image, label: names of the two features.
      shape: `(height, width, channels)`; None for what differs from image to image.
      classes: number of classes.
    """

    image: str
    label: str
    shape: tuple[int | None, int | None, int | None]
    classes: int


def find(folder, name):
    """The folder of a prepared data set `name[/configuration][:version]`, of its newest version if the name
    has none; None if there is none. A configuration that alone is prepared need not be named.

    Raises:
      InputError: if several configurations are prepared, and the name has none.
    """
    parts = NAME.fullmatch(name)
    place = pathlib.Path(folder, parts["set"], parts["config"] or "")
    found = _versions(place)
    if not found and not parts["config"] and place.is_dir():
        known = sorted(entry.name for entry in place.iterdir() if _versions(entry))
        require(
            len(known) < 2,
            f"{name} has configurations; give one of those that are prepared, as --dataset={name}/"
            f"{', '.join(known)}.",
        )
        found = _versions(place / known[0]) if known else {}
    if parts["version"]:
        return found.get(parts["version"])
    return max(found.items(), key=lambda pair: [*map(int, pair[0].split("."))], default=(None, None))[1]


def _versions(place):
    """`{version: folder}` of the prepared versions in the folder of a data set or a configuration."""
    infos = place.glob(f"*.*.*/{INFO}") if place.is_dir() else ()
    return {
        file.parent.name: file.parent for file in infos if re.fullmatch(r"\d+\.\d+\.\d+", file.parent.name)
    }


def described(name, folder):
    """`Images` of the prepared data set in `folder`.

    Raises:
      InputError: if it is no set of images with one class each, or its description is damaged.
    """
    try:
        features = json.loads((folder / FEATURES).read_text())
        supervised = _json(folder).get("supervisedKeys", {}).get("tuple", {}).get("items", [])
        return images(name, features, [item.get("featureKey") for item in supervised])
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name}: {folder} has no usable {FEATURES} ({type(error).__name__}); prepare the data set with "
            f"tensorflow-datasets 4 or later."
        ) from None


def images(name, description, supervised=()):
    """`Images` of the JSON of a data set's features.

    Args:
      name: of the data set, in messages.
      description: what `features.json` holds.
      supervised: names of the input and the label, if the data set says so.
    """
    features = description.get("featuresDict", description.get("content", {})).get("features")
    features = features or description["content"]["features"]
    kinds = {key: part["pythonClassName"].rpartition(".")[2] for key, part in features.items()}
    usable = [key for key in supervised if kinds.get(key) in ("Image", "ClassLabel")]
    chosen = usable if len(usable) == 2 else kinds
    found = [[key for key in chosen if kinds[key] == kind] for kind in ("Image", "ClassLabel")]
    if [len(keys) for keys in found] != [1, 1]:
        told = ", ".join(f"{key} ({WORDS.get(kind, kind)})" for key, kind in sorted(kinds.items()))
        raise InputError(
            f"{name} is no data set for the classification of images: its rows have {told}; needed are one "
            f"image and one class label."
        )
    (image,), (label,) = found
    about = features[image]["image"]
    require(
        about.get("dtype", "uint8") == "uint8",
        f"{name} has images of {about.get('dtype')}; needed are images of bytes (uint8).",
    )
    sides = [int(side) for side in about["shape"]["dimensions"]]
    shape = tuple(None if side < 0 else side for side in sides)
    return Images(image, label, shape, int(features[label]["classLabel"]["numClasses"]))


def class_names(folder, label):
    """Names of the classes, () if they have none."""
    file = folder / f"{label}.labels.txt"
    return tuple(file.read_text().splitlines()) if file.is_file() else ()


def splits(name, folder, reading):
    """`(train, test)`: the two splits that are read, in the words of tensorflow-datasets.

    Raises:
      InputError: if there are none, with those that there are.
    """
    there = [split["name"] for split in _json(folder).get("splits", []) if split.get("shardLengths")]
    other = "validation" if "test" not in there and "validation" in there else "test"
    found = reading.train_split or "train", reading.test_split or other
    for part, split in zip(("train", "test"), found, strict=True):
        missing = [one for one in re.findall(r"[^\W\d][\w-]*(?=\[|\s|\+|$)", split) if one not in there]
        one = there[0] if there else "train"
        require(
            not missing,
            f"{name} has no split {missing[0] if missing else ''}, only {', '.join(there) or 'none'}; give "
            f"--{part}_split, which can be a part of one, as in --train_split={one}[:80%] "
            f"--test_split={one}[80%:].{did_you_mean(split, there)}",
        )
    require(found[0] != found[1], f"{name}: --train_split and --test_split are both {found[0]}.")
    return found


def _json(folder):
    return json.loads((folder / INFO).read_text())
