"""Generated images after a task: a grid as PNG and for TensorBoard, and their labels."""

import numpy as np
import tensorflow as tf

from keras_cl.runs.files import replace

GRID = 10  # images per row and column
COUNTED = 2000  # images whose labels are counted
LEAST = 400  # smallest height of the grid, in pixels


def draw(path, task, memory):
    """Writes images generated after `task` to the run directory: samples/task_<n>.png and tensorboard/.

    Images are sorted by the class that the network predicts, so that missing classes are visible. Nothing is
    written if the data are not images with one or three channels.
    """
    x, y, _ = memory.generated(GRID * GRID, 1, task.number)
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        return
    x = np.rint(255 * x * memory.generator.scale).clip(0, 255).astype(np.uint8)
    image = tiled(x[np.argsort(y, kind="stable")])
    file = path / "samples" / f"task_{task.number:03d}.png"
    file.parent.mkdir(exist_ok=True)
    replace(file, tf.io.encode_png(image).numpy())
    with tf.summary.create_file_writer(str(path / "tensorboard")).as_default():
        tf.summary.image("generator", image[np.newaxis], step=task.number)


def label_counts(task, memory, classes):
    """Number of images, of 2,000 generated after `task`, that the network assigns to each class `[C]`."""
    _, y, _ = memory.generated(COUNTED, 2, task.number)
    return np.bincount(y, minlength=classes).tolist()


def tiled(x):
    """One image of `GRID` by `GRID` images `[n, height, width, channels]`, at least `LEAST` pixels high."""
    height, width, channels = x.shape[1:]
    rows = x.reshape(GRID, GRID, height, width, channels)
    image = rows.transpose(0, 2, 1, 3, 4).reshape(GRID * height, GRID * width, channels)
    times = -(-LEAST // image.shape[0])
    return image.repeat(times, axis=0).repeat(times, axis=1)
