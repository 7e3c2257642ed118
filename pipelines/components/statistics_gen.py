"""StatisticsGen: the statistics of every task that has arrived.

    <statistics>/plan.json            the plan of the stream, as in the examples
    <statistics>/task_001/stats.pb    DatasetFeatureStatisticsList with the data sets train, valid and test
    <statistics>/task_001/images.npz  hashes and labels of all images, to find those that come again later

Features are image, label and shape; image_value holds the values of images that are recorded as bytes.
"""

import io
import pathlib

import numpy as np

from keras_cl.errors import require
from keras_cl.runs.files import as_json, read_json, replace
from pipelines.artifacts import linked, produced
from pipelines.examples.plan import PLAN, SPLITS, file_of, task_folder
from pipelines.validation import duplicates
from pipelines.validation.feature_statistics import image_statistics, label_statistics, shape_statistics
from pipelines.validation.rows import read_rows


def statistics_gen(examples: str, previous: str, statistics: str, code: str):
    """Computes the statistics of the tasks whose statistics do not exist yet.

    Args:
      examples: Examples artifact of the tasks that have arrived.
      previous: Statistics artifact of the task before; "" for none.
      statistics: folder to write.
      code: digest of the code.

    Raises:
      InputError: if an input is unfinished or was edited, or if the examples are no TFRecords.
    """
    inputs = {"examples": examples, "previous": previous}
    with produced("StatisticsGen", {"statistics": statistics}, inputs, code=code):
        plan, folder = read_json(pathlib.Path(examples) / PLAN), pathlib.Path(statistics)
        if previous:
            linked(previous, folder)
        replace(folder / PLAN, as_json(plan))  # the file that was linked stays as it is
        for number in range(1, plan["arrived"] + 1):
            if not task_folder(folder, number).exists():
                _write_task(examples, folder, number, plan)


def read_statistics(folder, number):
    """The statistics of a task in a Statistics artifact: `{split: DatasetFeatureStatistics}`."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    content = (task_folder(folder, number) / "stats.pb").read_bytes()
    return {
        data.name: data for data in statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets
    }


def _write_task(examples, folder, number, plan):
    target, kept = task_folder(folder, number), task_folder(examples, number).is_dir()
    require(kept, f"{examples} has no examples of task {number}.")
    rows = {split: read_rows(file_of(examples, number, split).parent, plan["dtype"]) for split in SPLITS}
    table = duplicates.table_of(rows)
    counted = duplicates.counted(table, _earlier_hashes(folder, number))
    target.mkdir()
    (target / "stats.pb").write_bytes(
        _statistics(rows, counted, plan["scale"]).SerializeToString(deterministic=True)
    )
    np.savez(target / "images.npz", **table)


def _statistics(rows, counted, scale):
    """The `DatasetFeatureStatisticsList` of a task."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found = statistics_pb2.DatasetFeatureStatisticsList()
    for split in SPLITS:
        data = found.datasets.add(name=split, num_examples=len(rows[split]))
        data.features.extend(image_statistics(rows[split], counted[split], scale))
        data.features.extend([shape_statistics(rows[split]), label_statistics(rows[split])])
    return found


def _earlier_hashes(folder, number):
    """The hashes of all images of the tasks before `number`."""
    found = [np.zeros(0, np.uint64)]
    for earlier in range(1, number):
        with np.load(io.BytesIO((task_folder(folder, earlier) / "images.npz").read_bytes())) as table:
            found += [table[f"{split}_hashes"] for split in SPLITS]
    return np.concatenate(found)
