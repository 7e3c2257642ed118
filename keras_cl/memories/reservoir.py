r"""Reservoir: stores every row offered so far with equal probability.

Vitter 1985, algorithm R (ACM TOMS 11(1)).

$$ P(\text{a row is stored after } n \text{ rows}) = \min\left(1, \frac{M}{n}\right) $$
"""

import numpy as np

from keras_cl.learning.memory_index import NOWHERE
from keras_cl.memories.base import Memory


class Reservoir(Memory):
    """Row n (from 0) goes to slot n while there is room, else to a slot j drawn from 0 to n.

    If j is not below the capacity, the row is not stored.

    Args:
      stream: `Stream` that the rows come from.
      capacity: largest number of stored rows.
    """

    def __init__(self, stream, *, capacity: int = 500, **base):
        super().__init__(stream, capacity=capacity, **base)

    def slots(self, held, y, task, rng):
        n = held.offered + np.arange(len(y))
        j = (rng.random(len(y)) * (n + 1)).astype(int)  # 0 to n inclusive
        slot = np.where(n < self.capacity, n, j)
        return np.where(slot < self.capacity, slot, NOWHERE)
