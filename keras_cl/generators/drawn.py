"""Drawn rows: what a generative memory generates for a step."""

from typing import NamedTuple

import tensorflow as tf


class Drawn(NamedTuple):
    """Generated rows.

    Attributes:
      x: raw images `[R, ...]`, or features.
      y: their labels, int32 `[R]`.
      task: index of their task, int32 `[R]`.
      predicted: most likely class under the network of the previous task, int32 `[R]`.
      target: class probabilities under that network, `[R, C]`.
      condition: class or task that the generator was asked for, int32 `[R]`; None if it is not conditional.
    """

    x: tf.Tensor
    y: tf.Tensor
    task: tf.Tensor
    predicted: tf.Tensor
    target: tf.Tensor
    condition: tf.Tensor | None
