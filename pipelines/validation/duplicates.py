"""Images that occur more than once: in a split, in two splits of a task, in two tasks, with two labels."""

import numpy as np

from pipelines.examples.plan import SPLITS


def table_of(rows):
    """What later tasks are compared with: `{name: array}` of hashes and labels, from `{split: Rows}`."""
    return {
        f"{split}_{name}": getattr(rows[split], name) for split in SPLITS for name in ("hashes", "labels")
    }


def counted(table, earlier):
    """How often images occur more than once, `{split: {statistic: number of rows}}`.

    Args:
      table: what `table_of` returns of the task; hash 0 is no image, label -1 no label.
      earlier: the hashes of all images of the earlier tasks, `[n]`.

    Returns:
      The statistics duplicates (rows whose image stands in an earlier row of the split), leaked (rows of
      valid that are in train, of test that are in train or valid), in_earlier_tasks, and conflicting_labels
      (rows whose image has another label elsewhere in the task).
    """
    hashes = {split: table[f"{split}_hashes"] for split in SPLITS}
    present = {split: found[found != 0] for split, found in hashes.items()}
    conflicts = _conflicts(table)
    other = {"train": (), "valid": ("train",), "test": ("train", "valid")}
    return {
        split: {
            "duplicates": len(found) - len(np.unique(found)),
            "leaked": _number_in(found, [present[part] for part in other[split]]),
            "in_earlier_tasks": _number_in(found, [earlier]),
            "conflicting_labels": _number_in(found, [conflicts]),
        }
        for split, found in present.items()
    }


def _conflicts(table):
    """The hashes of images that have several labels in the task."""
    hashes = np.concatenate([table[f"{split}_hashes"] for split in SPLITS])
    labels = np.concatenate([table[f"{split}_labels"] for split in SPLITS])
    known = labels >= 0
    order = np.lexsort((labels[known], hashes[known]))
    hashes, labels = hashes[known][order], labels[known][order]
    other = (hashes[1:] == hashes[:-1]) & (labels[1:] != labels[:-1])
    return hashes[1:][other]


def _number_in(hashes, others):
    return int(np.isin(hashes, np.concatenate(others)).sum()) if others else 0
