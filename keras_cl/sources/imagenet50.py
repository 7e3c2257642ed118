"""Fifty classes of ImageNet in 32x32 pixels, from `imagenet_resized` of tensorflow-datasets.

The classes of the released program of Ostapenko et al. 2019 (arXiv:1904.03137), in its order: of the 1,000
classes, sorted by their WordNet identifiers, ten in each of the first five hundreds, which are five tasks of
ten classes; the program lists as many more. The test rows are the validation images of ImageNet, whose test
labels are unknown.
"""

import functools

import numpy as np

from keras_cl.errors import require
from keras_cl.sources import prepared, tfds
from keras_cl.sources.base import Source

NAME, PREPARED = "imagenet50", "imagenet_resized/32x32"
PLACES = (1, 15, 29, 45, 59, 65, 81, 89, 90, 99)  # in a hundred classes


def imagenet50(reading):
    """Source of 50 classes of ImageNet: uint8 images `[n, 32, 32, 3]`, labels 0 to 49.

    Args:
      reading: the options, a `Reading`.
    """
    shape = reading.shape(NAME, (32, 32, 3))
    load = functools.partial(_load, reading, shape)
    return Source(NAME, shape, tuple(range(50)), 1 / 255, load, shows_progress=True)


def _load(reading, shape, progress):
    folder = prepared.find(reading.prepared, PREPARED) or tfds.prepare(PREPARED, reading.prepared)
    about = prepared.described(PREPARED, folder)
    names = prepared.class_names(folder, about.label)
    require(len(names) == 1000, f"{PREPARED} in {folder} has {len(names)} names of classes, and not 1,000.")
    in_order = np.argsort(names)  # the data set has another order of the classes
    chosen = [in_order[100 * hundred + place] for hundred in range(5) for place in PLACES]
    labels = np.full(len(names), -1, np.int32)
    labels[chosen] = np.arange(len(chosen))
    splits = prepared.splits(PREPARED, folder, reading)
    return tfds.arrays(PREPARED, folder, about, reading, shape, progress, splits, NAME, labels)
