"""Moments of per-example gradients, exact and without a loop over examples wherever a layer allows it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_cl.importance.choice import Survey, fastest
from keras_cl.learning.precision import single
from keras_cl.learning.progress import QUIET

# Default number of rows if gradients are mapped; van de Ven 2025 found it nearly as good as all rows.
MAPPED_SAMPLES = 500


class Signals(NamedTuple):
    """Cotangents of the logits for which per-example gradients are computed.

    Attributes:
      of: function of an index m (int32 scalar) that returns `(cotangents [n, C], weights [n])`.
      count: number of cotangents, an int32 scalar.
      fewer: function that returns `(of, count)` of fewer cotangents with the same sum of squares for any J;
        None if there are none.
    """

    of: Callable
    count: tf.Tensor
    fewer: Callable | None = None


class Moments:
    """Mean over rows of sum_m w_m |J^T s_m|^power for every trainable variable, in float32; compiled once.

    Args:
      network: raw images to logits `[n, C]`.
      signals: function of `(logits, *of_rows, *of_task)` that returns `Signals`.
      power: 2 for squares (Fisher), 1 for absolute values (MAS).
    """

    def __init__(self, network, signals, power):
        self._network, self._signals, self._power = network, signals, power
        self._variables = network.trainable_variables
        self._survey, self._passes = None, {}

    def usual_samples(self, x):
        """Default number of rows for images like `x`; 0 for all, where no gradients are mapped."""
        return 0 if len(self._surveyed(x).in_uses) == len(self._variables) else MAPPED_SAMPLES

    def passes(self, x, of_rows=(), of_task=(), jit=True):
        """The passes that a call makes; chosen at the first one."""
        if jit in self._passes:
            return self._passes[jit]
        with single(self._network):
            how = (self._network, self._surveyed(x), self._signals, self._power, jit)
            self._passes[jit] = fastest(*how, x, of_rows, of_task)
        return self._passes[jit]

    def __call__(self, x, of_rows=(), of_task=(), jit=True, progress=QUIET):
        """Makes one pass over all rows.

        Args:
          x: raw images `[n, ...]`, numpy.
          of_rows: arrays with one entry per row, passed to `signals`.
          of_task: arrays passed to `signals` unchanged; their shapes must never change.
          jit: whether XLA compiles what it can.
          progress: the `Progress` that shows it.

        Returns:
          list of float32 arrays like `network.trainable_variables`.
        """
        means, passes = {}, self.passes(x, of_rows, of_task, jit)
        phase = progress.phase("importance of the weights", len(x) * len(passes))
        with single(self._network), phase as advance:
            for one in passes:
                sums = one.sums(x, of_rows, of_task, advance)
                means.update((id(v), total / len(x)) for v, total in zip(one.variables, sums, strict=True))
        return [means[id(v)] for v in self._variables]

    def _surveyed(self, x):
        if self._survey is None:
            with single(self._network):
                self._survey = Survey.of(self._network, self._variables, x)
        return self._survey


def drawn(rng, count, n_samples):
    """Ascending indices of `n_samples` of `count` rows, without replacement; all rows if it is 0."""
    if 0 < n_samples < count:
        return np.sort(rng.choice(count, n_samples, replace=False))
    return slice(None)


def normalised(importance, rule):
    """Importances scaled jointly over all tensors.

    Args:
      importance: list of non-negative arrays.
      rule: "none"; "max", divided by the largest entry; "minmax", to [0, 1]; "mean1", to mean 1. Importances
        that are all equal have no range and stay unchanged under "minmax".
    """
    if rule == "none":
        return importance
    flat = np.concatenate([values.ravel() for values in importance]).astype(np.float64)
    low = flat.min() if rule == "minmax" else 0.0
    scale = flat.mean() if rule == "mean1" else flat.max() - low
    return [((values - low) / scale if scale > 0 else values).astype(np.float32) for values in importance]
