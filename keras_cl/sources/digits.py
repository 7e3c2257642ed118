"""The 1,797 real 8x8 digits embedded in scikit-learn (Alpaydin & Kaynak 1998): no download.

The fixed split uses every fifth image of each class for testing (355 images; 1,442 for training).
"""

import numpy as np

from keras_cl.sources.base import Source


def digits():
    """Source of the embedded digits: uint8 images `[n, 8, 8, 1]` with values 0 to 16, labels 0 to 9."""
    return Source("digits", (8, 8, 1), tuple(range(10)), 1 / 16, _load)


def _load():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = x.astype(np.uint8).reshape(-1, 8, 8, 1), y.astype(np.int32)
    place_in_class = np.empty(len(y), int)
    for label in range(10):
        rows = np.flatnonzero(y == label)
        place_in_class[rows] = np.arange(len(rows))
    test = place_in_class % 5 == 4
    return (x[~test], y[~test]), (x[test], y[test])
