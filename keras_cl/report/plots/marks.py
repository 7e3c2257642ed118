"""What was drawn, point by point: series that can be hidden, and what hovering over a point says."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Mark:
    """A series of a plot.

    Attributes:
      artist: what matplotlib draws, for example a line.
      label: name of the series; marks of one name belong together.
      x: its points in the coordinates of the data.
      y: the same.
      texts: what hovering says at each point, for example "ewc, after 3 tasks: 92.1 ± 0.3 %, 3 seeds".
    """

    artist: object
    label: str
    x: np.ndarray = ()
    y: np.ndarray = ()
    texts: list[str] = ()
