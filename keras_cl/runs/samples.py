"""Generated images after a task: a grid as PNG and for TensorBoard, and their labels."""

import numpy as np
import tensorflow as tf

from keras_cl.runs.files import replace
from keras_cl.runs.saved_model import labels

GRID = 10  # images per row and column
COUNTED = 2000  # images whose labels are counted
COLLAPSED = 0.99  # part of them that are of one class if a generator has collapsed
LEAST = 400  # smallest height of the grid, in pixels


def draw(path, task, memory, board=True):
    """Writes images generated after `task` to the run directory: samples/task_<n>.png and, with `board`,
    tensorboard/.

    Images are sorted by the class that the network predicts, so that missing classes are visible. Nothing is
    written if the data are not images with one or three channels.
    """
    x, y, _ = memory.predicted(GRID * GRID, 1, task.number)
    if x.ndim != 4 or x.shape[-1] not in (1, 3):
        return
    x = np.rint(255 * x * memory.generator.scale).clip(0, 255).astype(np.uint8)
    image = tiled(x[np.argsort(y, kind="stable")])
    file = path / "samples" / f"task_{task.number:03d}.png"
    file.parent.mkdir(exist_ok=True)
    replace(file, tf.io.encode_png(image).numpy())
    if board:
        with tf.summary.create_file_writer(str(path / "tensorboard")).as_default():
            tf.summary.image("generator", image[np.newaxis], step=task.number)


def label_counts(task, memory, classes):
    """Number of images, of 2,000 generated after `task`, that the network assigns to each class `[C]`."""
    _, y, _ = memory.predicted(COUNTED, 2, task.number)
    return np.bincount(y, minlength=classes).tolist()


def collapse(task, counts):
    """A sentence for a generator whose images the network takes for one class, where there are more; else
    empty. If the network is told the task of an image, for one class of each task.

    Args:
      task: the `Task` after which the images were generated.
      counts: number of images of each class, see `label_counts`.
    """
    if not len(counts):
        return ""
    counts, seen = np.array(counts), task.stream.class_mask[: task.number]
    of_task = task.stream.scenario == "task"
    answers = [own for own in (seen if of_task else seen.any(axis=0, keepdims=True)) if own.sum() > 1]
    largest = sum(counts[own].max() for own in answers)
    images = sum(counts[own].sum() for own in answers)
    if not images or largest < COLLAPSED * images:
        return ""
    label = labels(task.stream)[counts.argmax()]
    if task.stream.scenario != "domain":  # in which it is a position
        (label,) = task.stream.named([label])
    known = "one class of each task" if of_task else f"class {label}, one of {answers[0].sum()}"
    return (
        f"The generator has collapsed: the network takes {largest:,} of {images:,} images generated after "
        f"task {task.number} for {known}."
    )


def tiled(x, columns=GRID):
    """One image of images `[n, height, width, channels]`, row by row, at least `LEAST` pixels high."""
    height, width, channels = x.shape[1:]
    rows = x.reshape(-1, columns, height, width, channels)
    image = rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * width, channels)
    times = -(-LEAST // image.shape[0])
    return image.repeat(times, axis=0).repeat(times, axis=1)
