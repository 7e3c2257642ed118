"""What was measured of a generator, as its files have it: generator_quality.csv and nearest.csv."""

import csv

from keras_cl.metrics import GENERATOR

FILE = "generator_quality.csv"  # one row per task
NEAREST = "nearest.csv"  # one row per training image near a generated one


def rows_of(path, name=FILE):
    """The rows of a file in a run directory, dicts of text; none if it is missing or damaged."""
    try:
        with open(path / name, newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def records(path, images=None):
    """The measurements in a run directory, dicts of numbers and None for empty cells, in the order of tasks.

    Args:
      path: the run directory.
      images: number of images that they are of; None for any.

    Returns:
      list of dicts; empty if there is none, if it is damaged, or of another number of images.
    """
    try:
        found = [{name: _number(text) for name, text in row.items()} for row in rows_of(path)]
        whole = [record["task"] for record in found] == list(range(1, len(found) + 1))
        same = all(images in (None, record["images"]) for record in found)
        all_there = all(GENERATOR.keys() <= record.keys() for record in found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return found if whole and same and all_there else []


def numbers(path, tasks):
    """`{name: values after each task}` of `GENERATOR` in a run directory; {} unless all tasks have them."""
    found = records(path)
    if len(found) != tasks:
        return {}
    values = {name: [record[name] for record in found] for name in GENERATOR}
    return {name: of_tasks for name, of_tasks in values.items() if None not in of_tasks}


def told(record):
    """A sentence about the measurements of a task."""
    agreed, real, best = (
        f"{100 * record[name]:.1f} %" for name in ("oracle_on_fake", "fake_to_real", "oracle_accuracy")
    )
    own, least = (f"{record[f'{name}_frechet_distance']:.3g}" for name in ("generated", "real"))
    said = (
        f"the oracle gives {agreed} of the images their label; a classifier of them alone is right on {real} "
        f"of the real test images (the oracle on {best}); Frechet distance {own} (of real images {least})"
    )
    counts = {name: count for name, count in record.items() if name.startswith("label_")}
    label = max(counts, key=counts.get)
    if record["classes"] > 1 and counts[label] >= 0.99 * record["images"]:
        said += f"; the generator has collapsed: the oracle sees the class {label[6:]} in all its images"
    return said


def _number(text):
    if text == "":
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)
