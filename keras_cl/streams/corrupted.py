"""Corrupted images: every task shows all classes, under its own noise, blur, fog or other corruption.

Hendrycks & Dietterich 2019 (arXiv:1903.12261); a sequence of corruptions as in continual test-time adaptation
(Wang et al. 2022, arXiv:2203.13591), which uses the highest severity. Formulas are in
`keras_cl/numerics/corruptions.py`; images are corrupted when a task is opened.
"""

import dataclasses
from typing import Annotated

import numpy as np

from keras_cl.devices.ram import require_fits
from keras_cl.errors import pick, require
from keras_cl.numerics import corruptions as formulas
from keras_cl.sources import source
from keras_cl.streams.base import Scenario, generator
from keras_cl.streams.parts.changed import Changed
from keras_cl.streams.parts.tasks import number_of_tasks

NONE = "none"
USUAL = (
    NONE,
    "gaussian_noise",
    "gaussian_blur",
    "contrast",
    "fog",
    "brightness",
    "pixelate",
    "impulse_noise",
    "speckle_noise",
)
ROWS = 256  # whose random numbers are drawn together


def corrupted(
    dataset="digits",
    *,
    tasks: int | None = None,
    scenario: Scenario = "domain",
    corruptions: Annotated[tuple[str, ...], "per task"] = (),
    severity: int = 5,
    valid_fraction: float = 0.0,
    seed: int = 0,
    data_dir: str = "",
    cache_dir: str = "",
):
    """Returns the `Stream` of `tasks` corruptions of a data set.

    Args:
      dataset: name, .npz path or `Source`; images, not plain rows; floats must be in [0, 1].
      tasks: number of tasks; by default as many as `corruptions`, else 5.
      scenario: task, domain or class incremental; usually domain.
      corruptions: corruption of every task, any of none, gaussian_noise, gaussian_blur, contrast, fog,
        brightness, pixelate, impulse_noise, speckle_noise; empty for the first `tasks` of these.
      severity: strength of all corruptions, from 1 to 5, as released for CIFAR-10-C; for images nearer to 64
        pixels as for Tiny ImageNet-C, nearer to 224 as for ImageNet-C.
      valid_fraction: fraction of the training rows of every class held out for validation.
      seed: seed of the noise and the validation rows; not the model's seed.
      data_dir: folder of prepared tensorflow-datasets.
      cache_dir: folder for decoded arrays.
    """
    data = source(dataset, data_dir=data_dir, cache_dir=cache_dir)
    tasks = number_of_tasks(tasks, corruptions=corruptions)
    require(
        len(data.input_shape) == 3,
        f"Only images can be corrupted; the rows of {data.name} are not images.",
    )
    require(1 <= severity <= 5, f"severity is {severity}; it must be a whole number from 1 to 5.")
    require(
        corruptions or tasks <= len(USUAL),
        f"{tasks} tasks need {tasks} corruptions; list them, for example {','.join(USUAL[:3])}.",
    )
    names = tuple(corruptions) or USUAL[:tasks]
    for name in names:
        pick("corruption", name, [NONE, *formulas.NAMES])
    return Corrupted(
        name=f"corrupted {data.name}",
        scenario=scenario,
        source=data,
        task_classes=(data.classes,) * tasks,
        views=(np.asarray,) * tasks,
        input_shape=data.input_shape,
        valid_fraction=valid_fraction,
        seed=seed,
        distinct_classes=True,
        corruptions=names,
        severity=severity,
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Corrupted(Changed):
    """A stream whose images are corrupted when a task is opened.

    The noise of a row depends on the seed, the task, the part and the row, not on which rows are opened.

    Args:
      corruptions: name of the corruption of every task.
      severity: from 1 to 5.
    """

    corruptions: tuple[str, ...] = ()
    severity: int = 5

    def split(self, index, part):
        """As of any stream; the images of a task are all changed at once, so none is read in chunks."""
        return dataclasses.replace(super().split(index, part), unread=None)

    def changed(self, x, index, rows, part):
        if not np.issubdtype(x.dtype, np.integer):
            self.source.require_pixels("Corruptions are of pixels in [0, 1]", x)
        name, scale = self.corruptions[index], self.source.scale
        if name == NONE:
            return x
        what = f"The {len(x):,} images of task {index + 1}, whose noise is drawn for all of them"
        require_fits(x.nbytes, what, "give tasks of fewer images")
        given, result = formulas.parameters(name, self.severity, self.input_shape), np.empty(x.shape, x.dtype)
        blocks = rows // ROWS
        for block in np.unique(blocks):
            here = slice(*np.searchsorted(blocks, (block, block + 1)))
            rng = generator(self.seed, 2, index, part == "test", block)
            drawn = formulas.draws(name, rng, ROWS, self.input_shape, given)
            drawn = None if drawn is None else drawn[rows[here] % ROWS]
            image = formulas.corrupted(name, x[here] * np.float32(scale), drawn, given)
            np.clip(image, 0, 1, out=image)
            image /= np.float32(scale)
            result[here] = np.rint(image, out=image) if np.issubdtype(x.dtype, np.integer) else image
        return result
