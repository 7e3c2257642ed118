"""Examiner: measures the generator of a model after a task."""

import time

import numpy as np

from keras_cl.errors import require
from keras_cl.learning.layers import ROWS_AT_ONCE
from keras_cl.learning.progress import QUIET
from keras_cl.numerics.frechet import frechet_distance
from keras_cl.numerics.neighbours import nearest
from keras_cl.numerics.random import QUALITY, seed_of
from keras_cl.runs.quality.judge import judge_of
from keras_cl.runs.quality.real import RealImages, some_of_each

COMPARED = 500  # generated images whose nearest real ones are looked for
SHOWN, NEIGHBOURS = 10, 5  # of which these are shown, each with so many training images


class Examiner:
    """Measures the generators of models of one stream.

    The oracle and the real images depend on the stream and the number of tasks alone: all seeds of a run
    share them.

    Args:
      stream: the `Stream`.
      images: number of images generated after each task.
    """

    def __init__(self, stream, images):
        self._stream, self._images = stream, images
        self._real, self._judge, self._oracles, self._ratios = RealImages(stream), None, {}, {}

    def measure(self, memory, task, seed, progress=QUIET):
        """Measures the `GenerativeMemory` of a model that has learned the tasks up to `task`.

        Returns:
          `(record, neighbours)`: a row of generator_quality.csv, and `Neighbours` for a figure.

        Raises:
          InputError: if the generator draws numbers that are not finite, or anything but images.
        """
        started, tasks = time.monotonic(), task.number
        with progress.phase(f"quality of the generator after task {tasks}", 4) as advance:
            x, y, own = generated(memory, task, self._images, seed_of(seed, task.index, QUALITY))
            advance()
            by_oracle, labels, accuracy = self._by_oracle(task, x, y, own)
            advance()
            self._judge.learn(x, y)
            of_tasks = self._accuracies(task)
            advance()
            near, neighbours = self._nearest(task, x, labels)
            advance()
        seen = np.flatnonzero(self._seen(tasks))
        counts = np.bincount(labels, minlength=self._stream.num_classes)
        record = {"task": tasks, "images": len(x), "classes": len(seen), "oracle_accuracy": accuracy}
        record |= by_oracle | {"fake_to_real": of_tasks.mean()} | near
        record |= {"generated_label_distance": label_distance(counts[seen])}
        record = {name: _rounded(value) for name, value in record.items()}
        record["seconds"] = round(time.monotonic() - started, 3)
        names = label_names(self._stream)
        record |= {f"label_{names[unit]}": int(count) for unit, count in enumerate(counts)}
        found = [*map(_rounded, of_tasks), *[None] * (len(self._stream) - tasks)]
        record |= {f"fake_to_real_task_{j}": value for j, value in enumerate(found, start=1)}
        return record, neighbours

    def _by_oracle(self, task, x, y, own):
        """What the oracle says of generated images: numbers, their units, and its own accuracy."""
        accuracy, judge, tasks = self._become_oracle(task), self._judge, task.number
        answers = judge.predict_units(x, self._answering(own, tasks))
        # A Frechet distance is larger of fewer images: both are of as many as there are to compare with.
        test = self._real.balanced(tasks, "test", len(x), 1)
        real = self._real.balanced(tasks, "train", len(test), 0)
        of, real, test = (judge.features(part) for part in (x[: len(test)], real, test))
        found = {
            "oracle_on_fake": np.mean(answers == y),
            "generated_frechet_distance": frechet_distance(of, real),
            "real_frechet_distance": frechet_distance(test, real),
            "real_images": len(real),
        }
        return found, judge.predict_units(x, self._seen(tasks)), accuracy

    def _become_oracle(self, task):
        """Gives the judge the weights of the oracle after `task`; returns its mean accuracy on the tasks."""
        self._judge = self._judge or judge_of(self._stream)
        if task.number not in self._oracles:
            self._judge.learn(*self._real.rows(task.number, "train"))
            weights = self._judge.network.get_weights()
            self._oracles[task.number] = weights, self._accuracies(task).mean()
        weights, accuracy = self._oracles[task.number]
        self._judge.network.set_weights(weights)
        return accuracy

    def _accuracies(self, task):
        """Accuracy of the judge on the real test images of each task seen, among the active classes."""
        found = []
        for index in range(task.number):
            x, y = self._real.test_rows(index)
            answering = self._answering(np.array([index]), task.number)[0]
            found.append(np.mean(self._judge.predict_units(x, answering) == y))
        return np.array(found)

    def _nearest(self, task, x, labels):
        """How near generated images are to training and to test images, and the neighbours of some."""
        train, units = self._real.rows(task.number, "train")
        ratio, real = self._ratio(task, x[:COMPARED]), self._real_ratio(task)
        chosen = some_of_each(labels, SHOWN)
        scale = self._stream.source.scale
        distances, places = nearest(x[chosen], train, min(NEIGHBOURS, len(train)), scale)
        found = {"nearest_image_ratio": ratio, "real_image_ratio": real}
        return found, Neighbours(x[chosen], labels[chosen], train[places], units[places], distances)

    def _ratio(self, task, x, own=0):
        """Mean distance of images to the nearest training image over that to the nearest test image.

        `own` is 1 if the images are among the test images, where each is the nearest to itself.
        """
        parts = [self._real.rows(task.number, part)[0] for part in ("train", "test")]
        scale = self._stream.source.scale
        to_train, to_test = (
            nearest(x, part, 1 + k, scale)[0][:, k].mean() for part, k in zip(parts, (0, own), strict=True)
        )
        return to_train / to_test if to_test else None

    def _real_ratio(self, task):
        """The same of real test images, of which each task has its share."""
        if task.number not in self._ratios:
            x, _ = self._real.rows(task.number, "test")
            rng = np.random.default_rng(seed_of(0, task.number, QUALITY))
            self._ratios[task.number] = self._ratio(task, x[rng.permutation(len(x))[:COMPARED]], own=1)
        return self._ratios[task.number]

    def _answering(self, own, tasks):
        """Classes `[n, C]` that may answer for rows of the tasks `own` `[n]` after some tasks."""
        known = self._stream.scenario == "task"
        return self._stream.class_mask[own if known else np.full(len(own), tasks - 1)]

    def _seen(self, tasks):
        return (self._stream.labels[:tasks] >= 0).any(axis=0)


class Neighbours:
    """Some generated images and the training images nearest to them.

    Attributes:
      images: raw generated images `[n, ...]`.
      units: output unit that the oracle gives each, `[n]`.
      near: training images `[n, k, ...]`, nearest first.
      near_units: their output units `[n, k]`.
      distances: Euclidean, of pixels in [0, 1], `[n, k]`.
    """

    def __init__(self, images, units, near, near_units, distances):
        self.images, self.units, self.near = images, units, near
        self.near_units, self.distances = near_units, distances


def generated(memory, task, n, seed):
    """`(x, y, task)` of `n` images generated after `task`: raw images, units `[n]`, indices of tasks `[n]`.

    The unit is the class that a conditional generator was asked for, else the label that the memory gives.

    Raises:
      InputError: if they are not finite, or not images of the stream.
    """
    stream, conditions = task.stream, memory.conditions(task.number)
    if conditions and stream.scenario != "domain":
        y = np.resize(np.asarray(conditions, np.int32), n)
        blocks = [y[i : i + ROWS_AT_ONCE] for i in range(0, n, ROWS_AT_ONCE)]
        parts = [memory.generator.sample(len(b), seed_of(seed, i), b) for i, b in enumerate(blocks)]
        x = np.concatenate([np.asarray(part) for part in parts]) / stream.source.scale
        own = (stream.labels[: task.number] >= 0)[:, y].argmax(axis=0)
    else:
        x, y, own = memory.generated(n, seed, task.number)
    require(
        x.shape[1:] == tuple(stream.input_shape),
        f"--generator_quality measures images, and the generator draws arrays of the shape {x.shape[1:]}.",
    )
    wrong = int((~np.isfinite(x.reshape(len(x), -1))).any(axis=1).sum())
    require(
        not wrong,
        f"The generator after task {task.number} draws images with numbers that are not finite, {wrong} of "
        f"{n}: how good it is cannot be measured.",
    )
    if np.issubdtype(stream.source.dtype, np.integer):
        x = np.rint(x).clip(0, 255).astype(stream.source.dtype)
    return x.astype(stream.source.dtype), y, own


def label_distance(counts):
    """Total variation 1/2 sum_c |n_c/n - 1/C| of labels, counted by class `[C]`, from equal shares."""
    counts = np.asarray(counts, float)
    return float(np.abs(counts / counts.sum() - 1 / len(counts)).sum() / 2)


def label_names(stream):
    """Name of each output unit: its label; with the number of the unit where a label has several."""
    if stream.scenario == "domain":
        return [str(unit) for unit in range(stream.num_classes)]
    labels = stream.labels.max(axis=0).tolist()
    return [str(label) if labels.count(label) == 1 else f"{label}_unit_{u}" for u, label in enumerate(labels)]


def _rounded(value):
    """Floats rounded to six digits; counts and None unchanged."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")
