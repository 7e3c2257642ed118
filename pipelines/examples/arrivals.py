"""Examples that arrived as the next task: TFRecords, a CSV file with paths of images, or an .npz file.

The formats are read by `examples/formats.py`; here the rows are checked against the plan and divided into
training, validation and test rows. A row whose split the data do not give gets one by the hash of its image,
so that the same image is always in the same split.
"""

import hashlib

import numpy as np

from keras_cl.errors import InputError, require
from keras_cl.sources.base import scale_of
from pipelines.examples.plan import SPLITS, Plan, classes_of

TEST_FRACTION = 0.2  # of rows whose split the data do not give


def plan_of(classes, input_shape, dtype, *, scenario="class", valid_fraction=0.0, seed=0):
    """The plan of a line all of whose tasks arrive.

    Args:
      classes: labels of all planned tasks, for example "0,1/2,3/4,5".
      input_shape: shape of an image.
      dtype: "uint8" or "float32".
      scenario: "task", "domain" or "class".
      valid_fraction: fraction of the training rows held out for validation.
      seed: seed of the stream.

    Raises:
      InputError: if the classes are not written like that.
    """
    tasks = classes_of(classes, scenario)
    labels = sorted({label for task in tasks for label in task})
    require(min(input_shape, default=0) >= 1, f"The images have no pixels: their shape is {input_shape}.")
    return Plan(
        name="arrivals",
        source="arrivals",
        scenario=scenario,
        task_classes=tasks,
        classes=tuple(labels),
        input_shape=tuple(input_shape),
        dtype=str(dtype),
        scale=scale_of(np.dtype(dtype)),
        valid_fraction=valid_fraction,
        seed=seed,
    )


def splits_of(rows, plan, number):
    """The images and labels `{part: (x, labels)}` of a task, checked against the plan.

    Args:
      rows: `formats.Rows` that arrived.
      plan: the `Plan` of the line.
      number: number of the task, from 1.

    Raises:
      InputError: names the file and the first row that is not what is planned.
    """
    _require_images(rows, plan)
    labels = np.array(rows.labels)
    classes = plan.task_classes[number - 1]
    _require_none(
        rows,
        ~np.isin(labels, classes),
        lambda row: f"the label is {labels[row]}, and the classes of task {number} are {_listed(classes)}",
    )
    x = np.asarray(rows.images) if isinstance(rows.images, np.ndarray) else np.stack(rows.images)
    if x.dtype != np.uint8:
        broken = ~np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
        _require_none(rows, broken, lambda row: "the image has values that are NaN or infinite")
    part = _parts(rows, x, plan.valid_fraction)
    for label in classes:
        require(
            np.any((labels == label) & (part == "train")),
            f"{rows.origin} has no training rows of the class {label}, which is planned for task {number}.",
        )
    require(np.any(part == "test"), f"{rows.origin} has no test rows.")
    return {name: (x[part == name], labels[part == name]) for name in SPLITS}


def _require_images(rows, plan):
    """Raises `InputError` unless all images have the planned shape and type."""
    for row, image in enumerate(rows.images):
        if image.shape != plan.input_shape or image.dtype != plan.dtype:
            raise InputError(
                f"{rows.named(row)}: the image is {_shape(image.shape)} of {image.dtype}, and planned are "
                f"images of {_shape(plan.input_shape)} of {plan.dtype}."
            )


def _parts(rows, x, valid_fraction):
    """The split of every row, by name `[n]`: the one that the data give, or else by the hash of the image."""
    part = np.array(rows.parts, dtype="<U5")
    valid = 0.0 if np.any(part == "valid") else valid_fraction
    if np.all(part != "") and not valid:
        return part
    drawn = np.array([_uniform(image) for image in x])
    free = part == ""
    part[free] = np.where(drawn[free] < TEST_FRACTION, "test", "train")
    # Uniform again among the rows that are not for testing.
    drawn = np.where(free, (drawn - TEST_FRACTION) / (1 - TEST_FRACTION), drawn)
    part[(part == "train") & (drawn < valid)] = "valid"
    return part


def _uniform(image):
    """A number in [0, 1) that depends on nothing but the image."""
    hashed = hashlib.blake2b(image.tobytes(), digest_size=8).digest()
    return int.from_bytes(hashed, "big") / 2**64


def _require_none(rows, wrong, said):
    """Raises `InputError` about the first row that is `wrong` `[n]`."""
    found = np.flatnonzero(wrong)
    if len(found):
        raise InputError(f"{rows.named(found[0])}: {said(found[0])}.")


def _shape(shape):
    return "x".join(map(str, shape))


def _listed(classes):
    return ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
