"""What the tests of learning and exporting share: tiny data, a training loop, a silent display."""

import io

import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_cl.runs.console import Display
from keras_cl.settings.catalog import usual


def blobs(rows, *, labels=None, side=4, dtype=np.uint8, seed=0):
    """Noisy images of one random prototype a class: `{"x_train", "y_train", "x_test", "y_test"}`.

    Args:
      rows: number of training rows of each class; there are ten test rows of each.
      labels: of the classes, 0, 1, ... by default.
      side: height and width of an image.
      dtype: uint8 (0 to 255) or a float (0 to 1).
      seed: of everything.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(len(rows)) if labels is None else np.array(labels)
    prototypes = rng.uniform(0.2, 0.8, (len(rows), side, side, 1))
    arrays = {}
    for part, counts in (("train", rows), ("test", [10] * len(rows))):
        place = rng.permutation(np.repeat(np.arange(len(rows)), counts))
        images = (prototypes[place] + rng.normal(0, 0.1, (len(place), side, side, 1))).clip(0, 1)
        arrays[f"x_{part}"] = (
            np.rint(255 * images).astype(dtype) if dtype == np.uint8 else images.astype(dtype)
        )
        arrays[f"y_{part}"] = labels[place]
    return arrays


# Options that keep what a method is made of small, by what there is to choose.
SMALL = {
    "network": {"mlp": {"hidden": (8,), "dropout": 0.25}, "class_vaes": {"hidden": (8,), "latent": 2}},
    "memory": {"vae": {"hidden": (8,), "latent": 2}},
    "method": {"generative_replay": {"images": 20}, "rtf": {"latent": 2}},
}
FEW_EPOCHS = {"generative_replay": {"memory.epochs": 2}}  # of what a method learns by itself


def small(method, memory=""):
    """Options of a method, its network and its memory that keep it small, as a `Config` takes them."""
    chosen = {"method": method, "memory": memory or usual(method)["memory"]}
    chosen["network"] = usual(method)["network"]
    options = {
        f"{axis}.{name}": value
        for axis, choice in chosen.items()
        for name, value in SMALL[axis].get(choice, {}).items()
    }
    return options | FEW_EPOCHS.get(method, {})


def learn(model, stream, *, batch_size=32, epochs=1):
    """Learns the tasks of `stream`, or of a part of it; yields after each."""
    for task in stream:
        model.begin_task(task)
        model.fit(model.batches(task, batch_size), epochs=epochs, verbose=0)
        model.end_task(task)
        yield task


def silent():
    """A display that shows nothing."""
    return Display(Console(file=io.StringIO()))


def saved_variables(prefix):
    """`{key: array}` of all variables of a TensorFlow checkpoint."""
    reader = tf.train.load_checkpoint(str(prefix))
    keys = reader.get_variable_to_shape_map()
    return {key: reader.get_tensor(key) for key in keys if key.endswith("VARIABLE_VALUE")}


def assert_same(arrays, others):
    """Two lists of arrays are equal bit for bit."""
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)
