"""Quality of the generator.

Left, two classifiers of images: the share of generated ones to which a classifier of real ones, the oracle,
gives their label, and the accuracy on real test images of a classifier of generated ones alone, below that of
the oracle; neither is an accuracy of the run's own network. Middle, the Frechet distance of generated and of
real test images to real training images, in the features of the oracle. Right, the distance of the oracle's
labels from equal shares, and the ratio of the distances to the nearest training and the nearest test image,
beside that of real test images; below it, images are memorised. Means over seeds.
"""

import numpy as np

from keras_cl.report.plots.lines import legend, line, task_ticks
from keras_cl.report.plots.looks import look
from keras_cl.report.plots.seeds import counted, shown
from keras_cl.runs.quality.table import records

WIDE, PANELS, SINGLE = True, 3, True
SHOWN = (  # for each panel its numbers with their names, the unit, and the label of the axis
    (
        {
            "oracle_accuracy": "real to real",
            "fake_to_real": "fake to real",
            "oracle_on_fake": "oracle on fake",
        },
        "%",
        "images classified correctly (%)",
    ),
    (
        {"generated_frechet_distance": "generated", "real_frechet_distance": "real test"},
        "",
        "Frechet distance of features",
    ),
    (
        {
            "nearest_image_ratio": "nearest image, generated",
            "real_image_ratio": "nearest image, real test",
            "generated_label_distance": "labels, generated",
        },
        "",
        "ratio of distances; labels",
    ),
)


def applies(groups):
    """Whether the quality of a generator was measured."""
    return any(records(run.path) for group in groups for run in shown(group))


def size(groups):
    """Width of the figure and height of the axes, in inches."""
    del groups
    return 7.2, 1.7


def draw(axes, groups):
    """Draws the numbers after each task of the first group, on three axes."""
    found = [measured for run in shown(groups[0]) if (measured := records(run.path))]
    found = [measured for measured in found if len(measured) == len(found[0])]
    tasks = np.arange(1, len(found[0]) + 1)
    where, marks = [f"after {counted(task, 'task')}" for task in tasks], []
    for panel, (names, unit, label) in zip(axes, SHOWN, strict=True):
        for number, (name, told) in enumerate(names.items()):
            values = np.array([[record[name] for record in seed] for seed in found], float)
            values *= 100 if unit else 1
            style, digits = look(number, len(tasks)), {"unit": unit, "digits": 1 if unit else 3}
            marks += line(panel, told, tasks, values, told, style, where, **digits)
        task_ticks(panel.xaxis, len(tasks))
        panel.set(xlabel="tasks learned", ylabel=label)
        panel.set_ylim(bottom=0, top=103 if unit else None)
        legend(panel)
    return marks
