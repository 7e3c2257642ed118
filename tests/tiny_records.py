"""Small records of data sets of tensorflow-datasets, written by its own builders."""

import numpy as np
import pytest


def images(n, seed, shape=(32, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, [n, *shape], dtype=np.uint8)


def prepare(monkeypatch, folder, name, parts):
    """Writes records of rows `(x, y)`, by split, with the builder of a data set; its names of the labels."""
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder(name, data_dir=folder)
    more = {"id", "filename"} & set(builder.info.features)  # what the records of this data set have besides

    def rows(x, y):
        for key, (image, label) in enumerate(zip(x, y, strict=True)):
            yield key, {"image": image, "label": int(label), **dict.fromkeys(more, str(key))}

    splits = {split: list(rows(*pair)) for split, pair in parts.items()}
    monkeypatch.setattr(
        type(builder), "_split_generators", lambda *_: {s: iter(r) for s, r in splits.items()}
    )
    builder.download_and_prepare()
    return builder.info.features["label"].names
